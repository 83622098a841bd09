"""Reference photographs: upright pixels, or the reason why not."""

from __future__ import annotations

import io
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from cordon_server.domain import ReasonCode, UnusablePicture
from cordon_server.recognition import picture as picture_module
from cordon_server.recognition.decode import decode_picture

SCENE = np.zeros((40, 60, 3), np.uint8)
SCENE[:20, :30] = (250, 10, 20)  # RGB, red at the top left.


def _file(kind: str, image: Pillow.Image | None = None, **options: object) -> bytes:
    out = io.BytesIO()
    (image or Pillow.fromarray(SCENE)).save(out, kind, **options)
    return out.getvalue()


def _code(data: bytes) -> ReasonCode:
    with pytest.raises(UnusablePicture) as caught:
        decode_picture(data)
    return caught.value.reasons[0].code


@pytest.mark.parametrize(
    "data",
    [
        _file("JPEG", quality=95, subsampling=0),
        _file("JPEG", quality=95, subsampling=0, progressive=True),
        _file("PNG"),
        _file("PNG", Pillow.fromarray(SCENE).quantize(8)),
        _file("WEBP", lossless=True),
        _file("JPEG", Pillow.fromarray(SCENE).convert("CMYK"), quality=95),
    ],
)
def test_every_kind_of_photograph_gives_its_pixels_in_bgr(data: bytes) -> None:
    image = decode_picture(data)

    assert image.shape == (40, 60, 3)
    assert image.flags.c_contiguous
    assert np.abs(image[5, 5].astype(int) - (20, 10, 250)).max() < 25


def test_exif_orientation_is_applied() -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6  # To be shown turned by 90 degrees clockwise.

    image = decode_picture(_file("JPEG", exif=exif, quality=95))

    assert image.shape == (60, 40, 3)
    assert image[5, 35, 2] > 200
    assert image[5, 5, 2] < 60


# Pillow warns of what it skips; nothing is to be done about it.
skipping = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


@skipping
def test_damaged_exif_data_are_ignored() -> None:
    data = _file("JPEG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff garbage")

    assert decode_picture(data).shape == (40, 60, 3)


def test_transparent_parts_are_white() -> None:
    image = decode_picture(_file("PNG", Pillow.new("RGBA", (20, 20), (0, 0, 0, 0))))

    assert image.min() == 255


def test_sixteen_bit_grey_keeps_its_tones() -> None:
    ramp = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (32, 1))

    image = decode_picture(_file("PNG", Pillow.fromarray(ramp)))

    assert abs(int(image[0, 32, 0]) - 128) < 6


@pytest.mark.parametrize(
    "data", [b"", b"no picture", _file("GIF"), _file("PNG")[:60], _file("WEBP")[:50]]
)
def test_what_is_no_photograph_is_not_an_image(data: bytes) -> None:
    assert _code(data) is ReasonCode.NOT_AN_IMAGE


def test_a_tiny_picture_is_too_small() -> None:
    assert _code(_file("PNG", Pillow.new("RGB", (8, 8)))) is ReasonCode.TOO_SMALL


def test_a_picture_of_too_many_bytes_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_module, "PICTURE_BYTES_MAX", 100)

    assert _code(_file("PNG")) is ReasonCode.IMAGE_TOO_LARGE


@pytest.mark.parametrize("side", [7100, 9600, 20000])
def test_a_bomb_is_refused_from_its_header(side: int) -> None:
    header = _file("PNG", Pillow.new("1", (64, 64)))
    size = side.to_bytes(4, "big")
    chunk = b"IHDR" + size + size + header[24:29]
    bomb = header[:12] + chunk + zlib.crc32(chunk).to_bytes(4, "big") + header[33:]

    assert _code(bomb) is ReasonCode.IMAGE_TOO_LARGE


def test_a_jpeg_of_endless_scans_is_too_large() -> None:
    data = _file("JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")

    assert _code(data[:-2] + data[last:-2] * 40 + b"\xff\xd9") is ReasonCode.IMAGE_TOO_LARGE


FILES = [
    _file("JPEG", progressive=True),
    _file("PNG"),
    _file("WEBP"),
    _file("JPEG", exif=Pillow.Exif()),
]


@skipping
@given(st.sampled_from(FILES), st.data())
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_a_picture_or_unusable_picture(file: bytes, data: st.DataObject) -> None:
    damaged = bytearray(file)
    for _ in range(data.draw(st.integers(0, 8))):
        damaged[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    try:
        image = decode_picture(bytes(damaged[: data.draw(st.integers(0, len(file)))]))
    except UnusablePicture:
        return
    assert image.ndim == 3
