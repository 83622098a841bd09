"""A video camera raises one match a person and visit, bettered as it goes; not one a frame."""

from __future__ import annotations

import json
import signal
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.data import shared_data
from tests.helpers.site import Site

pytestmark = pytest.mark.slow

FRAMES_MATCHING_MIN = 200
"""Of the clip's 632 frames; without tracks each raises a match at least."""


def test_each_person_of_a_scene_is_one_match_that_gets_better(
    own_site: Site, tmp_path: Path
) -> None:
    # Longer than the clip takes on a busy machine: so that every person is one visit.
    own_site.environment["CORDON_DECISION__COOL_DOWN_S"] = "600"
    people, matches, steps = _watched_scene(own_site, tmp_path, "--realtime")

    counts = Counter(match["entry_id"] for match in matches)
    print(f"\n{len(steps)} steps of {len(matches)} matches: {dict(counts)}")
    # A busy machine skips pictures of a clip that runs at its own speed, and someone who is mostly
    # seen from the side may be missed; never is anybody else matched, or anybody twice.
    assert set(counts) <= people
    assert len(counts) >= len(people) - 2
    assert set(counts.values()) == {1}
    assert all(match["observations"] >= 2 for match in matches)

    assert [step["sequence"] for step in steps] == list(range(1, len(steps) + 1))
    for match in matches:
        own = [step for step in steps if step["name"] == match["name"]]
        assert [step["revision"] for step in own] == list(range(len(own)))
        assert all(b["score"] > a["score"] for a, b in pairwise(own))
        assert own[-1]["score"] == match["score"]
    assert any(step["revision"] for step in steps)


def test_without_tracking_every_matching_frame_is_a_match(own_site: Site, tmp_path: Path) -> None:
    own_site.environment["CORDON_RECOGNITION__TRACKING"] = "false"
    people, matches, steps = _watched_scene(own_site, tmp_path, "--no-realtime")

    assert {match["entry_id"] for match in matches} == people
    assert len(steps) == len(matches) >= FRAMES_MATCHING_MIN
    assert {(match["revision"], match["observations"]) for match in matches} == {(0, 1)}


def _watched_scene(
    site: Site, folder: Path, pace: str
) -> tuple[set[str], list[dict[str, Any]], list[dict[str, Any]]]:
    """The people listed, the matches at the end, and every step that a watch was told."""
    assert site.stop() == 0
    site.start()  # With the environment that the test has set.
    stills = sorted(shared_data("friends_yakhyo", "faces").glob("*.png"))
    scene = shared_data("videos", "labelled", "friends_a_720p.mp4")
    camera, identity = site.add_camera("scene")
    deployment = site.add_deployment(camera)
    listing = folder / "friends.csv"
    rows = (f"{still.stem},{still},wanted" for still in stills)
    listing.write_text("\n".join(["external_ref,image,category", *rows]))
    site.cordon("admin", "watchlist", "import", deployment, str(listing))
    site.arm(deployment)
    desk = site.identity("control", "desk")

    run = ("camera", "run", "--file", str(scene), pace, "--json")
    summary = json.loads(site.cordon(*run, identity=identity).stdout.splitlines()[-1])
    assert summary["processed"] > FRAMES_MATCHING_MIN
    matches = site.cordon_json("control", "matches", deployment, identity=desk)
    return {still.stem for still in stills}, matches, _steps(site, deployment, desk)


def _steps(site: Site, deployment: str, desk: Path) -> list[dict[str, Any]]:
    """Everything in the log, as `cordon watch` tells it, up to the newest step."""
    matches = site.cordon_json("control", "matches", deployment, identity=desk)
    head = max(match["sequence"] for match in matches)
    watching = site.spawn("watch", deployment, "--json", identity=desk)
    assert watching.stdout is not None
    steps = [json.loads(watching.stdout.readline()) for _ in range(head)]
    watching.send_signal(signal.SIGTERM)
    rest, _ = watching.communicate(timeout=30)
    assert (watching.returncode, rest) == (0, "")
    return steps
