from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from numpy.typing import NDArray

from cordon_server.operations.needles import CHUNK_BYTES, Kind, Needles, search_files

CHANCE = np.random.default_rng(7)
VECTOR: NDArray[np.float32] = CHANCE.normal(size=128).astype(np.float32)
VECTOR /= np.linalg.norm(VECTOR)
CROP = CHANCE.integers(0, 256, (112, 112, 3)).astype(np.uint8)
JPEG = simplejpeg.encode_jpeg(np.repeat(np.repeat(CROP, 2, 0), 2, 1), 85, "BGR", "420")


@pytest.fixture(scope="module")
def needles() -> Needles:
    needles = Needles()
    needles.add_picture(JPEG)
    needles.add_crop(CROP)
    needles.add_template(VECTOR)
    return needles


LEAKS: dict[str, tuple[Kind, Callable[[], bytes]]] = {
    "jpeg": (Kind.JPEG, lambda: JPEG),
    "jpeg segment": (Kind.JPEG, lambda: JPEG[2_001:2_601]),
    "jpeg base64": (Kind.BASE64, lambda: base64.b64encode(JPEG)),
    "crop": (Kind.CROP, lambda: CROP.tobytes()),
    "crop rows": (Kind.CROP, lambda: CROP[50:54].tobytes()),
    "float32": (Kind.FLOAT32, lambda: VECTOR.tobytes()),
    "double": (Kind.FLOAT32, lambda: VECTOR.astype("<f8").tobytes()),
    "half a float32": (Kind.FLOAT32, lambda: VECTOR[60:].tobytes()),
    "float16": (Kind.FLOAT16, lambda: VECTOR.astype(np.float16).tobytes()),
    "float32 base64": (Kind.BASE64, lambda: base64.b64encode(VECTOR.tobytes())),
    "base64 in a record": (Kind.BASE64, lambda: base64.b64encode(b"id:1;" + VECTOR.tobytes())),
    "float16 base64": (Kind.BASE64, lambda: base64.b64encode(VECTOR.astype("<f2").tobytes())),
    "json": (Kind.JSON, lambda: json.dumps({"template": VECTOR.tolist()}).encode()),
    "json, short": (Kind.JSON, lambda: ",".join(map(str, VECTOR)).encode()),
    "printed": (Kind.JSON, lambda: ", ".join(map(str, VECTOR)).encode()),
}


@pytest.mark.serves("R1", "R2")
@pytest.mark.parametrize("name", LEAKS)
@pytest.mark.parametrize("before", range(4))
def test_a_leak_is_found_wherever_it_begins(needles: Needles, name: str, before: int) -> None:
    kind, leak = LEAKS[name]
    noise = os.urandom(10_000 + before)

    found = needles.found_in(noise + leak() + noise)

    assert found[kind]


def test_what_is_not_there_is_not_found(needles: Needles) -> None:
    other = CHANCE.normal(size=(2_000, 128)).astype(np.float32)
    flat = simplejpeg.encode_jpeg(np.full((500, 500, 3), 96, np.uint8), 85, "BGR", "420")
    noise = os.urandom(5_000_000)

    for data in (
        b"",
        b"short",
        flat,
        noise,
        other.tobytes(),
        json.dumps(other[:99].tolist()).encode(),
    ):
        assert not needles.found_in(data)


def test_a_leak_across_two_chunks_is_found(needles: Needles) -> None:
    leak = VECTOR[:4].tobytes()

    for before in (1, 8, 15):
        assert needles.found_in(bytes(CHUNK_BYTES - before) + leak)[Kind.FLOAT32] == 1


def test_every_file_of_a_folder_is_read(needles: Needles, tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "leak").write_bytes(VECTOR.tobytes())
    (tmp_path / "other").write_bytes(b"nothing here")

    read, found = search_files(tmp_path, needles)

    assert read == 512 + len(b"nothing here")
    assert found.keys() == {Kind.FLOAT32}
