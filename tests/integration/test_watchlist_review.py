"""A list from proposal to review on a real server, by two people at two workstations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cordon_demo.portraits import asset_path
from tests.helpers.site import Site

NOT_PERMITTED, CONFLICT, PARTLY = 5, 7, 3


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Two subjects, one of them a minor, and a picture of nobody."""
    Image.open(asset_path("astronaut")).convert("RGB").save(tmp_path / "portrait.jpg")
    Image.new("RGB", (320, 240), (90, 110, 130)).save(tmp_path / "wall.jpg")
    table = tmp_path / "list.csv"
    table.write_text(
        "external_ref,image,category,age_group,rationale,captured_on\n"
        "A-1,portrait.jpg,missing,minor,left home on Friday,2026-01-01\n"
        "A-2,wall.jpg,missing,,,\n"
    )
    return table


@pytest.mark.slow
@pytest.mark.serves("R5", "R6", "R18", "R23", "R26")
def test_a_list_is_proposed_applied_approved_checked_and_reviewed_by_two(
    site: Site, table: Path
) -> None:
    deployment = site.add_deployment(site.add_camera()[0])
    watchlist = ("admin", "watchlist")

    def shown(*command: str) -> Any:
        return site.cordon_json(*watchlist, *command)

    site.cordon(*watchlist, "propose", deployment, str(table), code=PARTLY)
    (proposal,) = shown("proposal", "list", deployment)
    before = shown("state", deployment)
    rows = shown("proposal", "show", deployment, proposal["id"])["rows"]
    apply = (*watchlist, "proposal", "apply", deployment, proposal["id"])
    own = site.cordon(*apply, identity=site.officer, code=NOT_PERMITTED)
    site.cordon(*apply)

    assert (before["entry_count"], proposal["state"]) == (0, "open")
    assert [row["outcome"] for row in rows] == ["accepted", "rejected"]
    assert [reason["code"] for reason in rows[1]["reasons"]] == ["no_face"]
    assert rows[1]["reasons"][0]["component"] == "SingleFacePresent"
    assert "another" in own.stderr

    waiting = shown("show", deployment, "A-1")
    site.cordon(*watchlist, "review", deployment, code=CONFLICT)
    lint = json.loads(site.cordon(*watchlist, "lint", deployment, "-o", "json", code=PARTLY).stdout)
    site.cordon(*watchlist, "approve", deployment, "A-1", identity=site.officer, code=NOT_PERMITTED)
    site.cordon(*watchlist, "approve", deployment, "A-1")
    site.cordon(*watchlist, "review", deployment, identity=site.officer, code=NOT_PERMITTED)
    reviewed = shown("review", deployment)

    assert waiting["is_waiting"]
    assert [finding["kind"] for finding in lint] == ["waiting", "minor"]
    assert reviewed["is_reviewed"]
    assert reviewed["reviewed_by"] == "users/approver"
    (drawn,) = shown("sample", deployment, "--count", "3")
    assert (drawn["external_ref"], drawn["approved_by"]) == ("A-1", "users/approver")
    assert drawn["review_time"] is not None
    other = site.add_deployment(site.add_camera()[0])
    differs = site.cordon(*watchlist, "diff", deployment, other, "-o", "json", code=PARTLY)
    assert [each["kind"] for each in json.loads(differs.stdout)] == ["added"]

    site.cordon("admin", "deployment", "end", deployment, "--confirm", deployment)
    differs = site.cordon(*watchlist, "diff", other, deployment, "-o", "json", code=PARTLY)
    assert [each["kind"] for each in json.loads(differs.stdout)] == ["removed"]
    assert "has ended" in differs.stderr
