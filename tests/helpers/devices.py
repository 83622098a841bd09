"""Devices where there is none: a scripted one, and the CPU behind a GPU's interface."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from cordon_server.domain import DeviceLost
from cordon_server.recognition.models.buckets import DeviceFull, Kind
from cordon_server.recognition.models.cuda import SessionDevice
from cordon_server.recognition.models.prepare import DETECTOR_OUTPUTS, PreparedPack

Rows = NDArray[np.float32]


@dataclass
class ScriptedDevice:
    """Answers every row with its double and its sum; fails as it is told."""

    room: Callable[[Kind], int] = lambda kind: 1_000
    """Larger batches than this find no memory; what it says may change."""
    seconds: Mapping[int, float] = field(default_factory=dict)
    """What batches of a size take; 1 ms where it does not say."""
    lost: bool = False
    loaded: list[tuple[str, int]] = field(default_factory=list)
    released: list[tuple[str, int]] = field(default_factory=list)
    runs: list[tuple[str, int]] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)
    gate: threading.Event = field(default_factory=threading.Event)
    """Batches wait for it."""
    _staged: dict[tuple[Kind, int], Rows] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.gate.set()

    def open(self) -> None:
        self.threads.add(threading.get_ident())

    def graphs(self, kind: Kind) -> list[int]:
        return []

    def load(self, kind: Kind, size: int) -> float:
        self._check(kind, size)
        self.loaded.append((kind.network, size))
        self._staged[kind, size] = np.full((size, *kind.row), np.nan, np.float32)
        return self.seconds.get(size, 0.001)

    def stage(self, kind: Kind, size: int) -> Rows:
        if (kind, size) not in self._staged:
            self.load(kind, size)
        return self._staged[kind, size]

    def run(self, kind: Kind, size: int) -> list[Rows]:
        assert self.gate.wait(30)
        self._check(kind, size)
        self.runs.append((kind.network, size))
        rows = self._staged[kind, size].reshape(size, -1)
        return [rows * 2, rows.sum(axis=1, keepdims=True)]

    def release(self, kind: Kind, size: int) -> None:
        self.released.append((kind.network, size))
        self._staged.pop((kind, size), None)

    def _check(self, kind: Kind, size: int) -> None:
        self.threads.add(threading.get_ident())
        if self.lost:
            raise DeviceLost("fell off the bus", reason="DEVICE_LOST")
        if size > self.room(kind):
            raise DeviceFull(f"no memory for {size}")


class HostMemory:
    """Memory of a "device" that is the host itself."""

    def pinned(self, shape: tuple[int, ...]) -> Rows:
        return np.zeros(shape, np.float32)

    def to_device(self, address: int, array: Rows) -> None:
        ctypes.memmove(address, array.ctypes.data, array.nbytes)

    def begin_to_host(self, array: Rows, address: int) -> None:
        ctypes.memmove(array.ctypes.data, address, array.nbytes)

    def wait(self) -> None:
        pass


def host_device(prepared: PreparedPack, opened: Sequence[bool] | None = None) -> SessionDevice:
    """The GPU's code path with the real float networks, on the CPU. `opened` collects how its
    sessions were opened: with graphs or without."""
    files = {"detector": prepared.detector, "embedder": prepared.embedder}

    def open_sessions(graphs: bool) -> dict[str, ort.InferenceSession]:
        if isinstance(opened, list):
            opened.append(graphs)
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        return {
            name: ort.InferenceSession(
                file.path, options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
            for name, file in files.items()
        }

    outputs = {"detector": tuple(DETECTOR_OUTPUTS), "embedder": ()}
    return SessionDevice(open_sessions, HostMemory(), outputs, place="cpu")
