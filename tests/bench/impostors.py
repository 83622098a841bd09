"""How alike different people are to the embedder: `python -m tests.bench.impostors`.

Every two people of a set are compared by one picture each. Above the score that one pair in a
thousand reaches, the share falls by e with every `decline`; pairs that score higher than
SAME_PERSON are taken for one person who is in the set twice. The built-in model pack's [impostors]
table is made of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from cordon_server.recognition.analyse import Analyser
from tests.bench.accuracy import shipped_models
from tests.data import shared_data

SHARE = 0.001
SAME_PERSON = 0.62
PADDING_PX = 40
"""UTKFace's crops are too tight for the detector."""


def pictures_of_sets() -> dict[str, list[tuple[Path, int]]]:
    """One picture of each person, and how wide its border is to be."""
    people = sorted(shared_data("lfw", "deepfunneled").iterdir())
    return {
        "lfw": [(sorted(each.glob("*.jpg"))[0], 0) for each in people if each.is_dir()],
        "aaf": [(each, 0) for each in sorted(shared_data("aaf", "original_images").iterdir())],
        "utkface": [
            (each, PADDING_PX) for each in sorted(shared_data("utkface", "images").iterdir())
        ],
    }


def templates(analyser: Analyser, pictures: Iterable[tuple[Path, int]]) -> NDArray[np.float32]:
    """(people, dimension), of the largest face of each picture that has one."""
    found = (analyser.probes(padded(path, border)) for path, border in pictures)
    return np.stack([probes[0].vector for probes in found if probes])


def padded(path: Path, border_px: int) -> bytes:
    """A picture as JPEG, its edge repeated around it."""
    if not border_px:
        return path.read_bytes()
    image = cv2.imread(str(path))
    assert image is not None
    sides = (border_px,) * 4
    wider = cv2.copyMakeBorder(image, *sides, cv2.BORDER_REPLICATE)
    jpeg: bytes = simplejpeg.encode_jpeg(wider, quality=92, colorspace="BGR")
    return jpeg


def tail(vectors: NDArray[np.float32]) -> tuple[float, float]:
    """(score, decline) of the pairs of a set."""
    scores = (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)]
    start = float(np.quantile(scores, 1 - SHARE))
    beyond = scores[(scores > start) & (scores < SAME_PERSON)] - start
    return start, float(beyond.mean())


def main() -> None:
    analyser = Analyser(shipped_models())
    for name, pictures in pictures_of_sets().items():
        vectors = templates(analyser, pictures)
        score, decline = tail(vectors)
        print(
            f"{name}: {len(vectors)} people; "
            f"{{ score = {score:.3f}, share = {SHARE}, decline = {decline:.3f} }}"
        )


if __name__ == "__main__":
    main()
