"""What an authority is given for: the terms of a deployment, and the authority itself. Values
alone; what they must keep to is `checks`, how they are hashed `content`."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec


class Actor(msgspec.Struct, frozen=True):
    """Who did something, and where."""

    user_id: str
    machine: str
    """The workstation's identity."""


class Zone(msgspec.Struct, frozen=True):
    """Where in a camera's picture faces are searched (R7)."""

    camera_id: str
    points: tuple[tuple[float, float], ...]
    """Corners of a polygon, (x, y) as fractions of the frame's width and height."""


class ImpactAssessment(msgspec.Struct, frozen=True):
    """The assessment that a deployment refers to (R24)."""

    document_sha256: bytes
    owner: str
    review_time: datetime
    """From then on it is too old to be referred to."""


class Terms(msgspec.Struct, frozen=True):
    """What the requester asks for. Every field of it is part of what is signed."""

    location: str
    cameras: tuple[str, ...]
    threshold: float
    start_time: datetime
    end_time: datetime
    purpose: str = ""
    """One of the policy's."""
    justification: str = ""
    zones: tuple[Zone, ...] = ()
    """A camera without one searches its whole picture."""
    accountable_person: str = ""
    """Who answers for it (R30)."""
    impact_assessment: ImpactAssessment | None = None
    notice_exemption: str = ""
    """Why the public is not told, where it is not (R19)."""
    is_urgent: bool = False
    """Whether the authority ends by itself before the window does (R9)."""
    assignees: tuple[str, ...] = ()
    """User ids of those who work on it, its creator among them."""


class Submission(msgspec.Struct, frozen=True):
    """What was fixed when the terms were put before an authorising officer."""

    requester: Actor
    submit_time: datetime
    policy: str
    policy_digest: bytes
    list_digest: bytes
    model_id: str
    assignees: tuple[str, ...]
    """Who works with it from the start; who joins later does so on record."""
    forecast: str = ""
    """False matches to be expected (R17), as JSON text; empty where nothing was forecast."""


class SignedAuthority(msgspec.Struct, frozen=True):
    """An authorising officer's signature over the content of a deployment (R8)."""

    officer: Actor
    digest: bytes
    """SHA-256 of the canonical content."""
    public_key: bytes
    signature: bytes
    sign_time: datetime
    expire_time: datetime
    """The window's end, or sooner where it is urgent."""


class HaltCause(StrEnum):
    """Why recognition was halted."""

    PERSON = "person"
    CEILING = "ceiling"
    """Too many false alerts (R16)."""
    AUTHORITY = "authority"
    """What is on record is not what was signed."""


class Halting(msgspec.Struct, frozen=True):
    """That recognition was halted."""

    halt_time: datetime
    cause: HaltCause


class Publication(msgspec.Struct, frozen=True):
    """Where the public was told (R19)."""

    publish_time: datetime
    place: str
