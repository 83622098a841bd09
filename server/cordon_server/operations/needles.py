"""Looks in any bytes for what must not be there: pieces of pictures, of crops and of templates.

A piece is 16 bytes as they would stand in a file that somebody wrote the thing into, whatever came
before and after. Where one piece of a thing is found, the thing was written.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PIECE_BYTES = 16
DISTINCT_MIN = 7
"""Fewer different bytes are a flat surface, a header or a table: they say nothing of a person."""
PICTURE_STRIDE = 512
"""A segment of a picture of this and 16 bytes cannot be missed."""
ROW_STRIDE = 4
"""Of a crop: so many rows of it cannot be missed."""
COMPONENT_STRIDE = 32
"""Of a template: a piece begins at every so many of its numbers."""
CHUNK_BYTES = 16 * 2**20
LOCK_FILE = "lock.mdb"
"""LMDB's, of process ids and mutexes. Left alone: a process that closes it once lets go of the
lock it has on it, and the next process that opens the database would begin the mutexes anew."""
_KEY_AT, _KEY_BITS = 4, 24
"""The bits of a piece that it is looked up by; a double that was a float32 begins with zeros."""
_KEY_MASK = np.uint32(2**_KEY_BITS - 1)
_START_OF_SCAN = b"\xff\xda"


class Kind(StrEnum):
    """As what a thing would be written."""

    JPEG = "jpeg"
    CROP = "crop"
    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BASE64 = "base64"
    JSON = "json"


class Needles:
    """What is looked for."""

    def __init__(self) -> None:
        self._pieces: dict[bytes, Kind] = {}
        self._known = np.zeros(2**_KEY_BITS, np.bool_)

    def __len__(self) -> int:
        return len(self._pieces)

    def add_picture(self, jpeg: bytes) -> None:
        """A picture: its compressed part, as it is and in base64."""
        scan = jpeg[max(0, jpeg.rfind(_START_OF_SCAN)) :]
        self._add_all(Kind.JPEG, scan, PICTURE_STRIDE)
        self._add_base64(scan, 4 * PICTURE_STRIDE)

    def add_crop(self, pixels: NDArray[np.uint8]) -> None:
        """A crop as the networks are given it: (height, width, 3) uint8."""
        rows = np.ascontiguousarray(pixels).reshape(pixels.shape[0], -1)
        for row in rows[::ROW_STRIDE]:
            self._add(Kind.CROP, row.tobytes()[row.size // 2 :])

    def add_template(self, vector: NDArray[np.float32]) -> None:
        """A template: float32, float16 and double, those in base64, and as text."""
        for kind, dtype in ((Kind.FLOAT32, "<f4"), (Kind.FLOAT16, "<f2"), (Kind.FLOAT32, "<f8")):
            written = vector.astype(dtype).tobytes()
            self._add_all(kind, written, COMPONENT_STRIDE * np.dtype(dtype).itemsize)
            self._add_base64(written, COMPONENT_STRIDE * np.dtype(dtype).itemsize)
        shortest = [str(number) for number in vector]
        for at in range(0, len(vector) - 2, COMPONENT_STRIDE):
            self._add(Kind.JSON, repr(float(vector[at])).encode())
            for separator in (",", ", "):
                self._add(Kind.JSON, separator.join(shortest[at : at + 3]).encode())

    def found_in(self, data: bytes | bytearray | memoryview) -> Counter[Kind]:
        """How many pieces of each kind are in it, wherever they begin."""
        found: Counter[Kind] = Counter()
        for start in range(0, len(data), CHUNK_BYTES):
            chunk = bytes(data[start : start + CHUNK_BYTES + PIECE_BYTES - 1])
            for piece in self._candidates(chunk):
                if (kind := self._pieces.get(piece)) is not None:
                    found[kind] += 1
        return found

    def _candidates(self, chunk: bytes) -> Iterator[bytes]:
        for offset in range(min(4, len(chunk))):
            keys = np.frombuffer(chunk, "<u4", (len(chunk) - offset) // 4, offset) & _KEY_MASK
            for at in np.flatnonzero(self._known[keys]):
                start = offset + 4 * int(at) - _KEY_AT
                if start >= 0:
                    yield chunk[start : start + PIECE_BYTES]

    def _add_base64(self, written: bytes, stride: int) -> None:
        # What comes before decides at which of three places a byte stands in base64.
        for shift in range(3):
            text = base64.b64encode(written[shift:])
            self._add_all(Kind.BASE64, text, stride)

    def _add_all(self, kind: Kind, written: bytes, stride: int) -> None:
        for start in range(0, len(written) - PIECE_BYTES, stride):
            self._add(kind, written[start:])

    def _add(self, kind: Kind, written: bytes) -> None:
        piece = written[:PIECE_BYTES]
        key = int.from_bytes(piece[_KEY_AT : _KEY_AT + 4], "little") & int(_KEY_MASK)
        # Files are full of zeros; each would have to be looked at.
        if key and len(piece) == PIECE_BYTES and len(set(piece)) >= DISTINCT_MIN:
            self._pieces[piece] = kind
            self._known[key] = True


def search_files(folder: Path, needles: Needles) -> tuple[int, Counter[Kind]]:
    """Reads every file below a folder: how many bytes that were, and what was found in them.

    What is removed meanwhile has been removed; the databases' lock files hold no values.
    """
    read, found = 0, Counter[Kind]()
    for path in sorted(folder.rglob("*")):
        try:
            if not path.is_file() or path.name == LOCK_FILE:
                continue
            content = path.read_bytes()
        except FileNotFoundError:
            continue
        read += len(content)
        found += needles.found_in(content)
    return read, found
