"""What a machine can do is measured once, kept for its owner alone, and never stops a start."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from cordon_server.recognition import calibrate
from cordon_server.recognition.calibrate import FILE_NAME, Calibration, calibrated, measure, ways
from cordon_server.recognition.models.sessions import Models

SIZE = {"width": 640, "height": 384}


def test_it_is_measured_in_a_few_seconds_and_makes_sense(models: Models) -> None:
    began_s = time.monotonic()
    found = measure(models, 2, **SIZE)

    assert time.monotonic() - began_s < 10  # about one where nothing else runs
    assert 1 <= found.workers <= 2
    assert found.batch in models.batches
    assert 0 < found.face_s < found.typical_s
    assert found.faces_per_s > 0


def test_a_restart_reads_what_was_measured(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = calibrated(models, tmp_path, cores=2, **SIZE)
    monkeypatch.setattr(calibrate, "measure", None)  # would fail

    assert calibrated(models, tmp_path, cores=2, **SIZE) == first
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600
    with pytest.raises(TypeError):
        calibrated(models, tmp_path, cores=4, **SIZE)
    with pytest.raises(TypeError):
        calibrated(models, tmp_path, cores=2, width=960, height=544)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"%s": {"workers": 0}}', '{"%s": 3}'])
def test_a_damaged_file_is_measured_again_and_mended(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    known = Calibration(2, 4, 200.0, 0.01, 0.01)
    monkeypatch.setattr(calibrate, "measure", lambda *_, **__: known)
    key = calibrate._key(models, 2, 640, 384)
    (tmp_path / FILE_NAME).write_text(content.replace("%s", key))

    assert calibrated(models, tmp_path, cores=2, **SIZE) == known
    monkeypatch.setattr(calibrate, "measure", None)
    assert calibrated(models, tmp_path, cores=2, **SIZE) == known


def test_a_folder_that_cannot_be_written_costs_no_start(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Calibration(2, 4, 200.0, 0.01, 0.01)
    monkeypatch.setattr(calibrate, "measure", lambda *_, **__: known)
    (tmp_path / "file").touch()

    assert calibrated(models, tmp_path / "file", cores=2, **SIZE) == known


@pytest.mark.parametrize(
    ("provider", "cores"), [("cpu", 1), ("cpu", 16), ("cuda", 1), ("cuda", 32)]
)
def test_the_expected_way_is_tried_first_and_no_way_has_more_workers_than_cores(
    provider: str, cores: int
) -> None:
    tried = list(ways(provider, cores, (1, 4)))

    assert tried[0] == (cores if provider == "cpu" else min(cores, 4), 4)
    assert len(set(tried)) == len(tried)
    assert all(1 <= workers <= cores for workers, _ in tried)
