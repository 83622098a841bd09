"""Frames full of faces: photographs of LFW side by side, as JPEG files in a folder."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from tests.bench.street import JPEG_QUALITY
from tests.data import shared_data

_PICTURE_SIDE = 250
_GREY = 96


def write_mosaics(
    folder: Path, *, width: int, height: int, columns: int, rows: int, frames: int
) -> None:
    """Each frame shows `columns` x `rows` people, nobody twice while LFW has others.

    On some of the photographs others stand behind: a few faces more than people.
    """
    folder.mkdir(parents=True)
    crowd = crowd_in_order()
    each = columns * rows
    for number in range(frames):
        people = [crowd[(number * each + place) % len(crowd)] for place in range(each)]
        frame = np.full((height, width, 3), _GREY, np.uint8)
        for person, (row, column) in zip(people, product(range(rows), range(columns)), strict=True):
            y, x = row * height // rows, column * width // columns
            picture = _fitted(person, height // rows, width // columns)
            frame[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
        jpeg = simplejpeg.encode_jpeg(frame, JPEG_QUALITY, "BGR", "420")
        (folder / f"{number:06d}.jpg").write_bytes(jpeg)


def crowd_in_order() -> list[Path]:
    """A photograph of everybody, in the order in which frames show them."""
    people = sorted(shared_data("lfw", "deepfunneled").glob("*/*_0001.jpg"))
    return [people[at] for at in np.random.default_rng(24).permutation(len(people))]


def _fitted(file: Path, height: int, width: int) -> NDArray[np.uint8]:
    picture = cv2.imread(str(file))
    assert picture is not None, file
    assert picture.shape[:2] == (_PICTURE_SIDE, _PICTURE_SIDE), file
    side = min(height, width, _PICTURE_SIDE)
    return np.asarray(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
