"""Matches as the desk shows them."""

from __future__ import annotations

from cordon.v1 import match_pb2
from cordon_control.records import MATCH_DETAILS, match_record

NAME = "deployments/market/matches/7"


def test_a_match_names_the_entries_that_look_like_its_own() -> None:
    alike = ["deployments/market/entries/B-2", "deployments/market/entries/C-3"]
    match = match_pb2.Match(name=NAME, entry="deployments/market/entries/A-1", look_alikes=alike)

    assert match_record(match)["look_alikes"] == ["B-2", "C-3"]
    assert "look_alikes" in MATCH_DETAILS.values()


def test_of_what_is_withheld_nothing_is_made_up() -> None:
    record = match_record(match_pb2.Match(name=NAME, withheld=True))

    told_later = ("entry", "category", "reference", "score", "margin", "threshold", "look_alikes")
    assert {record[key] for key in told_later} == {None}
