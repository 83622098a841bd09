"""What one run of the demo is asked to do, and what of it can be judged.

| asked                  | watchlist      | footage                    | missed | false matches |
|------------------------|----------------|----------------------------|--------|---------------|
| nothing                | the portrait   | rendered, portrait in it   | passes | known         |
| --wanted               | those photos   | rendered, those faces in it| passes | known         |
| --wanted and --source  | those photos   | one's own                  | photos | unknown       |
| --source               | the portrait   | one's own                  | none   | unknown       |

"passes" counts each walk of a listed person past a camera without a match; "photos" counts listed
people who were never matched. Of one's own footage nobody but its owner knows who is in it: false
matches are null then, and every match is for a person to judge.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cordon_client.errors import ClientError, ExitCode
from cordon_demo.portraits import asset_path

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

WALKING_MAX = 6
"""Listed people whom a rendered street has room for; more are enrolled, and do not walk."""


@dataclass(frozen=True, slots=True)
class Street:
    """A rendered street."""

    camera: str
    seed: int
    first_s: float
    """When in the footage the first listed person is close enough to be recognised."""


STREETS = (Street("north", 11, 1.5), Street("south", 23, 7.5))


@dataclass(frozen=True, slots=True)
class Wanted:
    """A listed person: the external reference and the photo."""

    reference: str
    photo: Path


@dataclass(frozen=True, slots=True)
class Plan:
    """One run."""

    wanted: tuple[Wanted, ...]
    sources: tuple[str, ...]
    """One's own, as URIs; none for rendered streets."""
    seconds: float
    """How long cameras stream."""
    provider: str
    """What the server's models run on: auto, cpu or cuda."""
    is_portrait: bool
    """Whether the portrait stands in for one's own photos."""

    @property
    def is_rendered(self) -> bool:
        return not self.sources

    @property
    def cameras(self) -> tuple[str, ...]:
        if self.is_rendered:
            return tuple(street.camera for street in STREETS)
        return tuple(f"source-{number}" for number in range(1, len(self.sources) + 1))

    @property
    def walking(self) -> tuple[Wanted, ...]:
        """Who is in the rendered streets, in the order of the scene's heads."""
        return self.wanted[:WALKING_MAX] if self.is_rendered else ()

    @property
    def must_be_seen(self) -> tuple[Wanted, ...]:
        """Who is expected in one's own sources: whoever was asked for, but not the portrait."""
        return () if self.is_rendered or self.is_portrait else self.wanted


def make_plan(
    photos: Sequence[Path], sources: Sequence[str], seconds: float, provider: str = "auto"
) -> Plan:
    """The plan for what was asked; refuses a photo that is not there and time that is no time."""
    if not 0 < seconds <= 86_400:
        raise ClientError(
            f"--seconds {seconds:g} is no time to stream for.",
            "It has to be more than 0 and at most 86400.",
            "cordon demo --seconds 20",
            ExitCode.USAGE,
        )
    for photo in photos:
        if not photo.is_file():
            raise ClientError(
                f"There is no photo {photo}.",
                hint="cordon demo --wanted PHOTO.jpg",
                exit_code=ExitCode.USAGE,
            )
    return Plan(
        wanted=_listed(photos or [asset_path("astronaut")]),
        sources=tuple(sources),
        seconds=seconds,
        provider=provider,
        is_portrait=not photos,
    )


def _listed(photos: Sequence[Path]) -> tuple[Wanted, ...]:
    """Each photo is a person of its own, called as its file is."""
    used: dict[str, Path] = {}
    for photo in photos:
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", photo.stem).strip("-._")[:50] or "wanted"
        reference, again = stem, 2
        while reference in used:
            reference, again = f"{stem}-{again}", again + 1
        used[reference] = photo
    return tuple(Wanted(reference, photo) for reference, photo in used.items())
