"""The networks on a CUDA device: sessions, and for each batch size its buffers and its graph.

Every call but opening a session is made from one thread: a CUDA graph belongs to the thread that
captured it, and is replayed on the addresses it was captured with.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any, Protocol

import numpy as np
import onnxruntime as ort
import structlog
from numpy.typing import NDArray

from cordon_server.domain import DeviceLost
from cordon_server.recognition.models.buckets import DeviceFull, Kind

__all__ = ["Memory", "SessionDevice", "cuda_options", "is_out_of_memory", "translated"]

log = structlog.get_logger(__name__)

Rows = NDArray[np.float32]
Sessions = Mapping[str, ort.InferenceSession]

REPEATS = 5
GRAPH_PAYS = 1.05
"""A graph is replayed where that is this many times as fast as launching every kernel."""
GRAPH_APART_MAX = 1e-3
"""What graph and launches may differ by, relative to the largest value: another algorithm, never
another result."""
WHY_CHARACTERS_MAX = 500
_GRAPH_ID = "gpu_graph_id"
_NO_GRAPH = "-1"
"""The id for which nothing is captured or replayed."""

_FULL = (
    "failed to allocate memory",
    "out of memory",
    "cudaerrormemoryallocation",
    "available memory of",
    "alloc_failed",
    "cuda runtime failure: '#2'",
)
"""How ONNX Runtime, its arena, CUDA, cuBLAS, cuDNN and nvImageCodec say it; there is no code to ask
for."""


def cuda_options(*, graphs: bool) -> dict[str, str]:
    """The provider's options.

    TF32 is off. With it, convolutions keep 10 bits of their inputs on new devices and all 23 on old
    ones: a score would depend on where it was computed, and thresholds on what computes them. The
    price is what the tensor cores of newer devices would have saved.
    """
    return {
        "device_id": "0",  # CUDA_VISIBLE_DEVICES says which that is.
        "use_tf32": "0",
        # A search by trial would be made again for each batch size, in a server that is serving.
        "cudnn_conv_algo_search": "HEURISTIC",
        "cudnn_conv_use_max_workspace": "1",
        # What is asked for and no more: the default doubles, and takes from who else is there.
        "arena_extend_strategy": "kSameAsRequested",
        "do_copy_in_default_stream": "1",
        "enable_cuda_graph": "1" if graphs else "0",
    }


def is_out_of_memory(error: BaseException) -> bool:
    """Whether that is the device's way of saying that it has no memory for this."""
    words = str(error).lower()
    return any(each in words for each in _FULL)


class Memory(Protocol):
    """Host buffers, and copies between them and the device."""

    def pinned(self, shape: tuple[int, ...]) -> Rows: ...

    def to_device(self, address: int, array: Rows) -> None: ...

    def begin_to_host(self, array: Rows, address: int) -> None: ...

    def wait(self) -> None: ...


@dataclass(slots=True)
class _Ready:
    """What one batch size of one network runs on."""

    binding: ort.IOBinding
    options: ort.RunOptions
    staged: Rows
    device_in: ort.OrtValue
    device_outs: list[ort.OrtValue]
    outputs: list[Rows]
    graph_id: str = _NO_GRAPH


