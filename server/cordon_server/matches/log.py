"""The match log: a sequence per deployment without gaps, read by everyone at their own pace.

Subscribers are not told matches, only that there are some: each reads the log from where it stands,
so a slow one costs nothing and nobody can be overrun. What people make of the matches is kept
beside it (`review`, `outcomes`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile

from cordon_server.acts import Act, AuditClass, Fact, Recorder
from cordon_server.domain import Frame, Sighting
from cordon_server.matches.records import (
    CLAIMS,
    JUDGEMENTS,
    MATCH_IMAGES,
    MATCH_TEMPLATES,
    MATCHES,
    OUTCOMES,
    PROBES_MAX,
    REVISIONS,
    SEEDS,
    SHOWN,
    Decision,
    MatchRecord,
    RevisionRecord,
    SeedRecord,
    found_match,
    head_of,
    judgements_of,
    match_key,
    probes_of,
    revision_key,
)
from cordon_server.store.environment import Environment, Table, Transaction

_OF_A_MATCH: tuple[Table[object], ...] = (  # type: ignore[assignment]  # only their names matter
    MATCHES,
    MATCH_IMAGES,
    MATCH_TEMPLATES,
    JUDGEMENTS,
    CLAIMS,
    SHOWN,
    OUTCOMES,
)
"""Where a match's own rows are, under keys that begin with its own."""


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of one sighting: a match or a revision of one, or nothing new."""

    record: MatchRecord
    sighting: Sighting
    is_written: bool


class MatchLog:
    """The log of one deployment that has not ended."""

    def __init__(
        self,
        environment: Environment,
        *,
        deployment_id: str,
        model_id: str,
        recorder: Recorder,
        clock: Callable[[], datetime],
    ) -> None:
        self._environment = environment
        self._deployment_id = deployment_id
        self._model_id = model_id
        self._recorder = recorder
        self._clock = clock
        self._grown = asyncio.Condition()
        self.changing = asyncio.Lock()
        """Held from looking at matches to writing what follows: the act is recorded between."""
        self.head = environment.read_now(head_of)
        """The newest sequence; 0 when there is none."""
        self.is_closed = False

    async def append(
        self,
        frame: Frame,
        sightings: Sequence[Sighting],
        betters: Sequence[int | None] = (),
        *,
        seed: SeedRecord | None = None,
    ) -> list[int]:
        """Writes a frame's sightings, then wakes who waits; the match of each.

        `betters` names the match that a sighting improves, or None for a new one. A match that a
        person has judged keeps the pictures that were judged. `seed` marks the sightings as cases
        whose truth is known. Raises `NotRecorded` when the record has no room: then nothing is
        written.
        """
        of = betters or [None] * len(sightings)
        now = self._clock()
        async with self.changing:
            steps = await self._environment.read(
                lambda txn: self._plan(txn, frame, sightings, of, now)
            )
            for step in steps:
                if step.is_written and step.record.revision == 0:
                    await self._recorder.record(self._raised(step.record, seed))
            head = await self._environment.write(lambda txn: _commit(txn, steps, seed))
        async with self._grown:
            self.head = max(self.head, head)
            self._grown.notify_all()
        return [step.record.match_id for step in steps]

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

    async def after(self, sequence: int, count: int) -> list[tuple[int, MatchRecord | None]]:
        """Up to `count` revisions after the sequence, in order, each with its own; None where it
        was deleted."""

        def act(txn: Transaction) -> list[tuple[int, MatchRecord | None]]:
            scan = txn.scan(REVISIONS, after=match_key(sequence))
            return [
                (int.from_bytes(key, "big"), record.match)
                for (key, record), _ in zip(scan, range(count), strict=False)
            ]

        return await self._environment.read(act)

    async def page(self, match_id: int, count: int) -> list[MatchRecord]:
        """Up to `count` matches after the one named, each in its newest state."""

        def act(txn: Transaction) -> list[MatchRecord]:
            scan = txn.scan(MATCHES, after=match_key(match_id))
            return [record for (_, record), _ in zip(scan, range(count), strict=False)]

        return await self._environment.read(act)

    async def count(self) -> int:
        """How many matches people see."""
        return await self._environment.read(lambda txn: txn.count(MATCHES))

    async def count_alerts(self) -> int:
        """How many of them recognition has raised: what is reported."""

        def act(txn: Transaction) -> int:
            seeds = sum(txn.get(MATCHES, key) is not None for key, _ in txn.scan(SEEDS))
            return txn.count(MATCHES) - seeds

        return await self._environment.read(act)

    async def false_alerts(self) -> list[int]:
        """The matches that people found false, of those that recognition raised (R16)."""

        def act(txn: Transaction) -> list[int]:
            return [
                record.match_id
                for key, record in txn.scan(MATCHES)
                if record.adjudication is not None
                and record.adjudication.decision is Decision.FALSE
                and txn.get(SEEDS, key) is None
            ]

        return await self._environment.read(act)

    async def get(self, match_id: int) -> MatchRecord:
        """One match in its newest state; raises `NotFound`."""
        return await self._environment.read(lambda txn: found_match(txn, match_id))

    async def probes(self, match_id: int) -> list[bytes]:
        """JPEG of a match's views, the best first; raises `NotFound`."""

        def act(txn: Transaction) -> list[bytes]:
            found_match(txn, match_id)
            return probes_of(txn, match_id)

        return await self._environment.read(act)

    async def purge(self, match_id: int) -> None:
        """Deletes all of a match but its places in the log; nothing happens when it is gone.

        A face that was judged not to be the listed person's stays silenced (`suppression`), and
        results on known cases stay.
        """
        async with self.changing:
            await self._environment.write(lambda txn: _purge(txn, match_id))

    def _raised(self, record: MatchRecord, seed: SeedRecord | None) -> Act:
        where = f"deployments/{self._deployment_id}"
        facts: dict[str, Fact] = {
            "match": record.match_id,
            "camera": record.camera_id,
            "category": record.category,
        }
        personal = {"entry": record.entry_id}
        if seed is not None:
            facts["seeded"] = seed.truth
            personal |= {"person": seed.user_id}
        return Act(
            AuditClass.COLLECTION,
            "match.raised",
            deployment_id=self._deployment_id,
            resource=f"{where}/matches/{record.match_id}",
            facts=facts,
            personal=personal,
        )

    def _plan(
        self,
        txn: Transaction,
        frame: Frame,
        sightings: Sequence[Sighting],
        betters: Sequence[int | None],
        now: datetime,
    ) -> list[Step]:
        steps: list[Step] = []
        sequence = head_of(txn)
        for sighting, match in zip(sightings, betters, strict=True):
            earlier = None if match is None else txn.get(MATCHES, match_key(match))
            if earlier is not None and judgements_of(txn, earlier.match_id):
                steps.append(Step(earlier, sighting, is_written=False))
                continue
            sequence += 1
            record = self._record(sequence, frame, sighting, now, earlier)
            steps.append(Step(record, sighting, is_written=True))
        return steps

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
            look_alikes=candidate.look_alikes,
        )


