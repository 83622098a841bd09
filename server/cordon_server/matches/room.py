"""Everything of one deployment's matches, put together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from cordon_server.acts import Recorder
from cordon_server.matches import records
from cordon_server.matches.drift_watch import DRIFT, DriftWatch, Tell
from cordon_server.matches.log import MatchLog
from cordon_server.matches.outcomes import Outcomes
from cordon_server.matches.review import Review
from cordon_server.matches.seeds import SeededCases
from cordon_server.matches.silencing import Silencing
from cordon_server.matches.suppression import Suppressions
from cordon_server.matches.views import ReviewRule
from cordon_server.matches.volunteers import Volunteers
from cordon_server.store.environment import Environment

TABLES = (*records.TABLES, DRIFT)


@dataclass(frozen=True, slots=True)
class Matches:
    """The log of one deployment that has not ended, and what people make of it."""

    log: MatchLog
    review: Review
    outcomes: Outcomes
    seeds: SeededCases
    silenced: Suppressions
    volunteers: Volunteers
    drift: DriftWatch


def open_matches(
    environment: Environment,
    *,
    deployment_id: str,
    model_id: str,
    rule: ReviewRule,
    recorder: Recorder,
    clock: Callable[[], datetime],
    on_drift: Tell = lambda _: None,
) -> Matches:
    """Those that the deployment's database holds (`TABLES`)."""
    log = MatchLog(
        environment,
        deployment_id=deployment_id,
        model_id=model_id,
        recorder=recorder,
        clock=clock,
    )
    silencing = Silencing(environment)
    review = Review(
        log,
        environment,
        silencing,
        rule,
        deployment_id=deployment_id,
        recorder=recorder,
        clock=clock,
    )
    outcomes = Outcomes(
        log,
        environment,
        silencing,
        deployment_id=deployment_id,
        recorder=recorder,
        clock=clock,
    )
    seeds = SeededCases(log, environment)
    volunteers = Volunteers(
        environment, deployment_id=deployment_id, recorder=recorder, clock=clock
    )
    drift = DriftWatch(
        environment,
        deployment_id=deployment_id,
        recorder=recorder,
        clock=clock,
        tell=on_drift,
    )
    return Matches(log, review, outcomes, seeds, silencing.faces, volunteers, drift)
