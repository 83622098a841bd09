"""Cases whose truth is known, put among the matches to measure the people who judge them (R27).

To everyone but who made them they are matches like any other, in every answer: what marks them is a
row of its own that no answer is made from. They count nowhere (`MatchLog.count_alerts`), and the
record of acts says of them that they are `seeded`.
"""

from __future__ import annotations

import random
import secrets
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby

from cordon_server.domain import Box, Candidate, Frame, Quality, Sighting
from cordon_server.matches.log import MatchLog
from cordon_server.matches.rates import Rate, rate
from cordon_server.matches.records import (
    MATCHES,
    REVISIONS,
    SEED_RESULTS,
    SEEDS,
    Decision,
    MatchRecord,
    SeedRecord,
    SeedResultRecord,
    match_key,
    match_of,
)
from cordon_server.store.environment import Environment, Transaction

ABOVE_THRESHOLD = (0.02, 0.2)
"""How far above the threshold a case's score lies where no match is there to take it from."""
LEAD = (0.1, 0.4)
"""Its margin then."""
JITTER = 0.01
"""How far its figures lie beside those of the match that they are taken from."""
OBSERVATIONS = 2
"""Its agreeing views then: as many as a track needs."""
SHIFT = 20.0
"""How far its middle lies from that of the match, in pixels."""
FACE_PER_EYES = 2.4
"""A face's width in distances between the eyes."""


@dataclass(frozen=True, slots=True)
class Case:
    """What a supervisor knows the truth of: this face, taken for that entry, at that camera."""

    candidate: Candidate
    """That entry as recognition would find it; its score and margin are made up here."""
    camera_id: str
    frame_sequence: int
    """The camera's newest."""
    captured_at: datetime
    """When that was taken, by the camera's clock as all its frames."""
    probe_jpeg: bytes
    quality: Quality
    is_true: bool


@dataclass(frozen=True, slots=True)
class OperatorResult:
    """How one person judged known cases."""

    user_id: str
    missed: Rate
    """Of true cases, those judged false."""
    accepted: Rate
    """Of false cases, those judged true."""
    undecided: Rate
    """Of all cases."""
    errors: Rate
    """Of all cases, those judged wrongly."""


class SeededCases:
    """The known cases of one deployment."""

    def __init__(
        self,
        log: MatchLog,
        environment: Environment,
        *,
        chance: random.Random | None = None,
    ) -> None:
        """`chance` picks what nobody may foresee; the system's own where None."""
        self._log = log
        self._environment = environment
        self._chance = chance or secrets.SystemRandom()

    async def place(self, case: Case, user_id: str) -> int:
        """Puts a case into the log, in the figures of the matches that are there; its match."""
        real = await self._environment.read(lambda txn: _like(txn, case.camera_id))
        frame = Frame(case.camera_id, case.frame_sequence, case.captured_at, 0.0, b"")
        sighting = self._sighting(case, real)
        (match_id,) = await self._log.append(
            frame, (sighting,), seed=SeedRecord(case.is_true, user_id)
        )
        return match_id

    async def holds(self, match_id: int) -> bool:
        """Whether a match is such a case."""
        return (
            await self._environment.read(lambda txn: txn.get(SEEDS, match_key(match_id)))
            is not None
        )

    async def report(self, since: datetime | None) -> list[OperatorResult]:
        """How each person judged known cases since then, or in all, by user.

        Of cases that wait for another judgement nothing: whoever asks may be the one to make it,
        and would learn what the first reviewer holds (R11).
        """

        def act(txn: Transaction) -> list[SeedResultRecord]:
            return [
                result for key, result in txn.scan(SEED_RESULTS) if not _waits(txn, match_of(key))
            ]

        results = [
            result
            for result in await self._environment.read(act)
            if since is None or result.create_time >= since
        ]
        results.sort(key=lambda result: result.user_id)
        return [
            operator_result(user_id, list(own))
            for user_id, own in groupby(results, lambda result: result.user_id)
        ]

    def _sighting(self, case: Case, real: list[MatchRecord]) -> Sighting:
        chance = self._chance
        entry, observations = case.candidate, OBSERVATIONS
        score = entry.threshold + chance.uniform(*ABOVE_THRESHOLD)
        margin = chance.uniform(*LEAD)
        middle = chance.uniform(150, 1200), chance.uniform(130, 500)
        if like := [match for match in real if match.score >= entry.threshold]:
            match = chance.choice(like)
            score = max(entry.threshold, match.score + chance.uniform(-JITTER, JITTER))
            margin = match.margin + chance.uniform(0, JITTER)
            observations = match.observations
            middle = (
                match.box.x + match.box.width / 2 + chance.uniform(-SHIFT, SHIFT),
                match.box.y + match.box.height / 2 + chance.uniform(-SHIFT, SHIFT),
            )
        margin = min(score, max(margin, entry.margin_min + chance.uniform(0, JITTER)))
        return Sighting(
            replace(entry, score=score, margin=margin),
            _box(middle, case.quality),
            case.quality,
            case.probe_jpeg,
            observations=observations,
        )


def operator_result(user_id: str, results: list[SeedResultRecord]) -> OperatorResult:
    """What one person's judgements on known cases come to."""
    true = [each for each in results if each.is_true]
    false = [each for each in results if not each.is_true]
    missed = sum(each.decision is Decision.FALSE for each in true)
    accepted = sum(each.decision is Decision.TRUE for each in false)
    undecided = sum(each.decision is Decision.UNDECIDED for each in results)
    return OperatorResult(
        user_id,
        missed=rate(missed, len(true)),
        accepted=rate(accepted, len(false)),
        undecided=rate(undecided, len(results)),
        errors=rate(missed + accepted, len(results)),
    )


def _waits(txn: Transaction, key: bytes) -> bool:
    """Whether a match is there and not decided."""
    record = txn.get(MATCHES, key)
    return record is not None and record.adjudication is None


def _box(middle: tuple[float, float], quality: Quality) -> Box:
    width = quality.inter_eye_px * FACE_PER_EYES
    height = 1.3 * width
    return Box(max(0.0, middle[0] - width / 2), max(0.0, middle[1] - height / 2), width, height)


def _like(txn: Transaction, camera_id: str) -> list[MatchRecord]:
    """The matches that recognition raised, each as it was at first: a case is never bettered. Those
    of one camera where there are any, for others see other places, and others again stills."""
    first = [
        revision.match
        for key, _ in txn.scan(MATCHES)
        if txn.get(SEEDS, key) is None
        and (revision := txn.get(REVISIONS, key)) is not None
        and revision.match is not None
    ]
    return [match for match in first if match.camera_id == camera_id] or first