class SessionDevice:
    """A `Device` of ONNX Runtime sessions."""

    def __init__(
        self,
        open_sessions: Callable[[bool], Sessions],
        memory: Memory,
        outputs: Mapping[str, tuple[str, ...]],
        *,
        place: str = "cuda",
    ) -> None:
        """`open_sessions` is told whether graphs are wanted; `outputs` are those wanted of each
        network, in order; `place` is ONNX Runtime's name of where they run."""
        self._open_sessions = open_sessions
        self._memory = memory
        self._outputs = outputs
        self._place = place
        self._captures = True
        self._sessions: Sessions = {}
        self._ready: dict[tuple[Kind, int], _Ready] = {}
        self._staged: dict[Kind, Rows] = {}
        self._graphs_made = 0

    def open(self) -> None:
        """Opens the sessions: with graphs where the networks allow it, else without.

        Raises what `open_sessions` does without graphs.
        """
        try:
            self._sessions = self._open_sessions(True)
        except Exception as error:  # noqa: BLE001 - a session says with it that a node runs elsewhere.
            self._sessions = self._open_sessions(False)
            self._no_graphs(error)

    def load(self, kind: Kind, size: int) -> float:
        """See `Device`. A graph is captured, compared with the launches it stands for, and kept
        where it is faster."""
        with translated():
            ready = self._ready[kind, size] = self._made_ready(kind, size)
            taken_s = self._timed(kind, ready)
        if not self._captures:
            return taken_s
        try:
            return self._with_graph(kind, ready, taken_s)
        except Exception as error:
            # A capture that broke off leaves its stream unusable: everything is opened anew.
            self._no_graphs(error)
            with translated():
                self._sessions = self._open_sessions(False)
            if is_out_of_memory(error):
                raise DeviceFull(str(error)) from error
            return self.load(kind, size)

    def stage(self, kind: Kind, size: int) -> Rows:
        """See `Device`. What no warm-up has made ready gets no graph: a capture stands no other
        thread's work on the device."""
        if (kind, size) not in self._ready:
            with translated():
                self._ready[kind, size] = self._made_ready(kind, size)
        return self._ready[kind, size].staged

    def run(self, kind: Kind, size: int) -> list[Rows]:
        """See `Device`."""
        with translated():
            ready = self._ready[kind, size]
            self._run(kind, ready)
        return ready.outputs

    def release(self, kind: Kind, size: int) -> None:
        """See `Device`."""
        ready = self._ready.pop((kind, size), None)
        if ready is not None and ready.graph_id != _NO_GRAPH:
            with translated():
                self._sessions[kind.network].release_captured_graph(int(ready.graph_id))

    def graphs(self, kind: Kind) -> list[int]:
        """The sizes that replay a graph."""
        return [
            size
            for (each, size), ready in self._ready.items()
            if each == kind and ready.graph_id != _NO_GRAPH
        ]

    def _made_ready(self, kind: Kind, size: int) -> _Ready:
        session = self._sessions[kind.network]
        shape = (size, *kind.row)
        staged, device_in = self._staging(kind, size), self._value(shape)
        binding = session.io_binding()
        binding.bind_ortvalue_input(session.get_inputs()[0].name, device_in)
        names = self._outputs[kind.network] or tuple(each.name for each in session.get_outputs())
        for name in names:
            binding.bind_output(name, self._place)
        options = _run_options(_NO_GRAPH)
        self._memory.to_device(device_in.data_ptr(), staged)
        # The first run tells the outputs' shapes; from then on they have addresses of their own.
        session.run_with_iobinding(binding, options)
        device_outs = [self._value(tuple(each.shape())) for each in binding.get_outputs()]
        for name, value in zip(names, device_outs, strict=True):
            binding.bind_ortvalue_output(name, value)
        outputs = [self._memory.pinned(tuple(each.shape())) for each in device_outs]
        return _Ready(binding, options, staged, device_in, device_outs, outputs)

    def _staging(self, kind: Kind, size: int) -> Rows:
        """The first `size` rows of a buffer that all sizes of a kind share: one runs at a time."""
        if kind not in self._staged or len(self._staged[kind]) < size:
            self._staged[kind] = self._memory.pinned((size, *kind.row))
            for (each, smaller), ready in self._ready.items():
                if each == kind:
                    ready.staged = self._staged[kind][:smaller]
        return self._staged[kind][:size]

    def _with_graph(self, kind: Kind, ready: _Ready, launched_s: float) -> float:
        """Captures a graph; what a batch takes with it, or without where it does not pay."""
        first, second = _noise(ready.staged.shape, 1), _noise(ready.staged.shape, 2)
        expected = [output.copy() for output in self._run_on(kind, ready, second)]
        self._run_on(kind, ready, first)
        self._graphs_made += 1
        graph_id = str(self._graphs_made)
        plain, ready.options = ready.options, _run_options(graph_id)
        ready.graph_id = graph_id
        taken_s = self._timed(kind, ready)
        # Captured on one input and replayed on another: what was left lying about would not agree.
        found = self._run_on(kind, ready, second)
        if not all(_agree(*pair) for pair in zip(found, expected, strict=True)):
            raise DeviceLost("a captured graph computes something else")
        if taken_s * GRAPH_PAYS <= launched_s:
            return taken_s
        self._sessions[kind.network].release_captured_graph(int(graph_id))
        ready.options, ready.graph_id = plain, _NO_GRAPH
        return launched_s

    def _no_graphs(self, why: BaseException) -> None:
        log.warning("device.no_graphs", why=str(why)[:WHY_CHARACTERS_MAX])
        self._captures = False
        self._ready.clear()

    def _timed(self, kind: Kind, ready: _Ready) -> float:
        """Seconds that a batch takes, there and back."""
        self._run(kind, ready)
        times = []
        for _ in range(REPEATS):
            began_s = time.perf_counter()
            self._run(kind, ready)
            times.append(time.perf_counter() - began_s)
        return median(times)

    def _run_on(self, kind: Kind, ready: _Ready, rows: Rows) -> list[Rows]:
        ready.staged[:] = rows
        self._run(kind, ready)
        return ready.outputs

    def _run(self, kind: Kind, ready: _Ready) -> None:
        self._memory.to_device(ready.device_in.data_ptr(), ready.staged)
        self._sessions[kind.network].run_with_iobinding(ready.binding, ready.options)
        ready.binding.synchronize_outputs()
        for output, value in zip(ready.outputs, ready.device_outs, strict=True):
            self._memory.begin_to_host(output, value.data_ptr())
        self._memory.wait()

    def _value(self, shape: tuple[int, ...]) -> ort.OrtValue:
        return ort.OrtValue.ortvalue_from_shape_and_type(shape, np.float32, self._place)


def _run_options(graph_id: str) -> ort.RunOptions:
    options: Any = ort.RunOptions()
    options.add_run_config_entry(_GRAPH_ID, graph_id)
    return options


def _noise(shape: tuple[int, ...], seed: int) -> Rows:
    return np.random.default_rng(seed).uniform(0, 255, shape).astype(np.float32)


def _agree(found: Rows, expected: Rows) -> bool:
    largest = float(np.abs(expected).max(initial=1e-6))
    return float(np.abs(found - expected).max(initial=0.0)) <= GRAPH_APART_MAX * largest


@contextmanager
def translated(failed: str = "The GPU failed") -> Iterator[None]:
    """What a library raises that uses the device, as DeviceFull or DeviceLost."""
    try:
        yield
    except (DeviceFull, DeviceLost):
        raise
    except Exception as error:  # Neither onnxruntime's nor nvImageCodec's have a base of their own.
        if is_out_of_memory(error):
            raise DeviceFull(str(error)) from error
        raise DeviceLost(f"{failed}: {error}", reason="DEVICE_LOST") from error
