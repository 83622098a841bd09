"""What each rule lets through and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from cordon.v1 import (
    camera_pb2,
    deployment_pb2,
    match_pb2,
    watchlist_pb2,
)
from cordon_server.api import rule_table
from cordon_server.authority.steps import ASSIGNEES_MAX
from tests.unit.server.contract import broken_in


def test_every_broken_field_is_named_at_any_depth() -> None:
    broken = broken_in(
        deployment_pb2.CreateDeploymentRequest(
            deployment_id="Not A Label",
            deployment=deployment_pb2.Deployment(
                location="two\nlines", cameras=["cameras/ok", "nope"], threshold=1.5
            ),
            request_id="1",
        )
    )

    assert broken.keys() == {
        "deployment_id",
        "request_id",
        "deployment.location",
        "deployment.cameras",
        "deployment.threshold",
    }


@pytest.mark.parametrize(
    ("name", "is_label"),
    [
        ("a", True),
        ("north-gate-2", True),
        ("0", True),
        ("a" * 63, True),
        ("a" * 64, False),
        ("", False),
        ("-a", False),
        ("a-", False),
        ("North", False),
        ("a.b", False),
        ("a/b", False),
        ("a\n", False),
        ("ä", False),
        ("٣", False),
    ],
)
def test_names_are_dns_labels(name: str, is_label: bool) -> None:
    for request in (
        camera_pb2.CreateCameraRequest(camera_id=name),
        camera_pb2.GetCameraRequest(name=f"cameras/{name}"),
        deployment_pb2.GetDeploymentRequest(name=f"deployments/{name}"),
    ):
        assert bool(broken_in(request)) != is_label


@pytest.mark.parametrize(
    ("sequence", "is_good"),
    [("1", True), ("9" * 19, True), ("9" * 20, False), ("0", False), ("01", False), ("", False)],
)
def test_match_names_carry_a_sequence_that_fits(sequence: str, is_good: bool) -> None:
    name = f"deployments/market/matches/{sequence}"

    assert bool(broken_in(match_pb2.GetMatchRequest(name=name))) != is_good
    assert int("9" * 19) < 2**64


@pytest.mark.parametrize("threshold", [float("nan"), float("inf"), -0.1, 1.01])
def test_a_threshold_is_a_number_within_bounds(threshold: float) -> None:
    deployment = deployment_pb2.Deployment(threshold=threshold)

    broken = broken_in(
        deployment_pb2.CreateDeploymentRequest(deployment_id="a", deployment=deployment)
    )

    assert broken == {"deployment.threshold": "must be from 0 to 1"}


def an_enrolment(**parts: Any) -> watchlist_pb2.EnrolReferenceRequest:
    return watchlist_pb2.EnrolReferenceRequest(
        **{
            "parent": "deployments/market",
            "external_ref": "s-1",
            "category": "wanted",
            "image": b"jpeg",
            **parts,
        }
    )


def test_what_may_be_absent_may_be_absent() -> None:
    assert broken_in(an_enrolment()) == {}
    assert broken_in(an_enrolment(threshold=0.0, face_point=watchlist_pb2.ImagePoint())) == {}
    assert broken_in(match_pb2.ListMatchesRequest(parent="deployments/market")) == {}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("parent", "deployments/market/entries/x"),
        ("external_ref", ".hidden"),
        ("external_ref", "a" * 64),
        ("external_ref", "a/b"),
        ("category", ""),
        ("image", b""),
        ("threshold", float("nan")),
        ("threshold", 1.5),
        ("face_point", watchlist_pb2.ImagePoint(x=float("nan"), y=1)),
        ("face_point", watchlist_pb2.ImagePoint(x=1, y=-1)),
        ("request_id", "0a1b2c3d000040008000000000000000"),
        ("request_id", "0a1b2c3d-0000-4000-8000-00000000000a\n"),
    ],
)
def test_each_field_of_an_enrolment_has_its_rule(field: str, value: Any) -> None:
    assert broken_in(an_enrolment(**{field: value})).keys() == {field}


def test_pages_and_lists_are_bounded() -> None:
    cameras = [f"cameras/c{n}" for n in range(rule_table.CAMERAS_PER_DEPLOYMENT_MAX + 1)]
    deployment = deployment_pb2.Deployment(cameras=cameras)

    assert broken_in(camera_pb2.ListCamerasRequest(page_size=1001)).keys() == {"page_size"}
    assert broken_in(camera_pb2.ListCamerasRequest(page_token="a" * 129)).keys() == {"page_token"}
    assert broken_in(
        deployment_pb2.CreateDeploymentRequest(deployment_id="a", deployment=deployment)
    ) == {"deployment.cameras": "must hold 64 items at most"}


@pytest.mark.parametrize(
    ("assignees", "is_good"),
    [
        (["users/anna"] * ASSIGNEES_MAX, True),
        (["users/anna"] * (ASSIGNEES_MAX + 1), False),
        (["anna"], False),
        (["cameras/anna"], False),
    ],
)
def test_assignees_are_users_by_name_and_not_too_many(assignees: list[str], is_good: bool) -> None:
    deployment = deployment_pb2.Deployment(assignees=assignees)
    request = deployment_pb2.CreateDeploymentRequest(deployment_id="a", deployment=deployment)

    assert broken_in(request).keys() == (set() if is_good else {"deployment.assignees"})


@pytest.mark.parametrize("value", [0, 4, -1, 99])
def test_an_enum_without_meaning_is_refused(value: int) -> None:
    request = match_pb2.AdjudicateMatchRequest(
        name="deployments/a/matches/1",
        reasons=[match_pb2.ADJUDICATION_REASON_LOOK_ALIKE],
        picture_ids=["0" * 64],
    )
    request.decision = value  # type: ignore[assignment]  # what the wire may carry
    assert broken_in(request).keys() == {"decision"}
