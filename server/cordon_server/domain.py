"""The values that travel through the server and the errors it raises; imports nothing of ours.

CordonError
├── CallerFault                 the caller's: changing the request mends it
│   ├── InvalidInput            a field breaks a rule
│   │   ├── InvalidFrame        a frame breaks a rule; the stream goes on
│   │   ├── UnusablePicture     a reference picture fails the enrolment gate
│   │   └── NotListable         a watchlist's rules do not take the entry
│   ├── NotFound
│   ├── AlreadyExists
│   ├── NotReady                the state of things forbids it (FAILED_PRECONDITION)
│   ├── Unauthenticated         who is calling cannot be told
│   ├── NotPermitted            who is calling may not
│   └── LimitReached            a stated limit is full
├── NotNow                      the same request may pass later
└── OurFault                    the operator's to mend
    ├── ConfigInvalid
    ├── ModelRefused
    ├── ProviderUnavailable
    ├── StorageFull
    ├── StorageDamaged
    ├── NotRecorded             no audit, no action: what could not be recorded is not done
    ├── ModelFailed             a network answered what is no number
    └── DeviceLost              what the networks run on has failed and stays so
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Image = NDArray[np.uint8]
    """(height, width, 3) uint8, BGR."""
    Vector = NDArray[np.float32]
    """(dimension,) float32, unit L2 norm."""


class CordonError(Exception):
    """What went wrong, in words that tell a person what to do next."""

    def __init__(self, message: str, *, reason: str = "", field: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or _screaming_snake(type(self).__name__)
        self.field = field


class CallerFault(CordonError):  # noqa: N818  # named for whose fault it is
    """Changing the request mends it."""


class InvalidInput(CallerFault):
    """A field breaks a rule; `field` names it. `violations` are (field, rule) where several do."""

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        field: str = "",
        violations: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message, reason=reason, field=field)
        self.violations = violations or ((field, message),)


class InvalidFrame(InvalidInput):
    """A frame breaks a rule; the stream goes on without it."""


class UnusablePicture(InvalidInput):
    """A reference picture fails the enrolment gate; `reasons` says on what counts."""

    def __init__(self, message: str, reasons: tuple[Reason, ...]) -> None:
        super().__init__(message, field="image")
        self.reasons = reasons


class NotListable(InvalidInput):
    """A watchlist's rules do not take the entry; `reasons` says on what counts."""

    def __init__(self, broken: tuple[tuple[str, Reason], ...]) -> None:
        self.reasons = tuple(reason for _, reason in broken)
        super().__init__(
            "; ".join(reason.message for reason in self.reasons),
            reason=self.reasons[0].code.name,
            field=broken[0][0],
            violations=tuple((field, reason.message) for field, reason in broken),
        )


class NotFound(CallerFault):
    """What the request names does not exist."""


class AlreadyExists(CallerFault):
    """What the request would make exists."""


class NotReady(CallerFault):
    """The state of things forbids it; something else has to be done first."""


class Unauthenticated(CallerFault):
    """Who is calling cannot be told."""


class NotPermitted(CallerFault):
    """Who is calling may not do this."""


class LimitReached(CallerFault):
    """A stated limit is full; `retry_after_s` tells when to try again, where that may help."""

    def __init__(
        self, message: str, *, reason: str = "", field: str = "", retry_after_s: float = 0.0
    ) -> None:
        super().__init__(message, reason=reason, field=field)
        self.retry_after_s = retry_after_s


class NotNow(CordonError):  # noqa: N818  # named for when it may pass
    """The same request may pass later."""


class OurFault(CordonError):  # noqa: N818  # named for whose fault it is
    """The operator's to mend; the caller did nothing wrong."""


class ConfigInvalid(OurFault):
    """A setting breaks a rule."""


class ModelRefused(OurFault):
    """A model file is not the one that was pinned, or not of the shape it must have."""


class ProviderUnavailable(OurFault):
    """The execution provider asked for is not to be had here."""


class StorageFull(OurFault):
    """The disk or a database's size limit is full; what was acknowledged is safe."""


class StorageDamaged(OurFault):
    """A stored record cannot be read back as what was written."""


class NotRecorded(OurFault):
    """An act could not be put on record, so it does not take place."""


class ModelFailed(OurFault):
    """A network answered what is no number; nothing is read out of it."""


class DeviceLost(OurFault):
    """What the networks run on has failed and stays so; only a new start can mend it."""


VOLUNTEER = "volunteer"
"""The category of people who have agreed to be recognised, so that it can be measured how many are
(R28). It is no policy's: whoever is in it is never an alert."""


