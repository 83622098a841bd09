"""`cordon watch` and `cordon control` against a real server with a real camera."""

from __future__ import annotations

import json
import signal
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import skimage.data
from PIL import Image

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from tests.helpers.site import Site

pytestmark = pytest.mark.slow

FRAMES = 4


@dataclass
class Scene:
    """An armed deployment, and a camera that sees the listed person in every picture."""

    site: Site
    deployment: str
    camera: Path
    pictures: Path
    control: Path

    def stream(self) -> None:
        """Sends all pictures; each raises one match."""
        self.site.cordon("camera", "run", "--folder", str(self.pictures), identity=self.camera)

    def watch(self, *options: str) -> subprocess.Popen[str]:
        run = ("watch", self.deployment, "--json", *options)
        return self.site.spawn(*run, identity=self.control)


@pytest.fixture
def scene(site: Site, tmp_path: Path) -> Scene:
    return make_scene(site, tmp_path)


def make_scene(site: Site, tmp_path: Path) -> Scene:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    portrait = Image.fromarray(skimage.data.astronaut())  # type: ignore[no-untyped-call]
    for number in range(FRAMES):
        portrait.save(pictures / f"{number}.jpg", quality=90 + number)
    camera, identity = site.add_camera()
    deployment = site.add_deployment(camera)
    reference = str(pictures / "0.jpg")
    enrol = ("enrol", deployment, "A-17", reference, "--category", "wanted")
    site.cordon("admin", "watchlist", *enrol)
    site.arm(deployment)
    return Scene(site, deployment, identity, pictures, site.identity("control", "anna"))


def lines_of(process: subprocess.Popen[str], count: int) -> list[dict[str, Any]]:
    assert process.stdout is not None
    return [json.loads(process.stdout.readline()) for _ in range(count)]


def test_watch_goes_on_across_restarts_without_a_gap_or_a_repetition(
    own_site: Site, tmp_path: Path
) -> None:
    scene = make_scene(own_site, tmp_path)
    saved = tmp_path / "saved"
    watching = scene.watch("--save", str(saved), "--exit-after", str(3 * FRAMES))

    scene.stream()
    first = lines_of(watching, FRAMES)
    scene.site.stop(signal.SIGTERM)
    scene.site.start()
    scene.stream()
    second = lines_of(watching, FRAMES)
    scene.site.stop(signal.SIGKILL)
    scene.site.start()
    scene.stream()
    third = lines_of(watching, FRAMES)
    out, err = watching.communicate(timeout=30)

    matches = [*first, *second, *third]
    assert watching.returncode == 0
    assert out == ""
    assert [match["sequence"] for match in matches] == list(range(1, 3 * FRAMES + 1))
    assert {match["entry_id"] for match in matches} == {"A-17"}
    assert "Trying again from #" in err
    assert "Connected again." in err
    assert stat.S_IMODE(saved.stat().st_mode) == 0o700
    assert len(list(saved.iterdir())) == 3 * len(matches)
    assert {stat.S_IMODE(file.stat().st_mode) for file in saved.iterdir()} == {0o600}
    assert (saved / "1-probe.jpg").read_bytes().startswith(b"\xff\xd8")
    assert json.loads((saved / "7.json").read_text()) == matches[6]


def test_watch_starts_after_the_last_match_that_one_has(scene: Scene) -> None:
    scene.stream()

    watching = scene.watch("--after", "2", "--exit-after", "2")
    out, _ = watching.communicate(timeout=60)

    assert [json.loads(line)["sequence"] for line in out.splitlines()] == [3, 4]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_watch_ends_cleanly_when_told_to(scene: Scene, how: signal.Signals) -> None:
    scene.stream()
    watching = scene.watch()
    lines_of(watching, FRAMES)

    watching.send_signal(how)
    out, err = watching.communicate(timeout=30)

    assert (watching.returncode, out) == (0, "")
    assert f"--after {FRAMES}" in err


def test_a_person_decides_and_the_decision_stands(scene: Scene, tmp_path: Path) -> None:
    scene.stream()
    site, deployment, anna = scene.site, scene.deployment, scene.control
    saved = ("--pictures", str(tmp_path / "saved"))
    adjudicate = ("control", "adjudicate", f"{deployment}/2")
    differ = ("--because", "features-differ", *saved)

    listed = site.cordon_json("control", "matches", deployment, identity=anna)
    unseen = site.cordon(*adjudicate, "false", *differ, identity=anna, code=1)
    claim = ("control", "claim", f"{deployment}/2", "--save", str(tmp_path / "saved"))
    claimed = site.cordon_json(*claim, identity=anna)
    site.cordon(*adjudicate, "false", *differ, "--dry-run", identity=anna)
    decided = site.cordon_json(*adjudicate, "false", *differ, identity=anna)
    agree = ("--because", "features-agree", *saved)
    changed = site.cordon(*adjudicate, "true", *agree, identity=anna, code=7)
    show = ("control", "show", f"{deployment}/2")
    shown = site.cordon_json(*show, identity=anna)

    assert [match["decision"] for match in listed] == [None] * FRAMES
    assert f"cordon control claim {deployment}/2" in unseen.stderr
    assert claimed["entry_id"] == "A-17"
    assert decided["decision"] == shown["decision"] == "false"
    assert decided["judgements"][0]["reasons"] == ["features-differ"]
    assert shown["adjudicator"] == "spiffe://test.example/control/anna"
    assert changed.stderr.startswith("error: ")
    assert (tmp_path / "saved" / "2-reference.jpg").exists()


def test_a_deployment_that_is_not_there_ends_the_watch(scene: Scene) -> None:
    site, anna = scene.site, scene.control

    gone = site.cordon("watch", "nowhere", identity=anna, code=6)

    assert "nowhere" in gone.stderr
