"""The camera command against the real server: what it sends, waits for, and ends with."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.data import shared_data
from tests.helpers import pictures
from tests.helpers.site import Site

pytestmark = pytest.mark.slow

MEMORY_BYTES_MAX = 120_000_000


class Camera:
    """A running `cordon camera run --json`; its lines are read as they come."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def until(self, condition: Callable[[dict[str, Any]], bool], timeout_s: float = 30) -> None:
        """Waits for a line of which the condition holds."""
        ends = time.monotonic() + timeout_s
        while not any(condition(line) for line in self.lines):
            assert time.monotonic() < ends, self.lines
            assert self.process.poll() is None, self.end()
            time.sleep(0.02)

    def end(self) -> tuple[int, str]:
        """Exit code and standard error, once it has ended."""
        assert self.process.stderr is not None
        with self.process:  # closes its pipes
            errors = self.process.stderr.read()
            self._reader.join()
        return self.process.returncode, errors

    @property
    def summary(self) -> dict[str, Any]:
        assert self.lines[-1]["event"] == "summary"
        return self.lines[-1]

    def stop(self) -> None:
        self.process.terminate()
        self.end()


def start(site: Site, identity: Path, *arguments: str) -> Camera:
    return Camera(site.spawn("camera", "run", "--json", *arguments, identity=identity))


def armed_camera(site: Site, folder: Path) -> tuple[str, str, Path]:
    """A camera in an armed deployment with one listed person: names and identity."""
    camera, identity = site.add_camera()
    deployment = site.add_deployment(camera)
    person = shared_data("friends_yakhyo", "faces", "Ross.png")
    listing = folder / "list.csv"
    listing.write_text(f"external_ref,image,category\nross,{person},wanted\n")
    site.cordon("admin", "watchlist", "import", deployment, str(listing))
    site.arm(deployment)
    return camera, deployment, identity


def test_a_folder_of_real_faces_is_answered_whole_and_raises_its_match(
    site: Site, tmp_path: Path
) -> None:
    _, _, identity = armed_camera(site, tmp_path)
    faces = shared_data("friends_yakhyo", "faces")
    before = site.metrics

    done = site.cordon("camera", "run", "--folder", str(faces), "--json", identity=identity)

    summary = json.loads(done.stdout.splitlines()[-1])
    count = len(list(faces.glob("*.png")))
    assert summary["frames_sent"] == summary["processed"] == count
    assert summary["faces"] >= count
    assert summary["matches"] == 1
    assert summary["superseded"] == summary["rejected"] == 0
    counted = {name: number - before.get(name, 0) for name, number in site.metrics.items()}
    assert counted['cordon_frames_total{outcome="processed"}'] == count
    detected = sum(n for name, n in counted.items() if name.startswith("cordon_faces_total"))
    assert detected == summary["faces"]
    assert counted["cordon_matches_total"] == 1


def test_pictures_that_the_server_rejects_are_named_and_the_rest_goes_on(
    site: Site, tmp_path: Path
) -> None:
    _, _, identity = armed_camera(site, tmp_path)
    pictures.jpeg_folder(tmp_path / "faces", 4)
    (tmp_path / "faces" / "0002.jpg").write_bytes(b"not a picture")

    run = ("camera", "run", "--folder", str(tmp_path / "faces"), "--json")
    done = site.cordon(*run, identity=identity, code=3)

    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["processed"] == 3
    assert [each["name"] for each in summary["rejections"]] == ["0002.jpg"]
    assert summary["rejections"][0]["message"]


def test_a_1080p_street_in_real_time_stays_under_120_mb(site: Site, tmp_path: Path) -> None:
    _, _, identity = armed_camera(site, tmp_path)
    film = shared_data("videos", "walking", "covent_garden_1080p.mp4")

    camera = start(site, identity, "--file", str(film), "--loop")
    camera.until(lambda line: line.get("processed", 0) > 40 and line["fps"] > 0)
    status = Path(f"/proc/{camera.process.pid}/status").read_text()
    camera.stop()

    peak = 1024 * int(next(x for x in status.splitlines() if x.startswith("VmHWM")).split()[1])
    print(f"\npeak {peak / 1e6:.1f} MB, {camera.summary}")
    assert peak < MEMORY_BYTES_MAX
    assert camera.summary["faces"] > 100


def test_a_camera_waits_for_its_deployment_and_then_streams(site: Site, tmp_path: Path) -> None:
    name, identity = site.add_camera()
    pictures.jpeg_folder(tmp_path / "faces", 3)

    camera = start(site, identity, "--folder", str(tmp_path / "faces"))
    camera.until(lambda line: line["event"] == "waiting")
    deployment = site.add_deployment(name)
    person = shared_data("friends_yakhyo", "faces", "Ross.png")
    (tmp_path / "list.csv").write_text(f"external_ref,image,category\nross,{person},wanted\n")
    site.cordon("admin", "watchlist", "import", deployment, str(tmp_path / "list.csv"))
    site.arm(deployment)
    code, _ = camera.end()

    assert code == 0
    assert camera.summary["processed"] == 3


def test_a_second_stream_of_one_camera_is_refused_and_the_first_goes_on(
    site: Site, tmp_path: Path
) -> None:
    _, _, identity = armed_camera(site, tmp_path)
    pictures.jpeg_folder(tmp_path / "faces", 3)
    faces = ("--folder", str(tmp_path / "faces"), "--loop", "--fps", "5")
    first = start(site, identity, *faces)
    first.until(lambda line: line.get("processed", 0) > 0)

    second = start(site, identity, *faces)
    code, errors = second.end()

    assert code == 7
    assert errors.startswith("error: ")
    before = first.lines[-1]["processed"]
    first.until(lambda line: line.get("processed", 0) > before + 2)
    first.stop()


def test_a_revoked_camera_ends_as_not_permitted(site: Site, tmp_path: Path) -> None:
    name, _, identity = armed_camera(site, tmp_path)
    pictures.jpeg_folder(tmp_path / "faces", 3)
    faces = ("--folder", str(tmp_path / "faces"), "--loop", "--fps", "5")
    camera = start(site, identity, *faces)
    camera.until(lambda line: line.get("processed", 0) > 0)

    site.cordon("admin", "camera", "revoke", name, "--confirm", name)
    code, errors = camera.end()

    assert code == 5
    assert "revoked" in errors


def test_the_check_passes_against_a_ready_server(site: Site, tmp_path: Path) -> None:
    _, _, identity = armed_camera(site, tmp_path)
    film = shared_data("videos", "walking", "covent_garden_1080p.mp4")

    done = site.cordon("camera", "check", "--file", str(film), "--json", identity=identity)

    steps = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(step["ok"] for step in steps)
    assert [step["step"] for step in steps] == [
        "picture",
        "identity",
        "certificate",
        "server",
        "secure connection",
        "clock",
        "stream",
    ]


def test_no_still_is_lost_when_the_server_is_killed_and_comes_back(
    own_site: Site, tmp_path: Path
) -> None:
    _, _, identity = armed_camera(own_site, tmp_path)
    pictures.jpeg_folder(tmp_path / "faces", 60)
    faces = ("--folder", str(tmp_path / "faces"), "--fps", "20")
    camera = start(own_site, identity, *faces)
    camera.until(lambda line: line.get("processed", 0) > 5)

    own_site.stop(signal.SIGKILL)
    camera.until(lambda line: line["event"] == "waiting")
    own_site.start()
    code, errors = camera.end()

    assert (code, errors) == (0, "")
    assert camera.summary["processed"] == 60
    assert camera.summary["frames_sent"] >= 60
    assert camera.summary["connections"] == 2
