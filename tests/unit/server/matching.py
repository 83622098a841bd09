"""Matches and the people who judge them, for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from cordon_server.domain import CordonError, NotReady
from cordon_server.matches.places import Verdict
from cordon_server.matches.records import (
    JUDGEMENTS,
    Decision,
    Ground,
    JudgementRecord,
    Reviewer,
    SeedRecord,
    match_key,
)
from cordon_server.matches.room import TABLES, Matches, open_matches
from cordon_server.matches.views import ReviewRule, View, picture_id
from cordon_server.store.environment import Environment
from tests.unit.server.rooms import (
    MODEL,
    NOON,
    Clock,
    KeptActs,
    a_frame,
    a_sighting,
    facing,
    open_environment,
)

DEPLOYMENT = "market"
T, F, U = Decision.TRUE, Decision.FALSE, Decision.UNDECIDED
WHY = {T: Ground.FEATURES_AGREE, F: Ground.FEATURES_DIFFER, U: Ground.PICTURE_POOR}
REFERENCES = [b"reference one", b"reference two"]


def reviewer(name: str, desk: str = "", *, is_supervisor: bool = False) -> Reviewer:
    """Somebody at a workstation, of his own unless another is named."""
    desk = desk or f"desk-{name}"
    machine = f"spiffe://site.local/control/{desk}"
    return Reviewer(
        name, f"session of {name} at {desk}", machine, f"certificate of {desk}", is_supervisor
    )


ANNA, BEN, CARL = reviewer("anna"), reviewer("ben"), reviewer("carl")
SUE = reviewer("sue", is_supervisor=True)


async def judged(
    environment: Environment, match_id: int, who: Reviewer, decision: Decision = Decision.TRUE
) -> None:
    """A judgement on record, whoever may have made it."""
    record = JudgementRecord(1, decision, (Ground.FEATURES_AGREE,), who, (), NOON)
    await environment.write(lambda txn: txn.put(JUDGEMENTS, match_key(match_id) + b"\x01", record))


@dataclass
class ReviewDesk:
    """The matches of a deployment and the people who judge them."""

    environment: Environment
    clock: Clock
    acts: KeptActs

    def open(self, reviewers: int = 1, *, is_blind: bool = False) -> Matches:
        self.matches = open_matches(
            self.environment,
            deployment_id=DEPLOYMENT,
            model_id=MODEL,
            rule=ReviewRule(reviewers, is_blind),
            recorder=self.acts,
            clock=self.clock,
        )
        return self.matches

    async def raise_match(self, *, seed: SeedRecord | None = None) -> int:
        sighting = replace(a_sighting("s-1"), vector=None if seed else facing(10).vector)
        (match,) = await self.matches.log.append(a_frame(1), (sighting,), seed=seed)
        return match

    async def look(self, who: Reviewer, match: int = 1) -> frozenset[str]:
        probes = await self.matches.review.show(match, who, REFERENCES)
        return frozenset(map(picture_id, (*probes, *REFERENCES)))

    async def judge(
        self,
        who: Reviewer,
        decision: Decision,
        match: int = 1,
        *,
        pictures: frozenset[str] | None = None,
        reasons: Iterable[Ground] | None = None,
        dry_run: bool = False,
    ) -> View:
        if pictures is None:
            pictures = await self.look(who, match)
        verdict = Verdict(decision, tuple(reasons or (WHY[decision],)), pictures)
        return await self.matches.review.judge(match, verdict, who, REFERENCES, dry_run=dry_run)

    async def view(self, who: Reviewer, match: int = 1) -> View:
        records = [await self.matches.log.get(match)]
        return (await self.matches.review.views(records, who))[0]

    async def decision(self, match: int = 1) -> Decision | None:
        made = (await self.matches.log.get(match)).adjudication
        return None if made is None else made.decision


@asynccontextmanager
async def a_desk(folder: Path, writer: Executor, clock: Clock) -> AsyncIterator[ReviewDesk]:
    """One with one match that nobody has judged, for the block."""
    environment = open_environment(folder / "matches", TABLES, writer)
    desk = ReviewDesk(environment, clock, KeptActs())
    desk.open()
    await desk.raise_match()
    yield desk
    await environment.close()


async def refused(reason: str, act: object, kind: type[CordonError] = NotReady) -> str:
    """That it is refused for this reason; in which words."""
    with pytest.raises(kind) as error:
        await act  # type: ignore[misc]  # a coroutine of any answer
    assert error.value.reason == reason
    return error.value.message
