"""What 'not this person' costs and saves, on LFW: `python -m tests.bench.not_this_person`.

Everybody is listed by one picture, and everybody else's pictures are probes. Where a stranger's
probe passes the threshold of somebody's entry, an operator has said that he is not that person.
Then: are the stranger's other pictures that pass it silenced (a second false alert), and are the
listed person's own (a match missed)?
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cordon_server.matches.records import SuppressedRecord
from cordon_server.matches.suppression import SAME_FACE_MIN, Suppressions
from cordon_server.recognition.models.pack import load_pack
from tests.bench.accuracy import Offline, shipped_models
from tests.data import shared_data

PICTURES = 4
"""Of each person at most; two at least."""
THRESHOLDS = (0.36, 0.40, 0.44)
LABEL_ERROR = 0.62
"""Pairs of two names above this are the same face under both: LFW's own errors."""

Templates = NDArray[np.float32]
"""One person's, (pictures, dimension)."""


@dataclass(slots=True)
class Tally:
    """Of the later probes that passed the threshold, how many were silenced."""

    repeats: int = 0
    repeats_silenced: int = 0
    own: int = 0
    own_silenced: int = 0


def main() -> None:
    people = list(_people(Offline(shipped_models())))
    print(f"{len(people)} people, the shipped threshold is {load_pack().score_threshold}")
    for threshold in THRESHOLDS:
        pairs = list(false_pairs(people, threshold))
        tally = silenced(people, pairs, threshold)
        print(
            f"threshold {threshold:.2f}: {len(pairs)} false alerts judged; again "
            f"{tally.repeats}, of them silenced {tally.repeats_silenced}; the listed person "
            f"{tally.own} times, of them silenced {tally.own_silenced} "
            f"(same face from {SAME_FACE_MIN})"
        )


def false_pairs(people: list[Templates], threshold: float) -> Iterator[tuple[int, int, int]]:
    """(listed, stranger, picture) where that picture of the stranger passes for the listed
    person's first."""
    first = np.stack([templates[0] for templates in people])
    for stranger, templates in enumerate(people):
        scores = first @ templates.T
        for listed, picture in zip(*np.nonzero(scores >= threshold), strict=True):
            if listed != stranger and scores[listed].max() < LABEL_ERROR:
                yield int(listed), stranger, int(picture)


def silenced(people: list[Templates], pairs: list[tuple[int, int, int]], threshold: float) -> Tally:
    """What the rule does with everybody's other pictures."""
    tally = Tally()
    for listed, stranger, picture in pairs:
        faces = Suppressions([SuppressedRecord("entry", people[stranger][picture].tobytes())])
        reference = people[listed][0]
        for probe in np.delete(people[stranger], picture, axis=0):
            if (score := float(probe @ reference)) >= threshold:
                tally.repeats += 1
                tally.repeats_silenced += faces.silences("entry", probe, score)
        for probe in people[listed][1:]:
            if (score := float(probe @ reference)) >= threshold:
                tally.own += 1
                tally.own_silenced += faces.silences("entry", probe, score)
    return tally


def _people(offline: Offline) -> Iterator[Templates]:
    folders = sorted(shared_data("lfw", "deepfunneled").iterdir())
    several = [f for f in folders if f.is_dir() and len(list(f.glob("*.jpg"))) > 1]
    for number, folder in enumerate(several):
        if number % 100 == 0:
            print(f"{number} of {len(several)}", file=sys.stderr)
        found = [offline.enrol(picture) for picture in sorted(folder.glob("*.jpg"))[:PICTURES]]
        vectors = [vector for vector in found if not isinstance(vector, tuple)]
        if len(vectors) > 1:
            yield np.stack(vectors)


if __name__ == "__main__":
    main()
