"""The provider asked for is the provider got, or an error."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime as ort
import pytest
import structlog.testing

from cordon_server.domain import ProviderUnavailable
from cordon_server.recognition.models import sessions
from cordon_server.recognition.models.prepare import PreparedPack
from cordon_server.recognition.models.sessions import Models, open_models

HAS_CUDA = "CUDAExecutionProvider" in ort.get_available_providers()


def test_auto_runs_on_whatever_is_there_and_says_what(prepared: PreparedPack) -> None:
    models = open_models(prepared, "auto")

    models.warm_up()

    assert models.provider in ("cpu", "cuda")


@pytest.mark.skipif(HAS_CUDA, reason="this onnxruntime is built with CUDA")
def test_cuda_asked_for_and_not_there_is_an_error_that_says_what_to_do(
    prepared: PreparedPack,
) -> None:
    with pytest.raises(ProviderUnavailable, match="onnxruntime-gpu"):
        open_models(prepared, "cuda")


def test_without_cudnn_cuda_is_an_error_and_auto_says_why_it_takes_the_cpu(
    prepared: PreparedPack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "_cuda_is_built_in", lambda: True)
    monkeypatch.setattr(sessions, "CUDNN", "libcudnn-of-no-machine.so.9")

    with pytest.raises(ProviderUnavailable, match="libcudnn-of-no-machine"):
        open_models(prepared, "cuda")
    with structlog.testing.capture_logs() as logs:
        assert open_models(prepared, "auto").provider == "cpu"

    assert [each["event"] for each in logs] == ["cuda.unavailable"]
    assert "libcudnn-of-no-machine" in logs[0]["why"]


def test_an_unknown_provider_is_an_error(prepared: PreparedPack) -> None:
    with pytest.raises(ProviderUnavailable, match="auto, cpu or cuda"):
        open_models(prepared, "tpu")


def test_many_threads_get_what_one_gets(models: Models) -> None:
    crops = np.random.default_rng(4).uniform(0, 255, (8, 1, 3, 112, 112)).astype(np.float32)
    alone = [models.embed(crop) for crop in crops]

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(models.embed, crops))

    np.testing.assert_array_equal(np.concatenate(alone), np.concatenate(together))