class ReasonCode(StrEnum):
    """Why a reference picture is refused, or what to look at although it is accepted."""

    NOT_AN_IMAGE = "not_an_image"
    IMAGE_TOO_LARGE = "image_too_large"
    NO_FACE = "no_face"
    SEVERAL_FACES = "several_faces"
    TOO_SMALL = "too_small"
    BLURRED = "blurred"
    TOO_DARK = "too_dark"
    TOO_BRIGHT = "too_bright"
    POSE = "pose"
    DUPLICATE = "duplicate"
    LOOK_ALIKE = "look_alike"
    BAD_FIELD = "bad_field"
    LIMIT_REACHED = "limit_reached"
    OCCLUDED = "occluded"
    CATEGORY_UNKNOWN = "category_unknown"
    THRESHOLD_BELOW_FLOOR = "threshold_below_floor"
    SOURCE_MISSING = "source_missing"
    RATIONALE_MISSING = "rationale_missing"
    REQUESTER_MISSING = "requester_missing"
    BIRTH_MISSING = "birth_missing"
    BIRTH_CONTRADICTED = "birth_contradicted"
    MINOR_NOT_ALLOWED = "minor_not_allowed"
    IMAGE_DATE_MISSING = "image_date_missing"
    IMAGE_STALE = "image_stale"
    EXPIRED = "expired"
    PROPOSAL_NEEDED = "proposal_needed"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class Reason:
    """One coded reason, with the other reference and score where there is one."""

    code: ReasonCode
    message: str
    reference: str = ""
    score: float = 0.0
    component: str = ""
    """The quality component of ISO/IEC 29794-5 that falls short, where it is one."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels of the full-size frame, from its top left."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Quality:
    """Measures of one face; units as in the proto's FaceQuality."""

    detection_score: float
    inter_eye_px: float
    sharpness: float
    luminance: float
    yaw_degrees: float
    roll_degrees: float


@dataclass(frozen=True, slots=True)
class Face:
    """A face found in a frame.

    `landmarks` is (5, 2) float32, pixels of the full-size frame: right eye, left eye, nose tip,
    right and left corner of the mouth ("right" is the subject's, so it lies left in the picture).
    """

    box: Box
    landmarks: NDArray[np.float32]
    detection_score: float


@dataclass(frozen=True, slots=True)
class Template:
    """What an embedder makes of one face: a unit vector, and the model that it belongs to."""

    vector: Vector
    model_id: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """The best listed subject for one probe.

    `margin` is the score less that of the best reference of any *other* subject; the score itself
    where there is no other. `threshold` is the entry's own or the deployment's.
    """

    entry_id: str
    reference_id: str
    score: float
    margin: float
    threshold: float
    category: str = ""
    margin_min: float = 0.0
    """Least margin that the entry itself asks for, for there are others like it."""
    look_alikes: tuple[str, ...] = ()
    """Listed entries that look like it."""


class FaceFate(StrEnum):
    """Every face that was found ends in exactly one of these."""

    SEARCHED = "searched"
    TOO_SMALL = "too_small"
    TOO_POOR = "too_poor"
    SHED = "shed"
    OUTSIDE_ZONE = "outside_zone"


@dataclass(frozen=True, slots=True)
class FaceCounts:
    """How many faces of a frame met which fate; detected is their sum."""

    searched: int = 0
    too_small: int = 0
    too_poor: int = 0
    shed: int = 0
    outside_zone: int = 0
    embedded: int = 0
    """Of the searched, those embedded on this very frame; the others' tracks were before."""
    people: int = 0
    """Faces seen here for the first time: the tracks that begin, and every face of a still picture.
    Their sum is how many people passed, each once (R16, R20)."""
    people_searched: int = 0
    """Tracks that are searched for the first time."""

    @property
    def detected(self) -> int:
        looked_at = self.searched + self.too_small + self.too_poor + self.shed
        return looked_at + self.outside_zone


@dataclass(frozen=True, slots=True)
class Frame:
    """One compressed picture from a camera.

    `received_s` is the server's monotonic clock at arrival.
    """

    camera_id: str
    sequence: int
    captured_at: datetime
    received_s: float
    jpeg: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Sighting:
    """A probe that passed the decision rule, before it is written to the match log.

    `probe_jpeg` shows the face with a margin; every other face in it is blurred. `track` is None
    for a still picture; else a later sighting of the same subject on it betters this one.
    """

    candidate: Candidate
    box: Box
    quality: Quality
    probe_jpeg: bytes = field(repr=False)
    track: int | None = None
    observations: int = 1
    """Shots of the track that agree on the subject."""
    vector: Vector | None = field(default=None, repr=False, compare=False)
    """The template that was searched for."""


@dataclass(frozen=True, slots=True)
class Sums:
    """So many values in all: their mean and variance are left, no value is."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0
    """The sum of their squares."""

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.count + other.count, self.total + other.total, self.squares + other.squares
        )

    @property
    def mean(self) -> float:
        """0 where there are none."""
        return self.total / self.count if self.count else 0.0

    @property
    def variance(self) -> float:
        """Of the population that they are a sample of; 0 where there are less than two."""
        if self.count < 2:
            return 0.0
        return max(0.0, (self.squares - self.total * self.mean) / (self.count - 1))


def sums(values: Iterable[float]) -> Sums:
    """What is left of the values."""
    given = tuple(values)
    return Sums(len(given), math.fsum(given), math.fsum(each * each for each in given))


@dataclass(frozen=True, slots=True)
class Passed:
    """People who were searched and are gone from a camera, each once, in sums alone (R1, R28)."""

    quality: Sums
    """Worth of each one's best view (`recognition.tracks.shot_worth`)."""
    score: Sums
    """Of those who were no match, how like the list they were at last."""


@dataclass(frozen=True, slots=True)
class FrameResult:
    """What recognition made of one frame."""

    counts: FaceCounts
    sightings: tuple[Sighting, ...]
    passed: Passed | None = None
    """Who has gone since the frame before; None where nobody has."""


def _screaming_snake(name: str) -> str:
    return "".join(f"_{c}" if c.isupper() else c.upper() for c in name).strip("_").upper()
