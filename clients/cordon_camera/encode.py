"""Decoded frames to JPEG, once, into buffers that are allocated once.

JPEG wants the full range of values; video mostly has the limited one (16-235). The colour matrix is
left as it is: JPEG readers assume BT.601, HD video has BT.709, and the difference is a slight hue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import simplejpeg
from av.video.reformatter import ColorRange, VideoReformatter

if TYPE_CHECKING:
    from av import VideoFrame
    from av.video.plane import VideoPlane
    from numpy.typing import NDArray

    Plane = NDArray[np.uint8]
    """(height, width) uint8."""

_BLOCK_ROWS = 32
_LUMA = (16, 235, 298, 128)
_CHROMA = (16, 240, 291, 256)


class Encoder:
    """Makes JPEGs of frames; keeps its buffers, so one encoder serves one stream and one thread."""

    def __init__(self, quality: int, side_px_max: int = 0) -> None:
        self.quality = quality
        self.side_px_max = side_px_max
        self._reformatter = VideoReformatter()
        self._buffers: list[Plane] = []
        self._scratch: NDArray[np.uint16] = np.empty((0, 0), np.uint16)

    def encode(self, frame: VideoFrame) -> bytes:
        """The frame as baseline 4:2:0 JPEG, no larger than `side_px_max` on its longest side."""
        frame = self._fitting(frame)
        planes = [_view(plane) for plane in frame.planes[:3]]
        if _is_limited(frame):
            planes = self._full_range(planes)
        return bytes(
            simplejpeg.encode_jpeg_yuv_planes(
                *(np.ascontiguousarray(plane) for plane in planes), quality=self.quality
            )
        )

    def _fitting(self, frame: VideoFrame) -> VideoFrame:
        width, height = fitting_size(frame.width, frame.height, self.side_px_max)
        same_size = (width, height) == (frame.width, frame.height)
        if same_size and frame.format.name in ("yuv420p", "yuvj420p"):
            return frame
        return self._reformatter.reformat(frame, width, height, format="yuvj420p")

    def _full_range(self, planes: list[Plane]) -> list[Plane]:
        if [p.shape for p in planes] != [b.shape for b in self._buffers]:
            self._buffers = [np.empty(p.shape, np.uint8) for p in planes]
            self._scratch = np.empty((_BLOCK_ROWS, planes[0].shape[1]), np.uint16)
        rules = (_LUMA, _CHROMA, _CHROMA)
        for plane, buffer, rule in zip(planes, self._buffers, rules, strict=True):
            self._expand(plane, buffer, *rule)
        return self._buffers

    def _expand(
        self, plane: Plane, out: Plane, low: int, high: int, factor: int, offset: int
    ) -> None:
        """clip(value, low, high) stretched over 0-255, in 8-bit fixed point, a few rows at a time.

        `factor` is 256*255/(high-low); the largest product and offset still fit 16 bits.
        """
        rows, columns = plane.shape
        for top in range(0, rows, _BLOCK_ROWS):
            block = plane[top : top + _BLOCK_ROWS]
            work = self._scratch[: block.shape[0], :columns]
            np.clip(block, low, high, out=work, casting="unsafe")
            np.subtract(work, low, out=work)
            np.multiply(work, factor, out=work)
            np.add(work, offset, out=work)
            np.right_shift(work, 8, out=work)
            np.copyto(out[top : top + _BLOCK_ROWS], work, casting="unsafe")


def fitting_size(width: int, height: int, side_px_max: int) -> tuple[int, int]:
    """The largest even size of the same shape within the longest side; unchanged where it fits."""
    longest = max(width, height)
    if not side_px_max or longest <= side_px_max:
        return width, height
    scale = side_px_max / longest
    return max(2, int(width * scale) & ~1), max(2, int(height * scale) & ~1)


def _is_limited(frame: VideoFrame) -> bool:
    """Whether the values leave headroom; unsaid means so, except for the "j" formats."""
    return frame.format.name == "yuv420p" and frame.color_range != ColorRange.JPEG


def _view(plane: VideoPlane) -> Plane:
    """The plane's pixels without a copy; rows may be padded."""
    buffer: Any = plane  # its stub does not say that it is one
    flat: NDArray[np.uint8] = np.frombuffer(buffer, np.uint8)
    return flat.reshape(-1, plane.line_size)[: plane.height, : plane.width]
