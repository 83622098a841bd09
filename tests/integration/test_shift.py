"""A shift with known cases and a volunteer, by the commands of those who work it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageEnhance

from cordon_client.names import short
from cordon_demo.portraits import asset_path
from tests.helpers.site import Site

pytestmark = pytest.mark.slow

RECOGNISED_S_MAX = 60.0


@dataclass
class Shift:
    """A camera before which the listed person and a volunteer stand, and another that is dark."""

    site: Site
    deployment: str
    camera: str
    dark: str
    streaming: subprocess.Popen[str]
    folder: Path

    def seed(self, photo: Path, truth: str) -> str:
        """Places a case as the supervisor; its name as an operator types it."""
        case = ("control", "seed", self.deployment, "A-17", str(photo), "--camera", self.camera)
        placed = self.site.cordon_json(*case, f"--{truth}")
        assert placed["same_person"] is (truth == "true")
        return f"{self.deployment}/{short(placed['name'])}"

    def judge(self, match: str, verdict: str, reason: str) -> dict[str, Any]:
        """Claims a match as the operator and judges it."""
        saved = str(self.folder / "saved")
        self.site.cordon("control", "claim", match, "--save", saved)
        judge = ("control", "adjudicate", match, verdict, "--because", reason)
        judged: dict[str, Any] = self.site.cordon_json(*judge, "--pictures", saved)
        return judged

    def rates(self) -> dict[str, tuple[int, int]]:
        """Of how many passes at each camera how many were recognised."""
        hours = self.site.cordon_json("control", "tpir", self.deployment)
        assert all(hour["tpir_low"] <= hour["tpir"] <= hour["tpir_high"] for hour in hours)
        return {
            camera: (
                sum(hour["recognised"] for hour in hours if hour["camera_id"] == camera),
                sum(hour["passes"] for hour in hours if hour["camera_id"] == camera),
            )
            for camera in {hour["camera_id"] for hour in hours}
        }


@pytest.fixture
def shift(site: Site, tmp_path: Path) -> Iterator[Shift]:
    scene(tmp_path / "scene")
    listed, volunteer = (str(asset_path(name)) for name in ("astronaut", "admiral"))
    camera, identity = site.add_camera()
    dark, _ = site.add_camera()
    _ = site.supervisor  # Who is registered with his desk.
    deployment = site.add_deployment(camera, dark, options=("--assign", "supervisor"))
    enrol = ("admin", "watchlist", "enrol", deployment)
    site.cordon(*enrol, "A-17", listed, "--category", "wanted")
    consent = ("--source", "subject", "--rationale", "consent form 7")
    site.cordon(*enrol, "V-1", volunteer, "--category", "volunteer", *consent)
    site.arm(deployment)
    run = ("camera", "run", "--folder", str(tmp_path / "scene"), "--as-video", "--loop")
    streaming = site.spawn(*run, "--fps", "5", identity=identity)
    try:
        yield Shift(site, deployment, camera, dark, streaming, tmp_path)
    finally:
        streaming.terminate()
        streaming.communicate(timeout=30)


def scene(folder: Path) -> None:
    """Two people side by side, as one camera sees them."""
    folder.mkdir()
    people = [Image.open(asset_path(name)).convert("RGB") for name in ("astronaut", "admiral")]
    for number in range(5):
        frame = Image.new("RGB", (1280, 720), "grey")
        for at, person in enumerate(people):
            frame.paste(person, (60 + 620 * at + number, 80))
        frame.save(folder / f"{number}.jpg", quality=90)


@pytest.mark.serves("R27", "R28")
def test_a_shift_measures_who_judges_and_what_recognises(shift: Shift) -> None:
    site, deployment = shift.site, shift.deployment
    another = shift.folder / "another-picture.jpg"
    with Image.open(asset_path("astronaut")) as portrait:
        ImageEnhance.Brightness(portrait.convert("RGB")).enhance(0.8).save(another)
    site.cordon("watch", deployment, "--exit-after", "1")

    true_case = shift.seed(another, "true")
    false_case = shift.seed(asset_path("admiral"), "false")
    shift.judge(true_case, "false", "features-differ")
    judged = shift.judge(false_case, "false", "marks-differ")
    shift.judge(f"{deployment}/1", "true", "features-agree")

    assert judged["decision"] == "false"
    (result,) = site.cordon_json("control", "shift-report", deployment)
    assert result["user_id"] == "operator"
    assert (result["true_cases"], result["missed"]) == (1, 1)
    assert (result["false_cases"], result["accepted"]) == (1, 0)
    assert (result["errors"], result["undecided"], result["error_rate"]) == (1, 0, 0.5)
    assert result["error_rate_low"] < 0.5 < result["error_rate_high"]

    for camera in (shift.camera, shift.dark):
        passed = ("control", "pass", deployment, "V-1", "--camera", camera)
        assert site.cordon_json(*passed)["camera_id"] == camera
    assert_soon_recognised(shift)

    matches = site.cordon_json("control", "matches", deployment)
    assert {match["entry_id"] for match in matches} == {"A-17"}


def assert_soon_recognised(shift: Shift) -> None:
    """One of the volunteer's passes counts, the other does not: that camera is dark."""
    wanted = {shift.camera: (1, 1), shift.dark: (0, 1)}
    started = time.monotonic()
    while (found := shift.rates()) != wanted and time.monotonic() - started < RECOGNISED_S_MAX:
        time.sleep(0.5)
    assert found == wanted
