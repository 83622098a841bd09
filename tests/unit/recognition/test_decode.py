"""Any bytes give a picture or InvalidFrame, and nothing costly is decoded."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from cordon_server.domain import InvalidFrame
from cordon_server.recognition.decode import Decoder, check_header
from cordon_server.recognition.limits import FrameLimits

LIMITS = FrameLimits()


def _scene(width: int = 64, height: int = 48) -> np.ndarray:
    across = np.linspace(0, 255, width)[None, :] + np.linspace(0, 90, height)[:, None]
    return np.stack([across, across / 2, 255 - across / 2], axis=2).clip(0, 255).astype(np.uint8)


def _jpeg(mode: str = "RGB", **options: object) -> bytes:
    out = io.BytesIO()
    Pillow.fromarray(_scene()).convert(mode).save(out, "JPEG", **options)
    return out.getvalue()


JPEG = _jpeg()


def _reason(data: bytes, limits: FrameLimits = LIMITS) -> str:
    with pytest.raises(InvalidFrame) as caught:
        Decoder(limits).decode(data)
    assert caught.value.field == "jpeg"
    assert len(caught.value.message) > 20
    return caught.value.reason


def _with_size(data: bytes, width: int, height: int) -> bytes:
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + data[at + 4 :]


def test_a_plain_jpeg_decodes_to_its_pixels_in_bgr() -> None:
    image = Decoder().decode(_jpeg(quality=95, subsampling=0))

    assert image.shape == (48, 64, 3)
    assert np.abs(image[:, :, ::-1].astype(int) - _scene()).mean() < 3


def test_a_grey_jpeg_decodes_to_three_equal_channels() -> None:
    image = Decoder().decode(_jpeg("L"))

    assert (image[:, :, 0] == image[:, :, 2]).all()


def test_the_buffer_is_used_again() -> None:
    decoder = Decoder()

    first, second = decoder.decode(JPEG), decoder.decode(JPEG)

    assert np.shares_memory(first, second)


def test_a_larger_frame_after_a_smaller_one_is_decoded_whole() -> None:
    decoder = Decoder()
    decoder.decode(JPEG)

    large = decoder.decode(simplejpeg.encode_jpeg(_scene(640, 480), colorspace="BGR"))

    assert large.shape == (480, 640, 3)


@pytest.mark.parametrize("shrink", [2, 4, 8])
@pytest.mark.parametrize("size", [(640, 480), (1281, 723), (17, 19), (16, 4096)])
def test_a_shrunk_frame_is_the_average_of_its_pixels(size: tuple[int, int], shrink: int) -> None:
    scene = _scene(*size)
    picture = Decoder().read(simplejpeg.encode_jpeg(scene, quality=95, colorspace="BGR"))

    image = picture.at(shrink)

    width, height = (side // shrink for side in size)
    assert image.shape == (-(-size[1] // shrink), -(-size[0] // shrink), 3)
    averaged = cv2.resize(
        scene[: height * shrink, : width * shrink], (width, height), interpolation=cv2.INTER_AREA
    )
    assert np.abs(image[:height, :width].astype(int) - averaged).mean() < 3


def test_a_frame_is_there_at_two_sizes_at_once_and_decoded_once_for_each() -> None:
    picture = Decoder().read(simplejpeg.encode_jpeg(_scene(640, 480), colorspace="BGR"))

    full, half = picture.at(1), picture.at(2)

    assert not np.shares_memory(full, half)
    assert picture.at(1) is full
    assert picture.at(2) is half


def test_what_is_decoded_already_is_taken_where_it_is_large_enough() -> None:
    picture = Decoder().read(simplejpeg.encode_jpeg(_scene(640, 480), colorspace="BGR"))
    half = picture.at(2)

    assert picture.at_most(4) == (half, 2)
    assert picture.at_most(1)[0].shape == (480, 640, 3)
    assert picture.at_most(2)[1] == 2


def test_an_empty_frame_is_refused() -> None:
    assert _reason(b"") == "FRAME_EMPTY"


def test_a_frame_of_too_many_bytes_is_refused() -> None:
    assert _reason(JPEG, FrameLimits(jpeg_bytes_max=len(JPEG) - 1)) == "FRAME_TOO_LARGE"


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\x00", b"\xff", b"\xff\xd9"])
def test_what_is_no_jpeg_is_refused(data: bytes) -> None:
    assert _reason(data) == "FRAME_NOT_JPEG"


def test_a_jpeg_cut_anywhere_is_refused_before_it_is_decoded() -> None:
    for end in range(2, len(JPEG) - 1):
        with pytest.raises(InvalidFrame) as caught:
            check_header(JPEG[:end], LIMITS)
        assert caught.value.reason == "FRAME_TRUNCATED"


def test_a_progressive_jpeg_is_refused() -> None:
    assert _reason(_jpeg(progressive=True)) == "FRAME_PROGRESSIVE"


def test_a_baseline_jpeg_of_several_scans_is_refused() -> None:
    scan = JPEG.index(b"\xff\xda")

    repeated = JPEG[:-2] + JPEG[scan:]
    single = JPEG[: scan + 4] + b"\x01" + JPEG[scan + 5 :]

    assert _reason(repeated) == "FRAME_PROGRESSIVE"
    assert _reason(single) == "FRAME_PROGRESSIVE"


def test_cmyk_is_refused() -> None:
    assert _reason(_jpeg("CMYK")) == "FRAME_COMPONENTS"


@pytest.mark.parametrize("size", [(12000, 12000), (4097, 100), (0, 48), (64, 0), (15, 15)])
def test_sizes_beyond_the_limits_are_refused_from_the_header(size: tuple[int, int]) -> None:
    assert _reason(_with_size(JPEG, *size)) == "FRAME_DIMENSIONS"


@pytest.mark.parametrize("marker", [0xC3, 0xC5, 0xC9])
def test_lossless_hierarchical_and_arithmetic_coding_are_refused(marker: int) -> None:
    assert _reason(JPEG.replace(b"\xff\xc0", bytes([0xFF, marker]))) == "FRAME_UNDECODABLE"


def test_twelve_bit_samples_are_refused() -> None:
    at = JPEG.index(b"\xff\xc0") + 4

    assert _reason(JPEG[:at] + b"\x0c" + JPEG[at + 1 :]) == "FRAME_UNDECODABLE"


def test_two_frame_headers_are_refused() -> None:
    at = JPEG.index(b"\xff\xc0")

    assert _reason(JPEG[: at + 19] + JPEG[at:]) == "FRAME_UNDECODABLE"


def test_damaged_coded_data_are_refused() -> None:
    large = simplejpeg.encode_jpeg(_scene(640, 480), colorspace="BGR")
    scan = large.index(b"\xff\xda") + 14

    assert _reason(large[:scan] + large[scan : scan + 40] + b"\xff\xd9") == "FRAME_UNDECODABLE"


def test_bytes_after_the_end_are_ignored_as_cameras_pad() -> None:
    assert Decoder().decode(JPEG + b"\x00" * 100).shape == (48, 64, 3)


def test_padding_before_the_end_marker_is_forgiven() -> None:
    assert Decoder().decode(JPEG[:-2] + b"\x00\x00\xff\xd9").shape == (48, 64, 3)


@given(st.binary(max_size=300))
def test_any_bytes_give_an_image_or_invalid_frame(data: bytes) -> None:
    _decode_or_refuse(b"\xff\xd8" + data)


@given(
    st.lists(st.tuples(st.integers(0, len(JPEG) - 1), st.integers(0, 255)), max_size=6),
    st.integers(2, len(JPEG)),
)
@settings(max_examples=300, deadline=None)
def test_any_damage_gives_an_image_or_invalid_frame(
    changes: list[tuple[int, int]], end: int
) -> None:
    data = bytearray(JPEG)
    for position, value in changes:
        data[position] = value
    _decode_or_refuse(bytes(data[:end]) + b"\xff\xd9")


def _decode_or_refuse(data: bytes) -> None:
    small = FrameLimits(width_max=256, height_max=256)
    try:
        image = Decoder(small).decode(data)
    except InvalidFrame:
        return
    assert image.dtype == np.uint8
    assert image.ndim == 3
