"""The match log: a sequence per deployment without gaps, read by everyone at their own pace.

Subscribers are not told matches, only that there are some: each reads the log from where it stands,
so a slow one costs nothing and nobody can be overrun.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
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
    """A candidate that passed the decision rule, as it was when this revision was written."""

    match_id: int
    """The sequence of its first revision."""
    sequence: int
    revision: int
    observations: int
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

REVISIONS = Table("revisions", MatchRecord)
"""Every state of every match by sequence: what subscribers follow."""
MATCHES = Table("matches", MatchRecord)
"""The newest state of each match by its id, with its adjudication."""
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

    async def append(
        self, frame: Frame, sightings: Sequence[Sighting], betters: Sequence[int | None] = ()
    ) -> list[int]:
        """Writes a frame's sightings, then wakes who waits; the match of each.

        `betters` names the match that a sighting improves, or None for a new one. A match that a
        person has decided keeps the pictures that were decided on.
        """
        now = self._clock()
        of = betters or [None] * len(sightings)

        def act(txn: Transaction) -> tuple[int, list[int]]:
            matches = [
                self._write(txn, frame, sighting, match, now)
                for sighting, match in zip(sightings, of, strict=True)
            ]
            return _head(txn), matches

        head, matches = await self._environment.write(act)
        async with self._grown:
            self.head = max(self.head, head)
            self._grown.notify_all()
        return matches

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
        """Up to `count` revisions after the sequence, in order."""
        return await self._page(REVISIONS, sequence, count)

    async def page(self, match_id: int, count: int) -> list[MatchRecord]:
        """Up to `count` matches after the one named, each in its newest state."""
        return await self._page(MATCHES, match_id, count)

    async def count(self) -> int:
        """How many matches there are."""
        return await self._environment.read(lambda txn: txn.count(MATCHES))

    async def get(self, match_id: int) -> MatchRecord:
        """One match in its newest state; raises `NotFound`."""
        return await self._environment.read(lambda txn: _found(txn, match_id))

    async def image(self, match_id: int) -> bytes:
        """JPEG of a match's probe; raises `NotFound`."""

        def act(txn: Transaction) -> bytes:
            _found(txn, match_id)
            return txn.get(MATCH_IMAGES, _key(match_id)) or b""

        return await self._environment.read(act)

    async def adjudicate(
        self, match_id: int, decision: Decision, adjudicator: str, *, dry_run: bool
    ) -> MatchRecord:
        """Records a person's decision; raises `NotFound`, or `NotReady` when there is one.

        The same person deciding the same again changes nothing.
        """

        def act(txn: Transaction) -> MatchRecord:
            record = _found(txn, match_id)
            if (earlier := record.adjudication) is not None:
                if (earlier.decision, earlier.adjudicator) == (decision, adjudicator):
                    return record
                raise NotReady(f"match {match_id} was decided before and a decision stands")
            decided = msgspec.structs.replace(
                record, adjudication=AdjudicationRecord(decision, adjudicator, self._clock())
            )
            if not dry_run:
                txn.put(MATCHES, _key(match_id), decided)
            return decided

        return await self._environment.write(act)

    async def _page(self, table: Table[MatchRecord], after: int, count: int) -> list[MatchRecord]:
        def act(txn: Transaction) -> list[MatchRecord]:
            scan = txn.scan(table, after=_key(after))
            return [record for (_, record), _ in zip(scan, range(count), strict=False)]

        return await self._environment.read(act)

    def _write(
        self, txn: Transaction, frame: Frame, sighting: Sighting, betters: int | None, now: datetime
    ) -> int:
        earlier = None if betters is None else txn.get(MATCHES, _key(betters))
        if earlier is not None and earlier.adjudication is not None:
            return earlier.match_id
        record = self._record(_head(txn) + 1, frame, sighting, now, earlier)
        txn.put(REVISIONS, _key(record.sequence), record)
        txn.put(MATCHES, _key(record.match_id), record)
        txn.put(MATCH_IMAGES, _key(record.match_id), sighting.probe_jpeg)
        return record.match_id

    def _record(
        self,
        sequence: int,
        frame: Frame,
        sighting: Sighting,
        now: datetime,
        earlier: MatchRecord | None,
    ) -> MatchRecord:
        candidate = sighting.candidate
        return MatchRecord(
            match_id=sequence if earlier is None else earlier.match_id,
            sequence=sequence,
            revision=0 if earlier is None else earlier.revision + 1,
            observations=sighting.observations,
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
    return int.from_bytes(txn.last_key(REVISIONS) or b"", "big")


def _found(txn: Transaction, match_id: int) -> MatchRecord:
    record = txn.get(MATCHES, _key(match_id))
    if record is None:
        raise NotFound(
            f"there is no match {match_id} in this deployment's log, which ends at {_head(txn)}; "
            "see: cordon control matches"
        )
    return record
