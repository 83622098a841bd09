"""The leaves of a deployment's record as a server writes them, for what is computed from leaves."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

START = datetime(2026, 5, 1, 10, tzinfo=UTC)
DEPLOYMENT = "market"
FORECAST = {
    "basis": "list",
    "probes": 200,
    "subjects": 200,
    "references": 260,
    "threshold": 0.47,
    "faces_per_hour": 600.0,
    "hours": 8.0,
    "operators": 2,
    "fpir": 0.0007,
    "fpir_low": 0.0001,
    "fpir_high": 0.0015,
    "false_matches": 3.5,
    "false_matches_low": 0.0,
    "false_matches_high": 9.0,
    "per_hour": 0.4,
    "per_hour_low": 0.1,
    "per_hour_high": 0.9,
    "per_operator_10_min": 0.04,
    "per_operator_10_min_low": 0.01,
    "per_operator_10_min_high": 0.08,
    "fpir_max": 0.001,
    "threshold_floor": 0.45,
}


def made_of(letter: str) -> dict[str, str]:
    """The facts of a server's components; another letter for others."""
    return {
        "components": letter * 64,
        "detector": "yunet",
        "detector_sha256": "d" * 64,
        "detector_licence": "MIT",
        "embedder": "sface",
        "embedder_sha256": letter * 64,
        "embedder_licence": "Apache-2.0",
    }


class Recording:
    """Leaves in order, a minute apart."""

    def __init__(self, deployment: str = DEPLOYMENT) -> None:
        self.leaves: list[dict[str, Any]] = []
        self._deployment = deployment
        self._now = START

    def add(self, action: str, resource: str = "", /, **facts: Any) -> None:
        """One leaf; a double underscore in a fact's name is a dot."""
        self._now += timedelta(minutes=1)
        self.leaves.append(
            {
                "v": 1,
                "index": len(self.leaves),
                "time": self._now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                "kind": "none",
                "action": action,
                "deployment": self._deployment,
                "resource": resource or f"deployments/{self._deployment}",
                "machine": "",
                "facts": {name.replace("__", "."): fact for name, fact in facts.items()},
            }
        )

    def server_started(self, letter: str) -> None:
        """A server that begins to serve, made of what goes by the letter."""
        self.add("server.started", "", version="1", **made_of(letter))
        self.leaves[-1] |= {"deployment": "", "resource": ""}

    def match(self, number: int, decision: str = "", outcome: str = "", **facts: Any) -> None:
        """A match with what became of it."""
        name = f"deployments/{self._deployment}/matches/{number}"
        self.add("match.raised", name, match=number, camera="north", category="wanted", **facts)
        if decision:
            self.add("match.adjudicated", name, match=number, decision="", reviewer=1)
            self.add("match.adjudicated", name, match=number, decision=decision, reviewer=2)
        if outcome:
            self.add("match.outcome", name, match=number, outcome=outcome)


def a_deployment() -> list[dict[str, Any]]:
    """One that saw 5,000 people: nine alerts, six of them true, two false, one not judged; and two
    known cases, one of them judged right."""
    made = Recording()
    made.server_started("a")
    made.add("deployment.created")
    made.add(
        "deployment.submitted",
        location="Market Street, north entrance",
        purpose="sought-at-place",
        start_time="2026-05-01T10:00:00+00:00",
        end_time="2026-05-01T18:00:00+00:00",
        forecast=json.dumps(FORECAST),
    )
    made.add("deployment.authorised", authority="ab" * 32)
    made.add(
        "deployment.armed",
        policy="uk-police",
        policy_version=1,
        policy_digest="cd" * 32,
        threshold=0.47,
        references=260,
        entries__missing=12,
        entries__wanted=188,
        ceiling__per_face=0.001,
        ceiling__confidence=0.95,
        **made_of("a"),
    )
    for number, decision, outcome in _NINE:
        made.match(number, decision, outcome)
        made.add("deployment.counts", **_counts(500 * number))
    made.match(10, "true", seeded="true")
    made.match(11, "true", seeded="false")
    made.add("match.receipt", match=3)
    made.add("deployment.halted", cause="person")
    made.add("deployment.resumed", **made_of("a"))
    made.add("deployment.counts", **_counts(5000))
    made.add("deployment.ended", entries=199, references=259, matches=11, is_over=False)
    return made.leaves


_NINE = [
    (1, "true", "arrested"),
    (2, "true", "arrested"),
    (3, "false", "stopped_wrong"),
    (4, "true", "lost"),
    (5, "undecided", ""),
    (6, "true", "safeguarded"),
    (7, "false", "no_action"),
    (8, "true", "arrested"),
    (9, "true", ""),
]


def _counts(people: int) -> dict[str, int]:
    return {
        "frames": 4 * people,
        "faces": 20 * people,
        "searched": 15 * people,
        "too_small": 3 * people,
        "too_poor": people,
        "shed": people,
        "outside_zone": 0,
        "people": people,
        "people_searched": people * 4 // 5,
        "matches": 9,
    }
