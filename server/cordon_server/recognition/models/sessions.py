"""The sessions that run a prepared pack, on the provider that was asked for and no other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from cordon_server.domain import ModelRefused, ProviderUnavailable
from cordon_server.recognition.models.pack import ModelPack, read_pinned
from cordon_server.recognition.models.prepare import (
    CROP_SIZE,
    DETECTOR_OUTPUTS,
    PreparedFile,
    PreparedPack,
)

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}

# CUDA searches its algorithms again for every new shape, so batches are padded to one of these.
# On a CPU up to four faces share one reading of the last layer's 25 MB of weights (6 % faster than
# one at a time); the feature maps of more leave the cache.
_BATCHES = {"cpu": (1, 2, 3, 4), "cuda": (1, 4, 16, 64)}


class Models:
    """A detector and an embedder, loaded. Any number of threads may call it at once."""

    def __init__(
        self,
        pack: ModelPack,
        provider: str,
        detector: ort.InferenceSession,
        embedder: ort.InferenceSession,
    ) -> None:
        self.pack = pack
        self.provider = provider
        self.batches: tuple[int, ...] = _BATCHES[provider]
        self._detector = detector
        self._embedder = embedder
        self._detector_input = detector.get_inputs()[0].name
        self._embedder_input = embedder.get_inputs()[0].name
        self._outputs = list(DETECTOR_OUTPUTS)

    def limit_batch(self, faces_max: int) -> None:
        """Embeds no more faces together than that; before anything is built on `batches`."""
        self.batches = tuple(each for each in self.batches if each <= faces_max) or self.batches[:1]

    def detect(self, planes: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Raw detector outputs by name, each (n, cells, values), of (n, 3, height, width)."""
        values = self._detector.run(self._outputs, {self._detector_input: planes})
        return dict(zip(self._outputs, values, strict=True))

    def embed(self, crops: NDArray[np.float32]) -> NDArray[np.float32]:
        """Raw features (n, dimension), not normalised, of crops (n, 3, 112, 112)."""
        features: NDArray[np.float32] = self._embedder.run(None, {self._embedder_input: crops})[0]
        return features

    def warm_up(self, width: int = 640, height: int = 384) -> None:
        """Runs every shape that will come, so that the first frame is not the slow one."""
        square = max(width, height)  # What enrolment looks at.
        for shape in ((height, width), (width, height), (square, square)):
            self.detect(np.zeros((1, 3, *shape), np.float32))
        for batch in self.batches:
            self.embed(np.zeros((batch, 3, CROP_SIZE, CROP_SIZE), np.float32))


def open_models(prepared: PreparedPack, provider: str = "auto", *, threads: int = 1) -> Models:
    """Loads a prepared pack on `auto` (CUDA where it works, else CPU), `cpu` or `cuda`.

    `threads` is the size of one call's own thread pool on a CPU; more callers do more than more
    threads. Raises ProviderUnavailable where `cuda` was asked and is not to be had.
    """
    if provider not in ("auto", *PROVIDERS):
        raise ProviderUnavailable(
            f"There is no provider {provider!r}; ask for auto, cpu or cuda.", field="provider"
        )
    if provider in ("auto", "cuda") and _cuda_is_built_in():
        _preload_cuda_libraries()
        try:
            return _open(prepared, "cuda", threads)
        except ProviderUnavailable:
            if provider == "cuda":
                raise
    elif provider == "cuda":
        raise ProviderUnavailable(
            "CUDA was asked for, but the onnxruntime installed here is built without it; run: "
            "pip uninstall onnxruntime, then pip install 'onnxruntime-gpu[cuda,cudnn]', or choose "
            "the provider cpu.",
            field="provider",
        )
    return _open(prepared, "cpu", threads)


def _open(prepared: PreparedPack, provider: str, threads: int) -> Models:
    prepared = prepared.for_provider(provider)
    return Models(
        prepared.pack,
        provider,
        detector=_session(prepared.detector, provider, threads),
        embedder=_session(prepared.embedder, provider, threads),
    )


def _session(file: PreparedFile, provider: str, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = (
        4  # Fatal only: what fails comes back as an exception or is checked.
    )
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    content = read_pinned(file.path, file.sha256, what="prepared model")
    try:
        session = ort.InferenceSession(content, options, providers=[PROVIDERS[provider]])
    except Exception as error:  # onnxruntime's errors share no public base.
        if provider == "cuda":
            raise _no_cuda(str(error)) from error
        raise ModelRefused(f"The prepared model {file.path} does not load: {error}") from error
    if session.get_providers()[0] != PROVIDERS[provider]:
        raise _no_cuda("the session fell back to the CPU")
    return session


def _no_cuda(why: str) -> ProviderUnavailable:
    return ProviderUnavailable(
        f"CUDA was asked for, but does not work here ({why}). Check that nvidia-smi shows a "
        "device, that its driver serves CUDA 13, and that 'onnxruntime-gpu[cuda,cudnn]' is "
        "installed; or choose the provider cpu.",
        field="provider",
    )


def _cuda_is_built_in() -> bool:
    return PROVIDERS["cuda"] in ort.get_available_providers()


def _preload_cuda_libraries() -> None:
    """Loads CUDA and cuDNN from the installed wheels, where this onnxruntime knows how."""
    preload: Callable[..., Any] | None = getattr(ort, "preload_dlls", None)
    if preload is not None:
        preload()
