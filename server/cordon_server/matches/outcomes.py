"""What came of decided matches on the street."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from cordon_server.acts import AuditClass, Fact, Recorder
from cordon_server.domain import NotReady
from cordon_server.matches.acting import act_of
from cordon_server.matches.log import MatchLog
from cordon_server.matches.records import (
    OUTCOMES,
    SEEDS,
    MatchRecord,
    Outcome,
    OutcomeRecord,
    Reviewer,
    SeedRecord,
    found_match,
    match_key,
)
from cordon_server.matches.silencing import Silencing
from cordon_server.store.environment import Environment, Transaction


class Outcomes:
    """The outcomes of one deployment's matches."""

    def __init__(
        self,
        log: MatchLog,
        environment: Environment,
        silencing: Silencing,
        *,
        deployment_id: str,
        recorder: Recorder,
        clock: Callable[[], datetime],
    ) -> None:
        self._log = log
        self._environment = environment
        self._silencing = silencing
        self._deployment_id = deployment_id
        self._recorder = recorder
        self._clock = clock

    async def record(
        self, match_id: int, outcome: Outcome, reviewer: Reviewer, *, dry_run: bool
    ) -> MatchRecord:
        """Keeps what came of a match; whoever was stopped wrongly is not taken for that person
        again, until a later outcome says otherwise. Raises `NotFound`, or `NotReady` before there
        is a decision (R10).

        A known case takes an outcome like any other match, and it counts nowhere.
        """

        def look(txn: Transaction) -> tuple[MatchRecord, SeedRecord | None]:
            record = found_match(txn, match_id)
            if record.adjudication is None:
                raise NotReady(
                    f"match {match_id} is not decided, and nobody is approached before that; "
                    f"first: cordon control adjudicate {self._deployment_id}/{match_id}",
                    reason="NOT_DECIDED",
                )
            return record, txn.get(SEEDS, match_key(match_id))

        def keep(txn: Transaction) -> None:
            key = match_key(match_id)
            txn.put(OUTCOMES, key, OutcomeRecord(outcome, reviewer, self._clock()))
            if outcome is Outcome.STOPPED_WRONG and seed is None:
                self._silencing.keep(txn, record)
            else:
                self._silencing.free(txn, record)

        async with self._log.changing:
            record, seed = await self._environment.read(look)
            if not dry_run:
                facts: dict[str, Fact] = {"outcome": str(outcome)}
                if seed is not None:
                    facts["seeded"] = seed.truth
                await self._recorder.record(
                    act_of(
                        self._deployment_id,
                        AuditClass.ALTERATION,
                        "match.outcome",
                        match_id,
                        reviewer,
                        facts,
                    )
                )
                await self._environment.write(keep)
                self._silencing.decided(record)
        return record

    async def of(self, match_id: int) -> OutcomeRecord | None:
        """What came of a match, as far as it is known."""
        return await self._environment.read(lambda txn: txn.get(OUTCOMES, match_key(match_id)))
