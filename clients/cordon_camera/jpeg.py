"""JPEG bytes as they are: the header's size, and the Huffman tables that some cameras leave out.

Decodes nothing and judges nothing; the server decides what it takes.
"""

from __future__ import annotations

from collections.abc import Iterator

_SOI = b"\xff\xd8"
_DHT = 0xC4
_SOS = 0xDA
_STANDALONE = frozenset((0x01, *range(0xD0, 0xD9)))
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def is_jpeg(data: bytes) -> bool:
    """Whether these bytes begin as a JPEG does."""
    return data[:2] == _SOI and data[2:3] == b"\xff"


def size(jpeg: bytes) -> tuple[int, int] | None:
    """Width and height by the frame header; None where there is none to be found."""
    for marker, start in _segments(jpeg):
        if marker in _START_OF_FRAME:
            header = jpeg[start + 3 : start + 7]
            if len(header) < 4:
                return None
            return int.from_bytes(header[2:4], "big"), int.from_bytes(header[0:2], "big")
    return None


def with_huffman_tables(jpeg: bytes) -> bytes:
    """The same bytes, with the standard tables put before the scan where the picture has none.

    Cameras and AVI files that follow "AVI1" leave the tables out; a JPEG decoder needs them. What
    is no JPEG stays as it is.
    """
    if not is_jpeg(jpeg):
        return jpeg
    for marker, start in _segments(jpeg):
        if marker == _DHT:
            return jpeg
        if marker == _SOS:
            return jpeg[: start - 2] + STANDARD_HUFFMAN_TABLES + jpeg[start - 2 :]
    return jpeg


def _segments(jpeg: bytes) -> Iterator[tuple[int, int]]:
    """Marker and offset of its length field, up to the scan; ends early on damage."""
    at = 2
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF:
        marker = jpeg[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker in _STANDALONE:
            at += 2
            continue
        yield marker, at + 2
        if marker == _SOS:
            return
        at += 2 + max(2, int.from_bytes(jpeg[at + 2 : at + 4], "big"))


def _table(class_and_id: int, counts: str, values: str) -> bytes:
    return bytes([class_and_id]) + bytes.fromhex(counts) + bytes.fromhex(values)


# ITU-T T.81, Annex K.3: tables K.3 to K.6.
_TABLES = (
    _table(0x00, "00010501010101010100000000000000", "000102030405060708090a0b"),
    _table(
        0x10,
        "0002010303020403050504040000017d",
        "01020300041105122131410613516107227114328191a1082342b1c11552d1f0"
        "2433627282090a161718191a25262728292a3435363738393a43444546474849"
        "4a535455565758595a636465666768696a737475767778797a83848586878889"
        "8a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5"
        "c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9fa",
    ),
    _table(0x01, "00030101010101010101010000000000", "000102030405060708090a0b"),
    _table(
        0x11,
        "00020102040403040705040400010277",
        "000102031104052131061241510761711322328108144291a1b1c109233352f0"
        "156272d10a162434e125f11718191a262728292a35363738393a434445464748"
        "494a535455565758595a636465666768696a737475767778797a828384858687"
        "88898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3"
        "c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae2e3e4e5e6e7e8e9eaf2f3f4f5f6f7f8f9fa",
    ),
)
_BODY = b"".join(_TABLES)
STANDARD_HUFFMAN_TABLES = b"\xff\xc4" + (len(_BODY) + 2).to_bytes(2, "big") + _BODY
assert len(STANDARD_HUFFMAN_TABLES) == 420, "the length is part of the standard"
