"""nvidia.nvimgcodec as its documentation has it, as far as Cordon calls it; decodes on the host."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from enum import Enum
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray

__version__ = "0.9.0"


class BackendKind(Enum):
    CPU_ONLY = 1
    GPU_ONLY = 2
    HYBRID_CPU_GPU = 3
    HW_GPU_ONLY = 4


class ColorSpec(Enum):
    SRGB = 1


class SampleFormat(Enum):
    I_RGB = 1
    I_BGR = 2


class Backend:
    def __init__(self, kind: BackendKind) -> None:
        self.kind = kind


class DecodeParams:
    def __init__(
        self,
        apply_exif_orientation: bool = True,
        color_spec: ColorSpec = ColorSpec.SRGB,
        allow_any_depth: bool = False,
        sample_format: SampleFormat = SampleFormat.I_RGB,
    ) -> None:
        self.sample_format = sample_format


class CodeStream:
    def __init__(self, content: bytes) -> None:
        self.content = content


class Image:
    """On a device; its address is the host's."""

    def __init__(self, pixels: NDArray[np.uint8], *, padding: int = 0) -> None:
        height, width, _ = pixels.shape
        self._rows = np.zeros((height, width * 3 + padding), np.uint8)
        self._rows[:, : width * 3] = pixels.reshape(height, -1)
        self._shape = pixels.shape
        self._padding = padding

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        strides = (self._rows.strides[0], 3, 1) if self._padding else None
        return {
            "shape": self._shape,
            "typestr": "|u1",
            "data": (self._rows.ctypes.data, False),
            "strides": strides,
            "version": 3,
        }

    def cpu(self) -> NDArray[np.uint8]:
        return self._rows[:, : self._shape[1] * 3].reshape(self._shape)


class Decoder:
    """What it was asked for is kept; `refuses` says what it cannot read, `fails` what breaks it."""

    made: list[Decoder] = []  # noqa: RUF012  # tests look at the last one

    def __init__(self, device_id: int = -1, backends: Sequence[Backend] | None = None) -> None:
        self.kinds = [each.kind for each in backends or ()]
        self.batches: list[int] = []
        self.reused: list[int] = []
        self.refuses: set[bytes] = set()
        self.room = 1_000
        self.padding = 0
        self.fails: list[Exception] = []
        Decoder.made.append(self)

    def decode(
        self,
        streams: Sequence[CodeStream],
        *,
        images: Sequence[Image] | None = None,
        params: DecodeParams | None = None,
        cuda_stream: int = 0,
    ) -> list[Image | None]:
        assert params is not None
        assert params.sample_format is SampleFormat.I_BGR
        assert images is None or len(images) == len(streams)
        if self.fails:
            raise self.fails.pop(0)
        if len(streams) > self.room:
            raise RuntimeError("CUDA Runtime failure: '#2' at device_buffer.h:80")
        self.batches.append(len(streams))
        self.reused.append(len(images or ()))
        return [self._one(stream.content) for stream in streams]

    def _one(self, content: bytes) -> Image | None:
        if content in self.refuses:
            return None
        return Image(simplejpeg.decode_jpeg(content, "BGR"), padding=self.padding)


class PictureMemory:
    """Memory of the host for both sides; a copy is there only after `wait`."""

    def __init__(self) -> None:
        self._begun: list[tuple[int, int, int]] = []

    def pinned_bytes(self, count: int) -> NDArray[np.uint8]:
        return np.zeros(count, np.uint8)

    def begin_to_host(self, array: NDArray[np.uint8], address: int) -> None:
        self._begun.append((array.ctypes.data, address, array.nbytes))

    def wait(self) -> None:
        for copy in self._begun:
            ctypes.memmove(*copy)
        self._begun.clear()
