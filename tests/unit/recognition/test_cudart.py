"""CUDA's runtime is called as it wants to be; its errors are ours, by what can be done about them.

The library is played by ctypes itself: a GPU's memory is only another address here.
"""

from __future__ import annotations

import ctypes
import gc
from typing import Any

import numpy as np
import pytest

from cordon_server.domain import DeviceLost, ProviderUnavailable
from cordon_server.recognition.models import cudart
from cordon_server.recognition.models.buckets import DeviceFull
from cordon_server.recognition.models.cudart import Cudart, load_cudart


class Library:
    """What CUDA would do, done on the host."""

    def __init__(self) -> None:
        self.error = 0
        self.blocks: dict[int, Any] = {}
        self.begun: list[tuple[int, int, int]] = []
        self.cleared = 0

    def cudaHostAlloc(self, pointer: Any, size: Any, flags: object) -> int:  # noqa: N802  # CUDA's names
        if not self.error:
            block = ctypes.create_string_buffer(b"\xff" * size, size)
            self.blocks[ctypes.addressof(block)] = block
            pointer._obj.value = ctypes.addressof(block)
        return self.error

    def cudaFreeHost(self, pointer: Any) -> int:  # noqa: N802
        del self.blocks[pointer.value]
        return 0

    def cudaMemcpy(self, to: Any, source: Any, size: Any, kind: object) -> int:  # noqa: N802
        ctypes.memmove(to, source, size)
        return self.error

    def cudaMemcpyAsync(self, to: Any, source: Any, size: Any, kind: Any, stream: Any) -> int:  # noqa: N802
        self.begun.append((to.value, source.value, size))
        return self.error

    def cudaStreamSynchronize(self, stream: object) -> int:  # noqa: N802
        for copy in self.begun:
            ctypes.memmove(*copy)
        self.begun.clear()
        return self.error

    def cudaGetLastError(self) -> int:  # noqa: N802
        self.cleared += 1
        return self.error

    def cudaGetErrorName(self, error: object) -> bytes:  # noqa: N802
        return b"cudaErrorOfTheTest"


@pytest.fixture
def library() -> Library:
    return Library()


def test_pinned_memory_begins_as_zeros_and_is_freed_with_its_last_view(library: Library) -> None:
    array = Cudart(library).pinned((2, 3, 4))
    row = array[1]

    assert array.shape == (2, 3, 4)
    assert array.dtype == np.float32
    assert not array.any()
    del array
    gc.collect()
    assert len(library.blocks) == 1
    row[:] = 1  # still there
    del row
    gc.collect()
    assert not library.blocks


def test_what_goes_there_comes_back(library: Library) -> None:
    runtime = Cudart(library)
    device = np.zeros((3, 5), np.float32)
    sent = np.arange(15, dtype=np.float32).reshape(3, 5)
    received = runtime.pinned((3, 5))

    runtime.to_device(device.ctypes.data, sent)
    runtime.begin_to_host(received, device.ctypes.data)
    runtime.wait()

    np.testing.assert_array_equal(received, sent)


def test_no_memory_is_a_batch_too_large_and_is_not_left_for_others_to_find(
    library: Library,
) -> None:
    library.error = cudart.OUT_OF_MEMORY

    with pytest.raises(DeviceFull, match=r"cudaHostAlloc: cudaErrorOfTheTest \(2\)"):
        Cudart(library).pinned((1,))

    assert library.cleared == 1


def test_any_other_error_is_a_lost_device(library: Library) -> None:
    runtime = Cudart(library)
    array = runtime.pinned((1,))
    library.error = 700

    with pytest.raises(DeviceLost, match="700"):
        runtime.to_device(array.ctypes.data, array)
    with pytest.raises(DeviceLost, match="700"):
        runtime.begin_to_host(array, array.ctypes.data)
    with pytest.raises(DeviceLost, match="700"):
        runtime.wait()


def test_without_the_library_the_provider_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cudart, "LIBRARIES", ("libcudart-of-no-machine.so.1",))

    with pytest.raises(ProviderUnavailable, match="libcudart-of-no-machine"):
        load_cudart()
