"""What most network cameras send: H.264, and its packets in RTP (RFC 6184)."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

import av

from tests.helpers.pictures import Image

SDP_VIDEO = (
    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
    "a=fmtp:96 packetization-mode=1\r\na=control:track1\r\n"
)
_PAYLOAD_MAX = 1200
_FU_A = 28


class Encoder:
    """Pictures of one size to access units, every fifth of which stands by itself."""

    def __init__(self, width: int, height: int) -> None:
        self._codec = av.VideoCodecContext.create("libx264", "w")
        self._codec.width, self._codec.height, self._codec.pix_fmt = width, height, "yuv420p"
        self._codec.framerate = 25  # type: ignore[assignment]  # a number will do
        self._codec.gop_size = 5
        self._codec.options = {"preset": "ultrafast", "tune": "zerolatency"}

    def encode(self, image: Image) -> bytes:
        """One access unit, its parts behind start codes."""
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        return b"".join(bytes(packet) for packet in self._codec.encode(frame))


def packets(unit: bytes, timestamp: int, numbers: Iterator[int]) -> Iterator[bytes]:
    """The access unit in RTP: small parts whole, large ones in fragments."""
    parts = [part for part in re.split(rb"\x00\x00\x00?\x01", unit) if part]
    payloads = [payload for part in parts for payload in _payloads(part)]
    for index, payload in enumerate(payloads):
        marker = 0x80 if index == len(payloads) - 1 else 0
        number = next(numbers) & 0xFFFF
        yield struct.pack(">BBHII", 0x80, 96 | marker, number, timestamp, 7) + payload


def _payloads(part: bytes) -> Iterator[bytes]:
    if len(part) <= _PAYLOAD_MAX:
        yield part
        return
    indicator, kind, body = part[0] & 0xE0 | _FU_A, part[0] & 0x1F, part[1:]
    for offset in range(0, len(body), _PAYLOAD_MAX):
        start = 0x80 if offset == 0 else 0
        end = 0x40 if offset + _PAYLOAD_MAX >= len(body) else 0
        yield bytes([indicator, start | end | kind]) + body[offset : offset + _PAYLOAD_MAX]
