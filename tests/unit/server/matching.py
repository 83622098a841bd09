"""Matches and the people who judge them, for tests."""

from __future__ import annotations

from cordon_server.matches.records import (
    JUDGEMENTS,
    Decision,
    Ground,
    JudgementRecord,
    Reviewer,
    match_key,
)
from cordon_server.store.environment import Environment
from tests.unit.server.rooms import NOON

DEPLOYMENT = "market"


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
