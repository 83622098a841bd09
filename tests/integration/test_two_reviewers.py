"""Two people at two desks judge the same matches, blind and independently, on a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import skimage.data
from PIL import Image

from cordon_server.authority.policy import shipped_text
from tests.helpers import people
from tests.helpers.site import Site, free_port, init_site

pytestmark = pytest.mark.slow

TOLD_BEFORE = {
    "name",
    "match_id",
    "sequence",
    "revision",
    "observations",
    "camera",
    "camera_id",
    "frame_sequence",
    "captured_at",
    "create_time",
    "withheld",
    "judgements",
    "judgement_lines",
    "model",
}


@dataclass
class Desks:
    """A deployment with two matches, and two people who judge them."""

    site: Site
    deployment: str
    anna: Path
    ben: Path
    folder: Path

    def matches(self, desk: Path) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.site.cordon_json(
            "control", "matches", self.deployment, identity=desk
        )
        return found

    def claim(self, desk: Path, match: int = 1) -> None:
        name = f"{self.deployment}/{match}"
        self.site.cordon("control", "claim", name, "--save", self.saved(desk), identity=desk)

    def saved(self, desk: Path) -> str:
        return str(self.folder / desk.name)

    def judge(self, desk: Path, verdict: str, reason: str, match: int = 1, code: int = 0) -> str:
        pictures = ("--because", reason, "--pictures", self.saved(desk), "-o", "json")
        asked = ("control", "adjudicate", f"{self.deployment}/{match}", verdict, *pictures)
        done = self.site.cordon(*asked, identity=desk, code=code)
        return done.stderr if code else done.stdout


@pytest.fixture
def desks(tmp_path: Path) -> Iterator[Desks]:
    site = Site(tmp_path / "site", free_port())
    init_site(site)
    policy = tmp_path / "two-blind.toml"
    text = shipped_text("demo").replace("reviewers = 1", "reviewers = 2")
    policy.write_text(text.replace("blind = false", "blind = true"))
    site.environment["CORDON_AUTHORITY__POLICY"] = str(policy)
    site.start()
    try:
        site.sign_in_administrator()
        yield two_matches(site, tmp_path)
    finally:
        site.stop()


def two_matches(site: Site, folder: Path) -> Desks:
    pictures = folder / "pictures"
    pictures.mkdir()
    portrait = Image.fromarray(skimage.data.astronaut())  # type: ignore[no-untyped-call]
    for number in range(2):
        portrait.save(pictures / f"{number}.jpg", quality=90 + number)
    camera, identity = site.add_camera()
    ben = site._workstation("control", "operator-2")
    deployment = site.add_deployment(camera, options=("--assign", "operator-2"))
    enrol = ("enrol", deployment, "A-17", str(pictures / "0.jpg"), "--category", "wanted")
    site.cordon("admin", "watchlist", *enrol)
    site.arm(deployment)
    site.cordon("camera", "run", "--folder", str(pictures), identity=identity)
    return Desks(site, deployment, site.operator, ben, folder)


@pytest.mark.serves("R10", "R11", "R29")
def test_two_people_decide_blind_at_two_desks(desks: Desks) -> None:
    site, anna, ben = desks.site, desks.anna, desks.ben
    before = desks.matches(ben)
    watching = ("watch", desks.deployment, "--json", "--exit-after", "2")
    watched = site.cordon(*watching, identity=ben).stdout

    desks.claim(anna)
    own = json.loads(desks.judge(anna, "true", "features-agree"))

    for match in (*before, *map(json.loads, watched.splitlines())):
        assert match["withheld"]
        told = {key for key, value in match.items() if value is not None}
        assert told <= TOLD_BEFORE
    assert "A-17" not in watched
    assert "wanted" not in watched
    assert (own["entry_id"], own["decision"]) == ("A-17", None)
    assert desks.matches(ben) == before, "that somebody has judged shows nowhere"

    early = ("control", "outcome", f"{desks.deployment}/1", "stopped-confirmed")
    site.cordon(*early, identity=ben, code=7)
    people.sign_in(anna, "operator-2")
    claim = ("control", "claim", f"{desks.deployment}/1")
    at_her_desk = site.cordon(*claim, identity=anna, code=5).stderr
    desks.claim(ben)
    decided = json.loads(desks.judge(ben, "true", "marks-agree"))

    assert "not for this workstation" in at_her_desk
    assert decided["decision"] == "true"
    assert [each["reviewer"] for each in decided["judgements"]] == [
        "users/operator",
        "users/operator-2",
    ]

    outcome = site.cordon_json(*early, identity=ben)
    receipt = site.cordon_json("control", "receipt", f"{desks.deployment}/1", identity=ben)
    found = site.cordon_json("control", "look-up", receipt["code"].lower(), identity=ben)
    mistyped = receipt["code"][:-1] + ("2" if receipt["code"][-1] != "2" else "3")
    site.cordon("control", "look-up", mistyped, identity=ben, code=1)

    assert outcome["outcome"] == found["outcome"] == "stopped-confirmed"
    assert (found["name"], found["decision"]) == (own["name"], "true")
    assert found["location"] == "a test bench"
    assert found["held"]
    assert "A-17" not in json.dumps(found)

    site.cordon("admin", "deployment", "end", desks.deployment, "--confirm", desks.deployment)
    later = site.cordon_json("control", "look-up", receipt["code"], identity=ben)
    assert later == found, "a receipt outlives its deployment, and so does what is held"
