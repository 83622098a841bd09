"""Pinned host memory and copies to and from the device, by CUDA's runtime library.

ONNX Runtime's Python interface has neither. The library is the one that its CUDA provider is linked
to, so it is loaded already, in the same context. Knows no networks.
"""

from __future__ import annotations

import ctypes
import math
import weakref
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cordon_server.domain import DeviceLost, ProviderUnavailable
from cordon_server.recognition.models.buckets import DeviceFull

__all__ = ["Cudart", "Library", "load_cudart"]

LIBRARIES = ("libcudart.so.13", "libcudart.so.12")
"""The CUDA versions that ONNX Runtime is built for, newest first."""
OUT_OF_MEMORY = 2
"""cudaErrorMemoryAllocation."""
TO_DEVICE, TO_HOST = 1, 2
"""cudaMemcpyKind."""
HOST_ALLOC_PORTABLE = 1
DEFAULT_STREAM = None

_Pointer = ctypes.c_void_p

Array = NDArray[np.float32] | NDArray[np.uint8]


class Library(Protocol):
    """The functions used; each but the last returns a cudaError_t."""

    def cudaHostAlloc(self, pointer: object, size: object, flags: object) -> int: ...  # noqa: N802  # CUDA's names
    def cudaFreeHost(self, pointer: object) -> int: ...  # noqa: N802
    def cudaMemcpy(self, to: object, source: object, size: object, kind: object) -> int: ...  # noqa: N802
    def cudaMemcpyAsync(  # noqa: N802
        self, to: object, source: object, size: object, kind: object, stream: object
    ) -> int: ...
    def cudaStreamSynchronize(self, stream: object) -> int: ...  # noqa: N802
    def cudaGetLastError(self) -> int: ...  # noqa: N802
    def cudaGetErrorName(self, error: object) -> bytes: ...  # noqa: N802


class Cudart:
    """Raises DeviceFull without memory, DeviceLost for whatever else goes wrong."""

    def __init__(self, library: Library) -> None:
        self._library = library

    def pinned(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Zeros that are never paged out: the device copies from and to them by itself."""
        return self.pinned_bytes(4 * math.prod(shape)).view(np.float32).reshape(shape)

    def pinned_bytes(self, count: int) -> NDArray[np.uint8]:
        """The same as bytes, at least one."""
        pointer = _Pointer()
        self._check(
            self._library.cudaHostAlloc(ctypes.byref(pointer), count, HOST_ALLOC_PORTABLE),
            "cudaHostAlloc",
        )
        assert pointer.value is not None
        block = (ctypes.c_ubyte * count).from_address(pointer.value)
        # Freed with the last array that looks at it: each keeps the block alive.
        weakref.finalize(block, self._library.cudaFreeHost, _Pointer(pointer.value))
        array = np.ctypeslib.as_array(block)
        array[:] = 0
        return array

    def to_device(self, address: int, array: Array) -> None:
        """Copies a contiguous array there; done when it returns."""
        self._check(
            self._library.cudaMemcpy(
                _Pointer(address), _Pointer(array.ctypes.data), array.nbytes, TO_DEVICE
            ),
            "cudaMemcpy",
        )

    def begin_to_host(self, array: Array, address: int) -> None:
        """Begins to copy into a contiguous array; there when `wait` has returned."""
        self._check(
            self._library.cudaMemcpyAsync(
                _Pointer(array.ctypes.data),
                _Pointer(address),
                array.nbytes,
                TO_HOST,
                DEFAULT_STREAM,
            ),
            "cudaMemcpyAsync",
        )

    def wait(self) -> None:
        """Until every copy that was begun is done."""
        self._check(self._library.cudaStreamSynchronize(DEFAULT_STREAM), "cudaStreamSynchronize")

    def _check(self, error: int, call: str) -> None:
        if not error:
            return
        # Left where it is, the next kernel that somebody launches would be blamed for it.
        self._library.cudaGetLastError()
        name = self._library.cudaGetErrorName(error)
        words = f"{call}: {name.decode() if name else 'unknown'} ({error})"
        if error == OUT_OF_MEMORY:
            raise DeviceFull(words)
        raise DeviceLost(f"The GPU failed; {words}.", reason="DEVICE_LOST")


def load_cudart() -> Cudart:
    """The library that the CUDA provider uses; raises ProviderUnavailable where there is none."""
    for name in LIBRARIES:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        _declare(library)
        return Cudart(library)
    raise ProviderUnavailable(
        f"None of {', '.join(LIBRARIES)} can be loaded; install 'onnxruntime-gpu[cuda,cudnn]', or "
        "choose the provider cpu.",
        field="provider",
    )


def _declare(library: ctypes.CDLL) -> None:
    """Sizes are 64 bits wide, which ctypes does not assume."""
    library.cudaHostAlloc.argtypes = (ctypes.POINTER(_Pointer), ctypes.c_size_t, ctypes.c_uint)
    library.cudaFreeHost.argtypes = (_Pointer,)
    library.cudaMemcpy.argtypes = (_Pointer, _Pointer, ctypes.c_size_t, ctypes.c_int)
    library.cudaMemcpyAsync.argtypes = (
        _Pointer,
        _Pointer,
        ctypes.c_size_t,
        ctypes.c_int,
        _Pointer,
    )
    library.cudaStreamSynchronize.argtypes = (_Pointer,)
    library.cudaGetErrorName.argtypes = (ctypes.c_int,)
    library.cudaGetErrorName.restype = ctypes.c_char_p
