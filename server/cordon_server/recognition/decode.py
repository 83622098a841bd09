"""Compressed frames to pixels, at full size or shrunk, into buffers that are used again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from cordon_server.domain import (
    InvalidFrame,
)
from cordon_server.recognition.jpeg import check_header
from cordon_server.recognition.limits import FrameLimits
from cordon_server.recognition.picture import decode_picture

if TYPE_CHECKING:
    from cordon_server.domain import Image


__all__ = ["SHRINKS", "Decoder", "Picture", "check_header", "decode_picture"]

SHRINKS = (1, 2, 4, 8)
"""Fractions at which a JPEG can be decoded: its blocks of 8 pixels come out as 8, 4, 2 or 1."""

# Many webcams pad their frames; libjpeg warns of the bytes and the picture is whole all the same.
_HARMLESS = "extraneous bytes before marker"


class Picture:
    """One frame: its size, and its pixels at the fractions that are asked for."""

    def __init__(self, decoder: Decoder, jpeg: bytes, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self._decoder = decoder
        self._jpeg = jpeg
        self._images: dict[int, Image] = {}

    def at(self, shrink: int = 1) -> Image:
        """BGR pixels at a fraction of SHRINKS, sides rounded up; decoded when first asked for.

        Valid until the decoder reads the next frame. Raises InvalidFrame where they are damaged.
        """
        if shrink not in self._images:
            self._images[shrink] = self._decoder.pixels(
                self._jpeg, -(-self.width // shrink), -(-self.height // shrink), shrink
            )
        return self._images[shrink]

    def at_most(self, shrink: int) -> tuple[Image, int]:
        """Pixels shrunk that far or less, and how far: what is decoded already where that fits."""
        shrink = max((each for each in self._images if each <= shrink), default=shrink)
        return self.at(shrink), shrink


class Decoder:
    """Decodes one frame at a time; belongs to one thread.

    A fresh array for every frame costs more in page faults than the decoding itself.
    """

    saves_by_shrinking = True
    """Whether a shrunk picture costs less than the full one."""

    def __init__(self, limits: FrameLimits | None = None) -> None:
        self._limits = limits or FrameLimits()
        self._buffers: dict[int, NDArray[np.uint8]] = {}

    def read(self, jpeg: bytes) -> Picture:
        """The frame, checked by its markers. Raises InvalidFrame for what is no plain JPEG."""
        width, height = check_header(jpeg, self._limits)
        return Picture(self, jpeg, width, height)

    def decode(self, jpeg: bytes) -> Image:
        """All pixels, valid until the next call. Raises InvalidFrame for whatever is no frame."""
        return self.read(jpeg).at()

    def pixels(self, jpeg: bytes, width: int, height: int, shrink: int) -> Image:
        """See Picture.at."""
        buffer = self._buffer(shrink, width * height * 3).reshape(height, width, 3)
        try:
            return _decode(jpeg, buffer, strict=True)
        except ValueError as error:
            if _HARMLESS not in str(error):
                raise _undecodable() from error
        try:
            return _decode(jpeg, buffer, strict=False)
        except ValueError as error:
            raise _undecodable() from error

    def _buffer(self, shrink: int, size: int) -> NDArray[np.uint8]:
        """That many bytes, other ones for each fraction."""
        buffer = self._buffers.get(shrink)
        if buffer is None or buffer.size < size:
            buffer = self._buffers[shrink] = np.empty(size, np.uint8)
        return buffer[:size]


def _decode(jpeg: bytes, buffer: Image, *, strict: bool) -> Image:
    """Into `buffer`, whose shape says the fraction.

    Colours at half size are doubled and not smoothed: a tenth faster, as many people are found, and
    nobody sees it (54 dB on a street). The fast DCT would save another twentieth, but at JPEG
    quality 98 it moves landmarks by 1.3 % of the eye distance and templates to a cosine of 0.974;
    doubled colours move them by 0.3 % and to 0.994.
    """
    height, width = buffer.shape[:2]
    image: Image = simplejpeg.decode_jpeg(
        jpeg,
        "BGR",
        fastupsample=True,
        min_height=height,
        min_width=width,
        min_factor=1,
        buffer=buffer,
        strict=strict,
    )
    return image


def _undecodable() -> InvalidFrame:
    return InvalidFrame(
        "The frame is a damaged JPEG; check the camera and its cable, or encode it anew.",
        reason="FRAME_UNDECODABLE",
        field="jpeg",
    )
