"""Reads a JPEG's markers without decoding it, so that only cheap, plain pictures reach a decoder.

What is let through: baseline or extended sequential Huffman coding, 8 bit, one or three components,
exactly one scan, within the size limits, with its end. Decoders limit none of that themselves.
Markers as in ITU-T T.81, annex B.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cordon_server.domain import InvalidFrame
from cordon_server.recognition.limits import FRAME_SIDE_MIN, FrameLimits

_SOI, _EOI, _SOS, _DNL = 0xD8, 0xD9, 0xDA, 0xDC
_PLAIN = (0xC0, 0xC1)
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
_OTHER_FRAMES = (0xC3, 0xC5, 0xC7, 0xC9, 0xCB, 0xCD, 0xCF)
_STANDALONE = (0x01, *range(0xD0, 0xD8))

# In coded data 0xFF is followed by 0 (stuffing), 0xFF (fill) or a restart marker; else they end.
_END_OF_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """What a frame's markers say."""

    width: int
    height: int
    components: int


def check_header(data: bytes, limits: FrameLimits) -> tuple[int, int]:
    """The (width, height) of a frame that may be decoded; InvalidFrame for any other bytes."""
    if not data:
        raise _invalid("FRAME_EMPTY", "The frame is empty; send one JPEG picture a frame.")
    if len(data) > limits.jpeg_bytes_max:
        raise _invalid(
            "FRAME_TOO_LARGE",
            f"The frame has {len(data)} bytes, {limits.jpeg_bytes_max} are allowed; lower the JPEG "
            "quality or the picture size.",
        )
    if data[:2] != b"\xff\xd8":
        raise _invalid("FRAME_NOT_JPEG", "The frame is not a JPEG picture; encode it as JPEG.")
    header, scan = _walk_to_scan(data)
    _check_size(header, limits)
    _check_one_scan(data, scan)
    return header.width, header.height


def _walk_to_scan(data: bytes) -> tuple[JpegHeader, int]:
    """The frame header, and where the coded data of the first scan begin."""
    header: JpegHeader | None = None
    position = 2
    while True:
        marker, start, end = _segment(data, position)
        if marker in (*_PLAIN, *_PROGRESSIVE, *_OTHER_FRAMES):
            if header is not None:
                raise _undecodable("it has two frame headers")
            header = _frame_header(marker, data[start:end])
        elif marker == _SOS:
            if header is None:
                raise _undecodable("its scan comes before the frame header")
            if start >= end or data[start] != header.components:
                raise _invalid(
                    "FRAME_PROGRESSIVE",
                    "The frame is a JPEG of several scans; set the encoder to baseline.",
                )
            return header, end
        elif marker in (_EOI, _SOI, _DNL):
            raise _undecodable("it holds no picture before its end")
        position = end


def _segment(data: bytes, position: int) -> tuple[int, int, int]:
    """The next marker, and where its payload starts and ends."""
    size = len(data)
    if position >= size:
        raise _truncated()
    if data[position] != 0xFF:
        raise _undecodable("a marker is missing between its segments")
    while position < size and data[position] == 0xFF:
        position += 1
    if position >= size:
        raise _truncated()
    marker = data[position]
    position += 1
    if marker in _STANDALONE or marker in (_EOI, _SOI):
        return marker, position, position
    if position + 2 > size:
        raise _truncated()
    length = int.from_bytes(data[position : position + 2], "big")
    if length < 2:
        raise _undecodable("a segment has an impossible length")
    if position + length > size:
        raise _truncated()
    return marker, position + 2, position + length


def _frame_header(marker: int, payload: bytes) -> JpegHeader:
    if marker in _PROGRESSIVE:
        raise _invalid(
            "FRAME_PROGRESSIVE",
            "The frame is a progressive JPEG, slow to decode; set the encoder to baseline.",
        )
    if marker not in _PLAIN:
        raise _undecodable(
            "it is coded arithmetically or without loss; set the encoder to baseline"
        )
    if len(payload) < 6:
        raise _undecodable("its frame header is too short")
    components = payload[5]
    if components not in (1, 3):
        raise _invalid(
            "FRAME_COMPONENTS",
            f"The frame has {components} colour components (CMYK has 4); send grey or colour.",
        )
    if payload[0] != 8:
        raise _undecodable(f"it has {payload[0]} bits a sample, 8 are wanted")
    if len(payload) != 6 + 3 * components:
        raise _undecodable("its frame header has the wrong length")
    return JpegHeader(
        width=int.from_bytes(payload[3:5], "big"),
        height=int.from_bytes(payload[1:3], "big"),
        components=components,
    )


def _check_size(header: JpegHeader, limits: FrameLimits) -> None:
    fits = (
        FRAME_SIDE_MIN <= header.width <= limits.width_max
        and FRAME_SIDE_MIN <= header.height <= limits.height_max
    )
    if not fits:
        raise _invalid(
            "FRAME_DIMENSIONS",
            f"The frame is {header.width}x{header.height} pixels; from {FRAME_SIDE_MIN}x"
            f"{FRAME_SIDE_MIN} to {limits.width_max}x{limits.height_max} are allowed. Change the "
            "camera's picture size.",
        )


def _check_one_scan(data: bytes, scan: int) -> None:
    found = _END_OF_SCAN.search(data, scan)
    if found is None:
        raise _truncated()
    marker = data[found.start() + 1]
    if marker == _SOS:
        raise _invalid(
            "FRAME_PROGRESSIVE",
            "The frame is a JPEG of several scans; set the encoder to baseline.",
        )
    if marker != _EOI:
        raise _undecodable("something other than its end follows the coded picture")


def _invalid(reason: str, message: str) -> InvalidFrame:
    return InvalidFrame(message, reason=reason, field="jpeg")


def _truncated() -> InvalidFrame:
    return _invalid(
        "FRAME_TRUNCATED",
        "The frame ends before its picture does; send each JPEG whole, up to its end marker.",
    )


def _undecodable(why: str) -> InvalidFrame:
    return _invalid(
        "FRAME_UNDECODABLE",
        f"The frame is a damaged JPEG ({why}); check the camera and its cable, or encode it anew.",
    )
