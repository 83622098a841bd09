"""Compressed frames to pixels, into a buffer that is used again for every frame."""

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


__all__ = ["Decoder", "check_header", "decode_picture"]

# Many webcams pad their frames; libjpeg warns of the bytes and the picture is whole all the same.
_HARMLESS = "extraneous bytes before marker"


class Decoder:
    """Decodes one frame at a time; belongs to one thread.

    A fresh array for every frame costs more in page faults than the decoding itself.
    """

    def __init__(self, limits: FrameLimits | None = None) -> None:
        self._limits = limits or FrameLimits()
        self._buffer: NDArray[np.uint8] = np.empty(0, np.uint8)

    def decode(self, jpeg: bytes) -> Image:
        """The picture, valid until the next call. Raises InvalidFrame for whatever is not one."""
        width, height = check_header(jpeg, self._limits)
        size = width * height * 3
        if self._buffer.size < size:
            self._buffer = np.empty(size, np.uint8)
        buffer = self._buffer[:size].reshape(height, width, 3)
        try:
            return _decode(jpeg, buffer, strict=True)
        except ValueError as error:
            if _HARMLESS not in str(error):
                raise _undecodable() from error
        try:
            return _decode(jpeg, buffer, strict=False)
        except ValueError as error:
            raise _undecodable() from error


def _decode(jpeg: bytes, buffer: Image, *, strict: bool) -> Image:
    image: Image = simplejpeg.decode_jpeg(jpeg, "BGR", buffer=buffer, strict=strict)
    return image


def _undecodable() -> InvalidFrame:
    return InvalidFrame(
        "The frame is a damaged JPEG; check the camera and its cable, or encode it anew.",
        reason="FRAME_UNDECODABLE",
        field="jpeg",
    )
