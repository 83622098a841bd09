"""The match log: a sequence per deployment without gaps, read by everyone at their own pace.

Subscribers are not told matches, only that there are some: each reads the log from where it stands,
so a slow one costs nothing and nobody can be overrun.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum

import msgspec

from cordon_server.domain import Box, Frame, NotFound, NotReady, Quality, Sighting
from cordon_server.store.environment import Environment, Table, Transaction


class Decision(StrEnum):
    """What a person may decide on a match."""

    TRUE = "true"
    FALSE = "false"
    UNDECIDED = "undecided"


class AdjudicationRecord(msgspec.Struct, frozen=True):
    """A person's decision (R10)."""

    decision: Decision
    adjudicator: str
    create_time: datetime


class MatchRecord(msgspec.Struct, frozen=True):
    """A candidate that passed the decision rule."""

    sequence: int
    camera_id: str
    frame_sequence: int
    captured_at: datetime
    create_time: datetime
    entry_id: str
    category: str
    reference_id: str
    score: float
    margin: float
    threshold: float
    box: Box
    quality: Quality
    model_id: str
    adjudication: AdjudicationRecord | None = None


SEQUENCE_MAX = 2**64 - 1
"""Keys hold a sequence in eight bytes."""

MATCHES = Table("matches", MatchRecord)
MATCH_IMAGES = Table("match_images", bytes)
"""JPEG of the probe's face; every other face in it is blurred (R21)."""


class MatchLog:
    """The log of one deployment that has not ended."""

    def __init__(
        self, environment: Environment, *, model_id: str, clock: Callable[[], datetime]
    ) -> None:
        self._environment = environment
        self._model_id = model_id
        self._clock = clock
        self._grown = asyncio.Condition()
        self.head = environment.read_now(_head)
        """The newest sequence; 0 when there is none."""
        self.is_closed = False

    async def append(self, frame: Frame, sightings: tuple[Sighting, ...]) -> None:
        """Writes a frame's sightings as matches, then wakes who waits."""
        now = self._clock()

        def act(txn: Transaction) -> int:
            head = _head(txn)
            for sighting in sightings:
                head += 1
                txn.put(MATCHES, _key(head), self._record(head, frame, sighting, now))
                txn.put(MATCH_IMAGES, _key(head), sighting.probe_jpeg)
            return head

        head = await self._environment.write(act)
        async with self._grown:
            self.head = max(self.head, head)
            self._grown.notify_all()

    async def close(self) -> None:
        """Ends every wait; the deployment is over or the server stops."""
        async with self._grown:
            self.is_closed = True
            self._grown.notify_all()

    async def wait_beyond(self, sequence: int, timeout_s: float) -> None:
        """Returns when the log has grown beyond the sequence, has closed, or the time is over."""
        try:
            async with asyncio.timeout(timeout_s), self._grown:
                await self._grown.wait_for(lambda: self.head > sequence or self.is_closed)
        except TimeoutError:
            return

    async def after(self, sequence: int, count: int) -> list[MatchRecord]:
        """Up to `count` matches after the sequence, in order."""

        def act(txn: Transaction) -> list[MatchRecord]:
            scan = txn.scan(MATCHES, after=_key(sequence))
            return [record for (_, record), _ in zip(scan, range(count), strict=False)]

        return await self._environment.read(act)

    async def get(self, sequence: int) -> MatchRecord:
        """One match; raises `NotFound`."""
        return await self._environment.read(lambda txn: _found(txn, sequence))

    async def image(self, sequence: int) -> bytes:
        """JPEG of a match's probe; raises `NotFound`."""

        def act(txn: Transaction) -> bytes:
            _found(txn, sequence)
            return txn.get(MATCH_IMAGES, _key(sequence)) or b""

        return await self._environment.read(act)

    async def adjudicate(
        self, sequence: int, decision: Decision, adjudicator: str, *, dry_run: bool
    ) -> MatchRecord:
        """Records a person's decision; raises `NotFound`, or `NotReady` when there is one.

        The same person deciding the same again changes nothing.
        """

        def act(txn: Transaction) -> MatchRecord:
            record = _found(txn, sequence)
            if (earlier := record.adjudication) is not None:
                if (earlier.decision, earlier.adjudicator) == (decision, adjudicator):
                    return record
                raise NotReady(f"match {sequence} was decided before and a decision stands")
            decided = msgspec.structs.replace(
                record, adjudication=AdjudicationRecord(decision, adjudicator, self._clock())
            )
            if not dry_run:
                txn.put(MATCHES, _key(sequence), decided)
            return decided

        return await self._environment.write(act)

    def _record(
        self, sequence: int, frame: Frame, sighting: Sighting, now: datetime
    ) -> MatchRecord:
        candidate = sighting.candidate
        return MatchRecord(
            sequence=sequence,
            camera_id=frame.camera_id,
            frame_sequence=frame.sequence,
            captured_at=frame.captured_at,
            create_time=now,
            entry_id=candidate.entry_id,
            category=candidate.category,
            reference_id=candidate.reference_id,
            score=candidate.score,
            margin=candidate.margin,
            threshold=candidate.threshold,
            box=sighting.box,
            quality=sighting.quality,
            model_id=self._model_id,
        )


def _key(sequence: int) -> bytes:
    return sequence.to_bytes(8, "big")


def _head(txn: Transaction) -> int:
    return int.from_bytes(txn.last_key(MATCHES) or b"", "big")


def _found(txn: Transaction, sequence: int) -> MatchRecord:
    record = txn.get(MATCHES, _key(sequence))
    if record is None:
        raise NotFound(
            f"there is no match {sequence} in this deployment's log; its newest is {_head(txn)}"
        )
    return record