def _commit(txn: Transaction, steps: Sequence[Step], seed: SeedRecord | None) -> int:
    for step in steps:
        if not step.is_written:
            continue
        record, sighting = step.record, step.sighting
        key = match_key(record.match_id)
        txn.put(REVISIONS, match_key(record.sequence), RevisionRecord(record))
        txn.put(MATCHES, key, record)
        picture_key = revision_key(record.match_id, record.revision)
        txn.put(MATCH_IMAGES, picture_key, sighting.probe_jpeg)
        for old in [key for key, _ in txn.scan(MATCH_IMAGES, prefix=key)][:-PROBES_MAX]:
            txn.delete(MATCH_IMAGES, old)
        if sighting.vector is not None:
            txn.put(MATCH_TEMPLATES, key, sighting.vector.astype("<f4").tobytes())
        if seed is not None:
            txn.put(SEEDS, key, seed)
    return head_of(txn)


def _purge(txn: Transaction, match_id: int) -> None:
    record = txn.get(MATCHES, match_key(match_id))
    if record is None:
        return
    stretch = takewhile(
        lambda row: row[0] <= match_key(record.sequence),
        txn.scan(REVISIONS, after=match_key(match_id - 1)),
    )
    own = [
        key
        for key, revision in stretch
        if revision.match is not None and revision.match.match_id == match_id
    ]
    for key in own:
        txn.put(REVISIONS, key, RevisionRecord(None))
    for table in _OF_A_MATCH:
        for key in [key for key, _ in txn.scan(table, prefix=match_key(match_id))]:
            txn.delete(table, key)
