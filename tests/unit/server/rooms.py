"""What the tests of the server's rooms share: a clock that stands, databases, faces by degrees."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from cordon_server.acts import Act
from cordon_server.authority.records import Actor
from cordon_server.authority.watchlist_rules import CategoryRule, EntryRules
from cordon_server.domain import (
    VOLUNTEER,
    Box,
    Candidate,
    Frame,
    NotRecorded,
    Quality,
    Reason,
    ReasonCode,
    Sighting,
    Template,
    UnusablePicture,
)
from cordon_server.store.environment import Environment, Table
from cordon_server.store.keyring import Keyring
from cordon_server.store.sealing import PlainSealer
from cordon_server.store.site_key import ScryptCost
from cordon_server.store.wrapping import WrappingSecrets

MODEL = "degrees-1"
DIMENSION = 4
QUALITY = Quality(0.9, 60.0, 200.0, 120.0, 1.0, 2.0)
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
OFFICER = Actor("olga", "spiffe://site.local/admin/first")
"""Who makes deployments."""
SECOND = Actor("otto", "spiffe://site.local/admin/second")
"""Who reviews and approves."""
ENTRY_RULES = EntryRules(
    {
        "wanted": CategoryRule(),
        "missing": CategoryRule(minors=True),
        "barred": CategoryRule(),
        VOLUNTEER: CategoryRule(),
    }
)
"""A policy that asks for nothing but a category."""
POOR = ReasonCode.BLURRED
"""What is wrong with a picture that `poor_picture` makes."""


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **parts: float) -> None:
        self.now += timedelta(**parts)


def open_environment(
    folder: Path, tables: Sequence[Table[Any]], writer: Executor, size_bytes_max: int = 16 * 2**20
) -> Environment:
    return Environment(
        folder, tables, size_bytes_max=size_bytes_max, sealer=PlainSealer(), writer=writer
    )


class KeptActs:
    """A record in memory; what is in `full` cannot be recorded."""

    def __init__(self) -> None:
        self.acts: list[Act] = []
        self.full: set[str] = set()

    async def record(self, act: Act) -> int:
        if act.action in self.full:
            raise NotRecorded("the record is full")
        self.acts.append(act)
        return len(self.acts) - 1

    @property
    def actions(self) -> list[str]:
        """What was done, in order."""
        return [act.action for act in self.acts]


def open_keyring(folder: Path, passphrase: str = "a passphrase for tests") -> Keyring:
    """The keyring of a folder, with a guess at its passphrase made cheap."""
    secrets = WrappingSecrets(folder / "never-backed-up")
    return Keyring(folder / "keyring", secrets, passphrase, cost=ScryptCost(n=2))


def facing(degrees: float) -> Template:
    """A template; the score of two is the cosine of the angle between them."""
    angle = math.radians(degrees)
    vector = np.array([math.cos(angle), math.sin(angle), 0, 0], dtype=np.float32)
    return Template(vector, MODEL)


def poor_picture(degrees: float, take: int = 0) -> bytes:
    """The same below the gate."""
    return f"{degrees} {take} poor".encode()


def picture(degrees: float, take: int = 0) -> bytes:
    """A picture of the face at an angle; takes of one face differ in their bytes alone."""
    return f"{degrees} {take}".encode()


@dataclass(frozen=True, slots=True)
class Seen:
    """What the examiner gives."""

    template: Template
    quality: Quality
    face_jpeg: bytes
    shortcomings: tuple[Reason, ...] = ()


class DegreesExaminer:
    """Reads pictures made by `picture` and `poor_picture`; anything else shows no face."""

    def examine(
        self, image: bytes, point: tuple[float, float] | None, *, overridden: bool = False
    ) -> Seen:
        try:
            degrees = float(image.split()[0])
        except (ValueError, IndexError) as error:
            reason = Reason(ReasonCode.NO_FACE, "no face was found")
            raise UnusablePicture(reason.message, (reason,)) from error
        wrong = (Reason(POOR, "blurred"),) if image.endswith(b"poor") else ()
        if wrong and not overridden:
            raise UnusablePicture("blurred", wrong)
        return Seen(facing(degrees), QUALITY, b"face of " + image, wrong)


def a_frame(sequence: int, *, camera_id: str = "north", captured_at: datetime = NOON) -> Frame:
    return Frame(camera_id, sequence, captured_at, 0.0, b"jpeg")


def a_sighting(entry_id: str = "s-1", score: float = 0.7) -> Sighting:
    candidate = Candidate(entry_id, "0123456789abcdef", score, 0.25, 0.5, "wanted")
    return Sighting(candidate, Box(1.0, 2.0, 30.0, 40.0), QUALITY, f"probe of {entry_id}".encode())
