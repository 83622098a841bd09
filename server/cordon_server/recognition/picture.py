"""Reference photographs to pixels: JPEG of any kind, PNG or WebP, upright, size checked first."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps

from cordon_server.domain import (
    Reason,
    ReasonCode,
    UnusablePicture,
)
from cordon_server.recognition.limits import (
    PICTURE_BYTES_MAX,
    PICTURE_PIXELS_MAX,
    PICTURE_SCANS_MAX,
    PICTURE_SIDE_MIN,
)

if TYPE_CHECKING:
    from cordon_server.domain import Image


_FORMATS = ("JPEG", "PNG", "WEBP")

# What Pillow's readers are known to raise on damaged files.
_DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    AttributeError,
    struct.error,
    zlib.error,
)


def decode_picture(data: bytes) -> Image:
    """The picture, BGR and upright (EXIF orientation applied).

    Raises UnusablePicture (NOT_AN_IMAGE, IMAGE_TOO_LARGE) for any other bytes.
    """
    if len(data) > PICTURE_BYTES_MAX:
        raise _too_large(f"has {len(data)} bytes, {PICTURE_BYTES_MAX} are allowed")
    try:
        with Pillow.open(io.BytesIO(data), formats=_FORMATS) as picture:
            _check_size(picture, data)
            picture.load()
            return _pixels(_upright(picture))
    except (Pillow.DecompressionBombError, Pillow.DecompressionBombWarning) as error:
        raise _too_large(f"has more than {PICTURE_PIXELS_MAX} pixels") from error
    except _DAMAGED as error:
        raise _not_an_image() from error


def _check_size(picture: Pillow.Image, data: bytes) -> None:
    """Refuses from the header alone what would cost too much to decode."""
    width, height = picture.size
    if width * height > PICTURE_PIXELS_MAX:
        raise _too_large(f"has {width}x{height} pixels, {PICTURE_PIXELS_MAX} in all are allowed")
    if picture.format == "JPEG" and data.count(b"\xff\xda") > PICTURE_SCANS_MAX:
        raise _too_large(f"is a progressive JPEG of more than {PICTURE_SCANS_MAX} scans")
    if min(width, height) < PICTURE_SIDE_MIN:
        message = (
            f"The picture has only {width}x{height} pixels; give one in which the face is at least "
            "a hundred pixels wide."
        )
        raise UnusablePicture(message, (Reason(ReasonCode.TOO_SMALL, message),))


def _upright(picture: Pillow.Image) -> Pillow.Image:
    try:
        return ImageOps.exif_transpose(picture)
    except _DAMAGED:
        return picture  # Damaged EXIF data say nothing about the orientation.


def _pixels(picture: Pillow.Image) -> Image:
    if picture.mode.startswith(("I", "F")):  # 16 bit grey, which convert() would clip to white.
        deep = np.asarray(picture, np.float64)
        picture = Pillow.fromarray((deep / max(deep.max(), 255.0) * 255.0).astype(np.uint8))
    if picture.has_transparency_data:
        rgba = picture.convert("RGBA")
        picture = Pillow.alpha_composite(Pillow.new("RGBA", rgba.size, "white"), rgba)
    rgb = np.asarray(picture.convert("RGB"))
    return np.ascontiguousarray(rgb[:, :, ::-1])


def _not_an_image() -> UnusablePicture:
    message = "The picture cannot be read; give an undamaged JPEG, PNG or WebP file."
    return UnusablePicture(message, (Reason(ReasonCode.NOT_AN_IMAGE, message),))


def _too_large(why: str) -> UnusablePicture:
    message = f"The picture {why}; scale it down and try again."
    return UnusablePicture(message, (Reason(ReasonCode.IMAGE_TOO_LARGE, message),))
