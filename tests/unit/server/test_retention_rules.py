"""What a hold, an inquiry and a proof have to say: each rule, broken by itself."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import Message

from cordon.v1 import retention_pb2 as pb
from cordon_server.api.rule_kinds import TEXT_CHARACTERS_MAX
from cordon_server.api.rule_table import PROOF_PICTURES_MAX
from tests.unit.server.contract import broken_in

PLACE: dict[str, Any] = {
    "hold_id": "case-14",
    "match": "deployments/market/matches/7",
    "reason": "a complaint",
}
LIFT: dict[str, Any] = {"name": "holds/case-14", "reason": "settled"}
LISTED: dict[str, Any] = {"parent": "deployments/market", "external_ref": "A-17"}


@pytest.mark.serves("R4")
@pytest.mark.parametrize(
    ("request_", "broken"),
    [
        (pb.PlaceHoldRequest(**PLACE), None),
        (pb.PlaceHoldRequest(**PLACE | {"hold_id": "Case 14"}), "hold_id"),
        (pb.PlaceHoldRequest(**PLACE | {"match": "deployments/market"}), "match"),
        (pb.PlaceHoldRequest(**PLACE | {"match": "deployments/market/entries/a"}), "match"),
        (pb.PlaceHoldRequest(**PLACE | {"reason": ""}), "reason"),
        (pb.PlaceHoldRequest(**PLACE | {"reason": "  "}), "reason"),
        (pb.PlaceHoldRequest(**PLACE | {"reason": "a" * (TEXT_CHARACTERS_MAX + 1)}), "reason"),
        (pb.LiftHoldRequest(**LIFT), None),
        (pb.LiftHoldRequest(**LIFT | {"reason": ""}), "reason"),
        (pb.LiftHoldRequest(**LIFT | {"name": "case-14"}), "name"),
        (pb.GetHoldRequest(name="holds/case-14/"), "name"),
        (pb.CheckListedRequest(**LISTED), None),
        (pb.CheckListedRequest(**LISTED | {"external_ref": "two words"}), "external_ref"),
        (pb.CheckListedRequest(**LISTED | {"parent": "market"}), "parent"),
        (pb.ProveForgettingRequest(pictures=[b"a", b"b"]), None),
        (pb.ProveForgettingRequest(), "pictures"),
        (pb.ProveForgettingRequest(pictures=[b"a", b""]), "pictures"),
        (pb.ProveForgettingRequest(pictures=[b"a"] * (PROOF_PICTURES_MAX + 1)), "pictures"),
    ],
)
def test_each_rule_refuses_what_breaks_it_and_nothing_else(
    request_: Message, broken: str | None
) -> None:
    assert broken_in(request_).keys() == ({broken} if broken else set())
