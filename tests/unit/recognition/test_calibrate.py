"""What a machine can do is measured once, kept for its owner alone, and never stops a start."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TypedDict

import numpy as np
import pytest
from numpy.typing import NDArray

from cordon_server.recognition import calibrate
from cordon_server.recognition.calibrate import (
    FILE_NAME,
    WORKERS_MAX,
    Calibration,
    Watch,
    calibrated,
    measure,
    ways,
    worker_counts,
)
from cordon_server.recognition.decode import Decoder
from cordon_server.recognition.models.sessions import Models


class Size(TypedDict):
    """Of the detector's input."""

    width: int
    height: int


SIZE: Size = {"width": 640, "height": 384}


def test_it_is_measured_in_a_few_seconds_and_makes_sense(models: Models) -> None:
    began_s = time.process_time()
    found = measure(models, 2, width=640, height=384)

    assert time.process_time() - began_s < 10  # of processors; about two
    assert 1 <= found.workers <= 2
    assert found.batch in models.batches
    assert 0 < found.face_s < found.typical_s
    assert found.faces_per_s > 0


def test_a_restart_reads_what_was_measured(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate, "QUIET_SHARE_MIN", 0.0)  # whatever else runs here
    first = calibrated(models, tmp_path, cores=2, **SIZE)
    monkeypatch.setattr(calibrate, "measure", None)  # would fail

    assert calibrated(models, tmp_path, cores=2, **SIZE) == first
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600
    with pytest.raises(TypeError):
        calibrated(models, tmp_path, cores=4, **SIZE)
    with pytest.raises(TypeError):
        calibrated(models, tmp_path, cores=2, width=960, height=544)


def test_what_was_measured_while_others_had_the_processor_is_measured_again_at_the_next_start(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disturbed, quiet = Calibration(2, 4, 100.0, 0.1, 0.1), Calibration(2, 4, 200.0, 0.01, 0.01)
    shares = {id(disturbed): 0.5, id(quiet): 0.99}
    found = iter([disturbed, quiet])

    def measured(*_: object, watch: Watch, **__: object) -> Calibration:
        now = next(found)
        watch._asked_s, watch._had_s = 1.0, shares[id(now)]
        return now

    monkeypatch.setattr(calibrate, "measure", measured)

    assert [calibrated(models, tmp_path, cores=2, **SIZE) for _ in range(4)] == [
        disturbed,
        *[quiet] * 3,
    ]


def test_who_waits_for_a_processor_is_seen_and_who_computes_is_not_taken_for_waiting() -> None:
    computing, waiting = Watch(), Watch()
    until_s = time.thread_time() + 0.05

    with computing.asking():
        while time.thread_time() < until_s:
            pass
    with waiting.asking():
        time.sleep(0.05)

    assert Watch().share == 1.0
    assert waiting.share < 0.5
    assert computing.share > waiting.share


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"%s": {"workers": 0}}', '{"%s": 3}'])
def test_a_damaged_file_is_measured_again_and_mended(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    known = Calibration(2, 4, 200.0, 0.01, 0.01)
    monkeypatch.setattr(calibrate, "measure", lambda *_, **__: known)
    key = calibrate._key(models, 2, 640, 384, Decoder())
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


@pytest.mark.parametrize("cores", [1, 2, 16])
def test_the_expected_way_is_tried_first_and_no_way_has_more_workers_than_cores(cores: int) -> None:
    tried = list(ways(cores, (1, 4)))

    assert tried[0] == (cores, 4)
    assert len(set(tried)) == len(tried)
    assert all(1 <= workers <= cores for workers, _ in tried)


@pytest.mark.parametrize("cores", [1, 2, 16, 128])
def test_a_gpu_is_tried_with_more_workers_than_cores_within_the_setting(cores: int) -> None:
    counts = worker_counts(cores)

    assert counts == tuple(sorted(set(counts)))
    assert counts[0] == min(cores, WORKERS_MAX)
    assert counts[-1] <= WORKERS_MAX


class Slow:
    """A GPU that takes so long for a frame, one after the other; its faces are free."""

    def __init__(self, models: Models, frame_s: float) -> None:
        self.pack, self.provider, self.batches = models.pack, "cuda", tuple(range(1, 9))
        self.warm = False
        self._models, self._frame_s, self._turn = models, frame_s, threading.Lock()

    def warm_up(self, width: int, height: int) -> None:
        self.warm = True

    def detect(self, planes: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        with self._turn:
            time.sleep(self._frame_s)
        cells = np.zeros((len(planes), 5040, 16), np.float32)
        return {"cells": cells}

    def embed(self, crops: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.ones((len(crops), 128), np.float32)


def test_a_gpu_is_warm_first_and_a_frame_costs_what_all_its_workers_together_take(
    models: Models,
) -> None:
    gpu = Slow(models, frame_s=0.03)

    found = measure(gpu, 2, width=640, height=384)

    assert gpu.warm
    assert found.batch == 8
    assert found.workers in worker_counts(2)
    # It does one frame at a time, so a frame holds each worker for as many turns as there are.
    assert found.typical_s >= found.workers * 0.03 * 0.9


def test_another_decoder_is_another_calibration(models: Models, tmp_path: Path) -> None:
    class Other(Decoder):
        pass

    keys = {calibrate._key(models, 2, 640, 384, each()) for each in (Decoder, Decoder, Other)}

    assert len(keys) == 2
