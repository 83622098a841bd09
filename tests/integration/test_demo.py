"""The demo as a person starts it: the installed command, real processes, real certificates."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.data import shared_data

pytestmark = pytest.mark.slow

_CORDON = [sys.executable, "-P", "-m", "cordon_client.main", "demo"]
_DONE_S = 120
_KEYS = {
    "frames",
    "faces",
    "matches",
    "missed",
    "false_matches",
    "latency_ms_p50",
    "latency_ms_p99",
    "first_match_s",
    "seconds",
    "out",
}


def run_demo(temporary: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the demo with its temporary folders where the test can look for leftovers."""
    (temporary / "tmp").mkdir(exist_ok=True)
    return subprocess.run(
        [*_CORDON, *arguments],
        env={**os.environ, "TMPDIR": str(temporary / "tmp")},
        capture_output=True,
        text=True,
        timeout=_DONE_S,
        check=False,
    )


def outcome_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    outcome: dict[str, Any] = json.loads(done.stdout)
    assert outcome.keys() >= _KEYS
    return outcome


def test_the_demo_finds_the_listed_person_and_nobody_else(tmp_path: Path) -> None:
    out = tmp_path / "pictures"

    done = run_demo(tmp_path, "--seconds", "14", "--json", "--out", str(out))

    assert done.returncode == 0, done.stderr
    outcome = outcome_of(done)
    assert outcome["missed"] == 0
    assert outcome["false_matches"] == 0
    assert outcome["expected"] >= 2
    assert outcome["matches"] >= 2
    assert outcome["faces"] > outcome["matches"]
    assert 0 < outcome["latency_ms_p50"] <= outcome["latency_ms_p99"]
    assert 0 < outcome["first_match_s"] < 60
    assert len(list(out.glob("match-*.png"))) == outcome["matches"]
    assert not list((tmp_path / "tmp").iterdir())


def test_ones_own_photo_is_found_in_ones_own_pictures(tmp_path: Path) -> None:
    lfw = shared_data("lfw", "deepfunneled")
    photos = _photos_of(lfw, "Alejandro_Toledo")
    _folder(tmp_path / "toledo", photos[1:6])

    done = run_demo(
        tmp_path, "--wanted", str(photos[0]), "--source", str(tmp_path / "toledo"),
        "--seconds", "4", "--json", "--out", str(tmp_path / "out"),
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    outcome = outcome_of(done)
    assert outcome["missed"] == 0
    assert outcome["false_matches"] is None
    assert outcome["matches"] > 0


def test_a_wanted_person_who_is_not_in_ones_own_pictures_is_missed(tmp_path: Path) -> None:
    lfw = shared_data("lfw", "deepfunneled")
    wanted = _photos_of(lfw, "Alejandro_Toledo")[0]
    _folder(tmp_path / "others", _photos_of(lfw, "Amelie_Mauresmo")[:5])

    done = run_demo(
        tmp_path, "--wanted", str(wanted), "--source", str(tmp_path / "others"),
        "--seconds", "3", "--json", "--out", str(tmp_path / "out"),
    )  # fmt: skip

    assert done.returncode == 1, done.stderr
    assert outcome_of(done)["missed"] == 1


def test_a_photo_without_a_face_is_refused_in_words(tmp_path: Path) -> None:
    from cordon_demo.portraits import asset_path

    done = run_demo(tmp_path, "--wanted", str(asset_path("cat")), "--out", str(tmp_path / "out"))

    assert done.returncode == 2
    assert "no face" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "tmp").iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_neither_processes_nor_files(
    tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "tmp").mkdir()
    demo = subprocess.Popen(
        [*_CORDON, "--seconds", "60", "--out", str(tmp_path / "out")],
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp")},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert demo.stderr is not None
        while "streaming" not in (line := demo.stderr.readline()):
            assert line, "the demo ended before it streamed"
        children = psutil.Process(demo.pid).children(recursive=True)

        demo.send_signal(number)
        code = demo.wait(_DONE_S)
    finally:
        demo.kill()
        demo.stderr.close() if demo.stderr else None

    assert code == 128 + number
    assert len(children) >= 3
    assert not any(child.is_running() for child in children)
    assert not list((tmp_path / "tmp").iterdir())


def test_a_server_that_dies_ends_the_demo_with_its_last_words(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    demo = subprocess.Popen(
        [*_CORDON, "--seconds", "60", "--out", str(tmp_path / "out")],
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp")},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert demo.stderr is not None
        while "streaming" not in (line := demo.stderr.readline()):
            assert line, "the demo ended before it streamed"
        server = next(
            child
            for child in psutil.Process(demo.pid).children(recursive=True)
            if "server" in child.cmdline()
        )

        server.kill()
        said = demo.stderr.read()
        code = demo.wait(20)
    finally:
        demo.kill()
        demo.stderr.close() if demo.stderr else None

    assert code == 1
    assert "server was ended by SIGKILL" in said
    assert "Traceback" not in said


def _photos_of(lfw: Path, name: str) -> list[Path]:
    photos = sorted(lfw.rglob(f"{name}_0*.jpg"))
    assert len(photos) >= 6
    return photos


def _folder(folder: Path, photos: list[Path]) -> None:
    folder.mkdir()
    for photo in photos:
        shutil.copy(photo, folder)
