"""A report's numbers, from the leaves of the record alone."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import resources
from statistics import NormalDist
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cordon_admin.verifier import FaultError, recompute, share
from tests.helpers.deployment_record import (
    DEPLOYMENT,
    FORECAST,
    Recording,
    a_deployment,
    made_of,
)


@pytest.mark.serves("R20")
def test_every_number_is_what_the_leaves_say() -> None:
    report = recompute(a_deployment(), DEPLOYMENT)

    assert report["place"] == "Market Street, north entrance"
    assert report["use_case"] == "sought-at-place"
    assert report["window"] == {
        "start": "2026-05-01T10:00:00+00:00",
        "end": "2026-05-01T18:00:00+00:00",
    }
    assert report["policy"] == {"name": "uk-police", "version": "1", "digest": "cd" * 32}
    assert report["authority_digest"] == "ab" * 32
    assert report["threshold"] == 0.47
    assert report["forecast"] == FORECAST
    assert report["ceiling"] == {"per_face": 0.001, "confidence": 0.95}
    assert report["list"] == {
        "entries": 200,
        "by_category": {"missing": 12, "wanted": 188},
        "references": 260,
    }
    assert report["faces"] == {
        "frames": 20_000,
        "seen": 5000,
        "searched": 4000,
        "not_searched": 1000,
        "detections": 100_000,
        "detections_by_fate": {
            "searched": 75_000,
            "too_small": 15_000,
            "too_poor": 5000,
            "shed": 5000,
            "outside_zone": 0,
        },
    }
    assert report["alerts"] == {
        "raised": 9,
        "true": 6,
        "false": 2,
        "undecided": 1,
        "unresolved": 1,
        "by_category": {"wanted": 9},
        "by_camera": {"north": 9},
    }
    assert report["outcomes"] == {
        "arrested": 3,
        "lost": 1,
        "no_action": 1,
        "safeguarded": 1,
        "stopped_wrong": 1,
    }
    assert report["receipts"] == 1
    assert report["seeded"] == {"shown": 2, "judged": 2, "right": 1}


@pytest.mark.serves("R20")
def test_both_denominators_stand_in_it_with_their_intervals() -> None:
    rates = recompute(a_deployment(), DEPLOYMENT)["rates"]

    assert (rates["false_per_face"]["count"], rates["false_per_face"]["of"]) == (2, 5000)
    assert (rates["false_per_alert"]["count"], rates["false_per_alert"]["of"]) == (2, 9)
    assert (rates["false_per_resolved_alert"]["of"]) == 8
    for each in (rates["false_per_face"], rates["false_per_alert"]):
        assert each["low"] < each["value"] < each["high"]


@pytest.mark.serves("R12", "R20")
def test_a_report_is_what_its_schema_says() -> None:
    report = recompute(a_deployment(), DEPLOYMENT)

    _schema().validate(report)
    for name in report:
        with pytest.raises(jsonschema.ValidationError):
            _schema().validate({**report, name: object})


@pytest.mark.serves("R20", "R30")
@pytest.mark.parametrize(
    ("story", "told"),
    [
        (["start a", "created"], ""),
        (["start a", "created", "armed a", "ended", "start b"], "a"),
        (["start a", "created", "armed a", "start a"], "a"),
        (["start a", "created", "armed a", "start b", "ended"], "ab"),
        (["start a", "created", "start b", "armed b"], "b"),
        (["created", "armed a", "halted", "start b", "start c", "resumed c"], "ac"),
        (["created", "armed a", "suspended", "start b", "ended"], "a"),
        (["created", "armed a", "halted", "resumed a"], "a"),
        (["created", "armed a", "start b", "start a"], "aba"),
    ],
)
def test_what_recognised_is_told_and_each_time_that_it_was_something_else(
    story: list[str], told: str
) -> None:
    made = Recording()
    for step in story:
        what, _, letter = step.partition(" ")
        if what == "start":
            made.server_started(letter)
        else:
            made.add(f"deployment.{what}", **(made_of(letter) if letter else {}))

    report = recompute(made.leaves, DEPLOYMENT)

    _schema().validate(report)
    assert [each["components"] for each in report["made_of"]] == [each * 64 for each in told]
    assert all(each["embedder"]["sha256"] == each["components"] for each in report["made_of"])


def test_a_deployment_that_was_never_armed_has_a_report() -> None:
    made = Recording()
    made.add("deployment.created")
    made.add("deployment.ended")

    report = recompute(made.leaves, DEPLOYMENT)

    _schema().validate(report)
    assert report["alerts"]["raised"] == report["faces"]["seen"] == 0
    assert report["rates"]["false_per_face"]["value"] is None


def test_other_deployments_are_not_counted() -> None:
    other = Recording("other")
    other.add("deployment.created")
    other.match(1, "false")

    assert recompute([*other.leaves, *a_deployment()], DEPLOYMENT) == recompute(
        a_deployment(), DEPLOYMENT
    )
    with pytest.raises(FaultError):
        recompute(other.leaves, DEPLOYMENT)


def test_a_later_decision_stands_in_the_place_of_an_earlier_one() -> None:
    made = Recording()
    made.add("deployment.created")
    made.match(1, "undecided")
    name = f"deployments/{DEPLOYMENT}/matches/1"
    made.add("match.adjudicated", name, match=1, decision="false", reviewer=3)

    alerts = recompute(made.leaves, DEPLOYMENT)["alerts"]

    assert (alerts["false"], alerts["undecided"], alerts["unresolved"]) == (1, 0, 0)


@pytest.mark.serves("R20")
def test_no_leaf_can_go_missing_that_a_number_rests_on() -> None:
    leaves = a_deployment()
    whole = recompute(leaves, DEPLOYMENT)
    counts = [at for at, leaf in enumerate(leaves) if leaf["action"] == "deployment.counts"]
    told = ("match.raised", "match.outcome", "match.receipt", "deployment.armed")

    for at, leaf in enumerate(leaves):
        rest = [*leaves[:at], *leaves[at + 1 :]]
        if leaf["action"] in told or leaf["facts"].get("decision") or at == counts[-1]:
            assert recompute(rest, DEPLOYMENT) != whole, leaf


@given(of=st.integers(1, 10**7), part=st.floats(0, 1))
def test_an_interval_is_wilsons(of: int, part: float) -> None:
    count = round(of * part)
    told = share(count, of)
    z = NormalDist().inv_cdf(0.975)

    for bound in (told["low"], told["high"]):
        if 0 < bound < 1:  # Where the score test of this very rate is just at its limit.
            score = abs(told["value"] - bound) / (bound * (1 - bound) / of) ** 0.5
            assert score == pytest.approx(z, rel=1e-6)
    assert 0 <= told["low"] <= told["value"] <= told["high"] <= 1


def test_no_more_than_the_standard_library_is_needed() -> None:
    code = "import sys, cordon_admin.verifier; print(*sorted(sys.modules))"

    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    foreign = {name.split(".")[0] for name in loaded.stdout.split()} & {"grpc", "typer", "numpy"}
    assert not foreign


def _schema() -> Any:
    path = resources.files("cordon_admin").joinpath("templates", "report.schema.json")
    validator = jsonschema.Draft202012Validator
    schema = json.loads(path.read_text(encoding="utf-8"))
    validator.check_schema(schema)
    return validator(schema, format_checker=validator.FORMAT_CHECKER)
