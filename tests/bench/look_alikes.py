"""What look-alikes on a list do to matches, and what helps: `python -m tests.bench.look_alikes`.

Every person of LFW is listed with the first picture and probed with the others, as they are and
made small, blurred and compressed like a street camera's. Of the probes of people with a look-alike
on the list it prints how many match their subject, and of all how many match somebody else, with
the margin or the threshold raised for entries with a look-alike; then what unlisted doubles match.
Takes about four minutes on two cores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cordon_server.domain import UnusablePicture
from cordon_server.recognition.decide import DecisionRule
from cordon_server.recognition.enrol import Enroller
from tests.bench.accuracy import OPEN_GATE, shipped_models
from tests.data import shared_data

THRESHOLD = 0.45
LOOK_ALIKE = 0.40
RULES = ((0.0, 0.04), (0.03, 0.04), (0.05, 0.04), (0.0, 0.08), (0.0, 0.12))
"""(threshold raised by, margin)."""
RAISES = (0.0, 0.03, 0.05)
POOR_SIZE, POOR_BLUR, POOR_QUALITY = 0.4, 0.7, 60

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Faces:
    """Templates of pictures and whose they are."""

    vectors: Vectors
    subjects: NDArray[np.intp]
    """Index into the list."""


def pictures_of_lfw() -> list[list[Path]]:
    """The pictures of each person."""
    folder = shared_data("lfw", "deepfunneled")
    people = (sorted(each.glob("*.jpg")) for each in sorted(folder.iterdir()) if each.is_dir())
    return [pictures for pictures in people if pictures]


def as_it_is(picture: Path) -> bytes:
    """The file."""
    return picture.read_bytes()


def made_poor(picture: Path) -> bytes:
    """Small, blurred and compressed."""
    image = cv2.imread(str(picture))
    assert image is not None
    small = cv2.resize(image, None, fx=POOR_SIZE, fy=POOR_SIZE, interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(small, (0, 0), POOR_BLUR)
    return cv2.imencode(".jpg", blurred, [cv2.IMWRITE_JPEG_QUALITY, POOR_QUALITY])[1].tobytes()


def templates(
    people: list[list[Path]], which: slice, read: Callable[[Path], bytes] = as_it_is
) -> Faces:
    """Of the chosen pictures of each person; one without a face is passed over."""
    enroller = Enroller(shipped_models(), gate=OPEN_GATE)

    def found() -> Iterator[tuple[Vectors, int]]:
        for subject, pictures in enumerate(people):
            for picture in pictures[which]:
                try:
                    yield enroller.examine(read(picture)).template.vector, subject
                except UnusablePicture:
                    continue

    rows = list(found())
    return Faces(np.stack([row for row, _ in rows]), np.array([who for _, who in rows]))


def print_confusions(name: str, listed: Faces, probes: Faces, is_alike: NDArray[np.bool_]) -> None:
    """Right and wrong matches with each of the rules for entries with a look-alike."""
    scores = probes.vectors @ listed.vectors.T
    best = scores.argmax(axis=1)
    score = scores.max(axis=1)
    np.put_along_axis(scores, best[:, None], -1.0, axis=1)
    margin = score - scores.max(axis=1)
    is_right = listed.subjects[best] == probes.subjects
    has_like = np.isin(probes.subjects, listed.subjects[is_alike])
    print(f"{name}: {len(best)} probes, {has_like.sum()} of people with a look-alike")
    for raised, margin_min in RULES:
        threshold = np.where(is_alike[best], THRESHOLD + raised, THRESHOLD)
        least = np.where(is_alike[best], margin_min, DecisionRule().margin_min)
        matched = (score >= threshold) & (margin >= least)
        right = (matched & is_right)[has_like].mean()
        wrong = int((matched & ~is_right).sum())
        print(
            f"  threshold +{raised:.2f}, margin {margin_min:.2f}: {right:.1%} right, {wrong} wrong"
        )


def print_doubles(listed: Faces, probes: Faces, pairs: Vectors) -> None:
    """How often probes of people who would not be listed match their double who is."""
    doubles = np.argwhere(pairs >= LOOK_ALIKE)
    scores = [
        float(score)
        for one, other in doubles
        for score in probes.vectors[probes.subjects == listed.subjects[other]] @ listed.vectors[one]
    ]
    for raised in RAISES:
        matched = sum(score >= THRESHOLD + raised for score in scores)
        print(f"unlisted doubles, threshold +{raised:.2f}: {matched} of {len(scores)} match")


def main() -> None:
    people = pictures_of_lfw()
    listed = templates(people, slice(0, 1))
    pairs = listed.vectors @ listed.vectors.T
    np.fill_diagonal(pairs, -1.0)
    is_alike = pairs.max(axis=1) >= LOOK_ALIKE
    print(f"{len(pairs)} people listed, {is_alike.sum()} with a look-alike")
    good = templates(people, slice(1, None))
    print_confusions("good", listed, good, is_alike)
    print_confusions("poor", listed, templates(people, slice(1, None), made_poor), is_alike)
    print_doubles(listed, good, pairs)


if __name__ == "__main__":
    main()
