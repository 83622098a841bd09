"""What breaks inside costs one frame: it is told and logged, and the next one is served."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import structlog.testing
from numpy.typing import NDArray

from cordon_server.domain import Frame, ModelFailed
from cordon_server.recognition.analyse import Analyser
from cordon_server.recognition.decode import Decoder
from cordon_server.recognition.embed import Embedder
from cordon_server.recognition.models.sessions import Models
from cordon_server.recognition.scheduler import FrameFate, Outcome, Scheduler
from tests.bench.accuracy import ExactGallery

PATIENCE_S = 30.0


class Camera:
    """Sends pictures one after the other through a scheduler with one worker."""

    def __init__(self, analyser: Analyser) -> None:
        self.scheduler = Scheduler([analyser], age_s_max=PATIENCE_S)
        self._heard = threading.Semaphore(0)
        self._outcomes: list[Outcome] = []
        self._mailbox = self.scheduler.open_mailbox("gate", ExactGallery(0.47), self._hear)

    def _hear(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        self._heard.release()

    def send(self, jpeg: bytes) -> Outcome:
        sequence = len(self._outcomes) + 1
        moment = datetime(2026, 1, 1, tzinfo=UTC)
        self._mailbox.put(Frame("gate", sequence, moment, 1e12, jpeg))
        assert self._heard.acquire(timeout=PATIENCE_S)
        return self._outcomes[-1]


@pytest.fixture
def camera(models: Models) -> Iterator[Camera]:
    camera = Camera(Analyser(models))
    yield camera
    assert camera.scheduler.stop(PATIENCE_S)


def _nans(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.full_like(values, np.nan)


def test_a_detector_that_answers_no_numbers_costs_that_frame_and_is_told(
    camera: Camera, models: Models, portrait: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jpeg, detect = portrait.read_bytes(), models.detect
    with monkeypatch.context() as broken, structlog.testing.capture_logs() as logs:
        broken.setattr(
            models, "detect", lambda planes: {k: _nans(v) for k, v in detect(planes).items()}
        )
        lost = camera.send(jpeg)
    after = camera.send(jpeg)

    assert lost.fate is FrameFate.REJECTED
    assert lost.error is not None
    assert lost.error.reason == "MODEL_FAILED"
    assert [each["reason"] for each in logs if each["event"] == "frame.failed"] == ["MODEL_FAILED"]
    assert after.result is not None
    assert after.result.counts.searched == 1


def test_an_embedder_that_answers_no_numbers_costs_that_frame_and_is_told(
    camera: Camera, models: Models, portrait: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jpeg, embed = portrait.read_bytes(), models.embed
    with monkeypatch.context() as broken:
        broken.setattr(models, "embed", lambda crops: _nans(embed(crops)))
        lost = camera.send(jpeg)
    after = camera.send(jpeg)

    assert lost.fate is FrameFate.REJECTED
    assert lost.error is not None
    assert lost.error.reason == "MODEL_FAILED"
    assert after.result is not None
    assert after.result.counts.searched == 1


@pytest.mark.parametrize("fault", [RuntimeError("bug"), MemoryError(), SystemExit(1)])
def test_a_decoder_that_fails_costs_that_frame_and_the_next_is_served(
    camera: Camera, portrait: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    def fail(self: Decoder, jpeg: bytes) -> None:
        raise fault

    jpeg = portrait.read_bytes()
    with monkeypatch.context() as broken:
        broken.setattr(Decoder, "read", fail)
        lost = camera.send(jpeg)
    after = camera.send(jpeg)

    assert lost.fate is FrameFate.REJECTED
    assert lost.error is not None
    assert lost.error.reason == "FRAME_FAILED"
    assert after.fate is FrameFate.PROCESSED


def test_no_number_leaves_the_embedder(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "embed", lambda crops: np.full((len(crops), 128), np.nan))

    with pytest.raises(ModelFailed):
        Embedder(models).embed([np.zeros((112, 112, 3), np.uint8)])
