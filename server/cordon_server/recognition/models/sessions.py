"""The sessions that run a prepared pack, on the provider that was asked for and no other."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import onnxruntime as ort
import structlog
from numpy.typing import NDArray

from cordon_server.domain import DeviceLost, ModelRefused, ProviderUnavailable
from cordon_server.recognition.models.cuda import SessionDevice, cuda_options
from cordon_server.recognition.models.cudart import load_cudart
from cordon_server.recognition.models.on_device import DETECTOR, EMBEDDER, OnDevice
from cordon_server.recognition.models.pack import ModelPack, read_pinned
from cordon_server.recognition.models.prepare import (
    CROP_SIZE,
    DETECTOR_OUTPUTS,
    PreparedFile,
    PreparedPack,
)

log = structlog.get_logger(__name__)

CUDNN = "libcudnn.so.9"
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}

# On a CPU up to four faces share one reading of the last layer's 25 MB of weights (6 % faster than
# one at a time); the feature maps of more leave the cache.
_CPU_BATCHES = (1, 2, 3, 4)

Planes = NDArray[np.float32]


class Networks(Protocol):
    """Both networks of a pack where they run. Any number of threads may call it at once."""

    @property
    def batches(self) -> tuple[int, ...]: ...

    def limit_batch(self, faces_max: int) -> None: ...

    def detect(self, planes: Planes) -> list[Planes]: ...

    def embed(self, crops: Planes) -> Planes: ...

    def warm_up(self, shapes: tuple[tuple[int, int], ...]) -> None: ...

    def watch(self, on_lost: Callable[[DeviceLost], None]) -> None: ...

    def close(self) -> None: ...


class Models:
    """A detector and an embedder, loaded. Any number of threads may call it at once."""

    def __init__(self, pack: ModelPack, provider: str, networks: Networks) -> None:
        self.pack = pack
        self.provider = provider
        self._networks = networks

    @property
    def batches(self) -> tuple[int, ...]:
        """How many faces may be embedded in one call, in rising order."""
        return self._networks.batches

    def limit_batch(self, faces_max: int) -> None:
        """Embeds no more faces together than that; before anything is built on `batches`."""
        self._networks.limit_batch(faces_max)

    def detect(self, planes: Planes) -> dict[str, Planes]:
        """Raw detector outputs by name, each (n, cells, values), of (n, 3, height, width)."""
        return dict(zip(DETECTOR_OUTPUTS, self._networks.detect(planes), strict=True))

    def embed(self, crops: Planes) -> Planes:
        """Raw features (n, dimension), not normalised, of crops (n, 3, 112, 112)."""
        return self._networks.embed(crops)

    def warm_up(self, width: int = 640, height: int = 384) -> None:
        """Runs every shape that will come, so that the first frame is not the slow one."""
        square = max(width, height)  # What enrolment looks at.
        self._networks.warm_up(((height, width), (width, height), (square, square)))

    def watch(self, on_lost: Callable[[DeviceLost], None]) -> None:
        """Calls that, once, from any thread, when the device is lost; at once where it is.

        From then on every call raises DeviceLost. A CPU is never lost.
        """
        self._networks.watch(on_lost)

    def close(self) -> None:
        """Lets a device go; calls under way are finished, later ones raise DeviceLost."""
        self._networks.close()


class OnCpu:
    """Networks that run in the thread that asks: the cores are the workers'."""

    def __init__(self, detector: ort.InferenceSession, embedder: ort.InferenceSession) -> None:
        self.batches: tuple[int, ...] = _CPU_BATCHES
        self._detector = detector
        self._embedder = embedder
        self._detector_input = detector.get_inputs()[0].name
        self._embedder_input = embedder.get_inputs()[0].name
        self._outputs = list(DETECTOR_OUTPUTS)

    def limit_batch(self, faces_max: int) -> None:
        self.batches = tuple(each for each in self.batches if each <= faces_max) or self.batches[:1]

    def detect(self, planes: Planes) -> list[Planes]:
        values: list[Planes] = self._detector.run(self._outputs, {self._detector_input: planes})
        return values

    def embed(self, crops: Planes) -> Planes:
        features: Planes = self._embedder.run(None, {self._embedder_input: crops})[0]
        return features

    def warm_up(self, shapes: tuple[tuple[int, int], ...]) -> None:
        for shape in shapes:
            self.detect(np.zeros((1, 3, *shape), np.float32))
        for batch in self.batches:
            self.embed(np.zeros((batch, 3, CROP_SIZE, CROP_SIZE), np.float32))

    def watch(self, on_lost: Callable[[DeviceLost], None]) -> None:
        """Nothing to watch."""

    def close(self) -> None:
        """Nothing to let go."""


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
        try:
            return _on_cuda(prepared)
        except ProviderUnavailable as unavailable:
            if provider == "cuda":
                raise
            log.warning("cuda.unavailable", why=unavailable.message)
    elif provider == "cuda":
        raise ProviderUnavailable(
            "CUDA was asked for, but the onnxruntime installed here is built without it; run: "
            "pip uninstall onnxruntime, then pip install 'onnxruntime-gpu[cuda,cudnn]', or choose "
            "the provider cpu.",
            field="provider",
        )
    return _on_cpu(prepared, threads)


def _on_cpu(prepared: PreparedPack, threads: int) -> Models:
    prepared = prepared.for_provider("cpu")
    networks = OnCpu(
        _session(prepared.detector, "cpu", threads), _session(prepared.embedder, "cpu", threads)
    )
    return Models(prepared.pack, "cpu", networks)


def _on_cuda(prepared: PreparedPack) -> Models:
    _preload_cuda_libraries()
    runtime = load_cudart()
    prepared = prepared.for_provider("cuda")
    files = {DETECTOR: prepared.detector, EMBEDDER: prepared.embedder}

    def open_sessions(graphs: bool) -> dict[str, ort.InferenceSession]:
        options = cuda_options(graphs=graphs)
        return {name: _session(file, "cuda", 1, options) for name, file in files.items()}

    outputs = {DETECTOR: tuple(DETECTOR_OUTPUTS), EMBEDDER: ()}
    device = SessionDevice(open_sessions, runtime, outputs)
    return Models(prepared.pack, "cuda", OnDevice(device))


def _session(
    file: PreparedFile, provider: str, threads: int, choices: dict[str, str] | None = None
) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Fatal only: what fails comes back as an exception or is checked.
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if provider == "cuda":
        # Patterns are laid out anew for each shape, which a captured graph may not see.
        options.enable_mem_pattern = False
    content = read_pinned(file.path, file.sha256, what="prepared model")
    try:
        session = ort.InferenceSession(
            content,
            options,
            providers=[(PROVIDERS[provider], choices or {})],
            enable_fallback=0,  # What fails is an error, now and later, and never the CPU's to do.
        )
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
    """Loads CUDA and cuDNN from the installed wheels, where this onnxruntime knows how.

    Without cuDNN sessions open all the same, and fail, or crawl, when they run.
    """
    preload: Callable[..., Any] | None = getattr(ort, "preload_dlls", None)
    if preload is not None:
        preload()
    try:
        ctypes.CDLL(CUDNN)
    except OSError as error:
        raise _no_cuda(f"{CUDNN} cannot be loaded") from error
