"""JPEG bytes: size, and the tables that some cameras leave out."""

from __future__ import annotations

import numpy as np
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st

from cordon_camera import jpeg
from tests.helpers import pictures


def test_a_jpeg_with_its_tables_is_left_byte_for_byte() -> None:
    data = pictures.jpeg(pictures.noise(1))

    assert jpeg.with_huffman_tables(data) is data


def test_a_jpeg_without_tables_decodes_to_the_same_picture_once_they_are_put_in() -> None:
    data = pictures.jpeg(pictures.noise(2))
    bare = pictures.without_huffman_tables(data)
    assert len(bare) < len(data)

    mended = jpeg.with_huffman_tables(bare)

    assert np.array_equal(simplejpeg.decode_jpeg(mended), simplejpeg.decode_jpeg(data))


def test_the_size_is_read_from_the_frame_header() -> None:
    assert jpeg.size(pictures.jpeg(pictures.noise(3, 120, 90))) == (120, 90)


def test_fill_bytes_before_a_marker_are_passed_over() -> None:
    data = pictures.jpeg(pictures.noise(4))
    at = data.index(b"\xff\xc4")

    assert jpeg.with_huffman_tables(data[:at] + b"\xff\xff" + data[at + 1 :]).count(
        b"\xff\xc4"
    ) == (data.count(b"\xff\xc4"))


@given(st.binary(max_size=300))
def test_any_bytes_are_taken_without_an_error_and_never_lost(data: bytes) -> None:
    for candidate in (data, b"\xff\xd8\xff" + data):
        jpeg.is_jpeg(candidate)
        jpeg.size(candidate)
        mended = jpeg.with_huffman_tables(candidate)
        assert mended.replace(jpeg.STANDARD_HUFFMAN_TABLES, b"") == candidate.replace(
            jpeg.STANDARD_HUFFMAN_TABLES, b""
        )
