"""Identification accuracy without the server: `python -m tests.bench.accuracy [--gates]`.

Open-set identification on LFW as ISO/IEC 19795-1 counts it: listed subjects are enrolled with their
first picture, their other pictures are mated probes, pictures of other people are non-mated ones.
TPIR is the share of mated probes whose subject comes first at or above the threshold, FPIR the
share of non-mated probes where anybody does.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from cordon_server.domain import Candidate, InvalidFrame, Quality, UnusablePicture
from cordon_server.recognition.analyse import Analyser, AnalyserSettings, Probe
from cordon_server.recognition.decide import STILLS_RULE, passes
from cordon_server.recognition.enrol import Enroller
from cordon_server.recognition.gates import ENROLMENT_GATE, PROBE_GATE, Gate
from cordon_server.recognition.models.pack import load_pack
from cordon_server.recognition.models.prepare import prepare
from cordon_server.recognition.models.sessions import Models, open_models
from tests.data import shared_data

SUBJECTS = 200
STRANGERS = 500
THRESHOLDS = tuple(round(0.34 + 0.01 * step, 2) for step in range(25))

# Refuses nothing: for measuring what the gates would.
OPEN_GATE = Gate(0.0, 0.0, 0.0, 255.0, 180.0, 180.0)


class ExactGallery:
    """The smallest gallery: every reference compared with every probe."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._entries: list[str] = []
        self._references: list[NDArray[np.float32]] = []

    def add(self, entry_id: str, vector: NDArray[np.float32]) -> None:
        self._entries.append(entry_id)
        self._references.append(vector)

    def search(self, probes: NDArray[np.float32]) -> list[Candidate | None]:
        if not self._references:
            return [None] * len(probes)
        return [self._best(scores) for scores in probes @ np.stack(self._references).T]

    def _best(self, scores: NDArray[np.float32]) -> Candidate:
        best = int(np.argmax(scores))
        entry = self._entries[best]
        others = [s for s, e in zip(scores, self._entries, strict=True) if e != entry]
        score = float(scores[best])
        margin = score - float(max(others)) if others else score
        return Candidate(entry, str(best), score, margin, self._threshold)


@dataclass(frozen=True, slots=True)
class Draw:
    """Who is listed and who is not: pictures by person."""

    enrolled: dict[str, Path]
    mated: tuple[tuple[str, Path], ...]
    strangers: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class PictureScore:
    """The best candidate among all faces of one probe picture; -1 and nobody where no face is."""

    picture: Path
    subject: str | None
    """Whose picture it is; None for a stranger's."""
    best: str
    score: float
    candidates: tuple[Candidate, ...] = ()
    """Of every face."""

    def matched(self, threshold: float) -> str | None:
        """Who is matched in the picture at a threshold, by the rule for stills."""
        passing = [
            each
            for each in self.candidates
            if passes(replace(each, threshold=threshold), STILLS_RULE)
        ]
        best = max(passing, key=lambda each: each.score, default=None)
        return None if best is None else best.entry_id


@dataclass(frozen=True, slots=True)
class Identification:
    """The outcome of one draw."""

    refused: dict[str, tuple[str, ...]]
    """Subjects whose picture could not be enrolled, and the reason codes."""
    scores: tuple[PictureScore, ...]

    def tpir(self, threshold: float) -> float:
        mated = [s for s in self.scores if s.subject is not None and s.subject not in self.refused]
        return sum(s.matched(threshold) == s.subject for s in mated) / len(mated)

    def fpir(self, threshold: float) -> float:
        strangers = [s for s in self.scores if s.subject is None]
        return sum(s.matched(threshold) is not None for s in strangers) / len(strangers)


@cache
def shipped_models() -> Models:
    """The built-in pack on the CPU; prepared once a process."""
    with tempfile.TemporaryDirectory() as folder:
        return open_models(prepare(load_pack(), Path(folder)), "cpu")


def draw_lfw(folder: Path, seed: int, subjects: int = SUBJECTS, strangers: int = STRANGERS) -> Draw:
    """A random choice of listed people (with two pictures or more) and of others."""
    people = {p.name: sorted(p.glob("*.jpg")) for p in sorted(folder.iterdir()) if p.is_dir()}
    chance = random.Random(seed)
    listed = chance.sample(sorted(n for n, files in people.items() if len(files) > 1), subjects)
    others = chance.sample(sorted(n for n, files in people.items() if len(files) == 1), strangers)
    return Draw(
        enrolled={name: people[name][0] for name in listed},
        mated=tuple((name, file) for name in listed for file in people[name][1:]),
        strangers=tuple(people[name][0] for name in others),
    )


class Offline:
    """Enrols and probes pictures through the same code as the server, remembering the results."""

    def __init__(self, models: Models, settings: AnalyserSettings | None = None) -> None:
        self._analyser = Analyser(models, settings)
        self._enroller = Enroller(models)
        self.enrol = cache(self._enrol)
        self.probe = cache(self._probe)

    def _enrol(self, picture: Path) -> NDArray[np.float32] | tuple[str, ...]:
        """A template, or the codes of the reasons against it."""
        try:
            return self._enroller.examine(picture.read_bytes()).template.vector
        except UnusablePicture as error:
            return tuple(str(reason.code) for reason in error.reasons)

    def _probe(self, picture: Path) -> tuple[Probe, ...]:
        try:
            return tuple(self._analyser.probes(picture.read_bytes()))
        except InvalidFrame:
            return ()


def offline_identification(offline: Offline, draw: Draw) -> Identification:
    """Scores of all probe pictures of a draw, by the server's own recognition code."""
    gallery = ExactGallery(threshold=2.0)
    refused: dict[str, tuple[str, ...]] = {}
    for name, picture in draw.enrolled.items():
        vector = offline.enrol(picture)
        if isinstance(vector, tuple):
            refused[name] = vector
        else:
            gallery.add(name, vector)
    pictures: Iterable[tuple[str | None, Path]] = (
        *draw.mated,
        *((None, picture) for picture in draw.strangers),
    )
    scores = tuple(
        _score(gallery, offline.probe(picture), subject, picture) for subject, picture in pictures
    )
    return Identification(refused, scores)


def _score(
    gallery: ExactGallery, probes: Sequence[Probe], subject: str | None, picture: Path
) -> PictureScore:
    if not probes:
        return PictureScore(picture, subject, "", -1.0)
    found = gallery.search(np.stack([probe.vector for probe in probes]))
    candidates = tuple(candidate for candidate in found if candidate is not None)
    best = max(candidates, key=lambda c: c.score)
    return PictureScore(picture, subject, best.entry_id, best.score, candidates)


def video_jpegs(video: Path, quality: int = 85) -> Iterator[bytes]:
    """A video's frames as a camera would send them."""
    capture = cv2.VideoCapture(str(video))
    while True:
        is_there, frame = capture.read()
        if not is_there:
            return
        yield simplejpeg.encode_jpeg(frame, quality=quality, colorspace="BGR")


def accuracy_table(offline: Offline, lfw: Path, seeds: Sequence[int]) -> str:
    """TPIR and FPIR over thresholds, each draw and their mean."""
    draws = [offline_identification(offline, draw_lfw(lfw, seed)) for seed in seeds]
    lines = [f"{'threshold':>9} " + " ".join(f"{'TPIR':>7} {'FPIR':>7}" for _ in (*draws, None))]
    for threshold in THRESHOLDS:
        pairs = [(d.tpir(threshold), d.fpir(threshold)) for d in draws]
        pairs.append((sum(t for t, _ in pairs) / len(draws), sum(f for _, f in pairs) / len(draws)))
        lines.append(f"{threshold:9.2f} " + " ".join(f"{t:7.4f} {f:7.4f}" for t, f in pairs))
    for seed, draw in zip(seeds, draws, strict=True):
        worst = sorted((s for s in draw.scores if s.subject is None), key=lambda s: -s.score)[:4]
        lines.append(f"draw {seed}: refused {draw.refused}")
        lines += [f"  stranger {s.picture.name} as {s.best}: {s.score:.3f}" for s in worst]
    return "\n".join(lines)


def gate_table(models: Models) -> str:
    """Percentiles of every measure over real faces, and what the gates would refuse of them."""
    analyser = Analyser(models, replace(AnalyserSettings(), gate=OPEN_GATE))
    sources: dict[str, Iterable[bytes]] = {
        "lfw": (
            p.read_bytes() for p in sorted(shared_data("lfw", "deepfunneled").glob("*/*_0001.jpg"))
        ),
        "covent garden": video_jpegs(shared_data("videos", "walking", "covent_garden_1080p.mp4")),
        "friends": video_jpegs(shared_data("videos", "labelled", "friends_a_720p.mp4")),
    }
    lines = []
    for name, jpegs in sources.items():
        faces = [probe.quality for jpeg in jpegs for probe in analyser.probes(jpeg)]
        lines.append(f"{name}: {len(faces)} faces")
        lines += [f"  {measure:>15} " + _percentiles(faces, pick) for measure, pick in MEASURES]
        for gate_name, gate in (("probe", PROBE_GATE), ("enrolment", ENROLMENT_GATE)):
            refused = [gate.misfits(q) for q in faces]
            codes = sorted({str(code) for misfits in refused for code in misfits})
            counts = {c: sum(c in map(str, misfits) for misfits in refused) for c in codes}
            lines.append(f"  {gate_name} gate refuses {sum(map(bool, refused))}: {counts}")
    return "\n".join(lines)


MEASURES: tuple[tuple[str, Callable[[Quality], float]], ...] = (
    ("detection", lambda q: q.detection_score),
    ("inter-eye px", lambda q: q.inter_eye_px),
    ("sharpness", lambda q: q.sharpness),
    ("luminance", lambda q: q.luminance),
    ("|yaw|", lambda q: abs(q.yaw_degrees)),
    ("|roll|", lambda q: abs(q.roll_degrees)),
)


def _percentiles(faces: Sequence[Quality], pick: Callable[[Quality], float]) -> str:
    values = np.percentile([pick(q) for q in faces], [0, 0.5, 2, 10, 50, 90, 98, 99.5, 100])
    return " ".join(f"{v:8.2f}" for v in values)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--gates", action="store_true", help="print the quality measures instead")
    parser.add_argument("--draws", type=int, default=3, help="how many random choices of people")
    arguments = parser.parse_args()
    models = shipped_models()
    if arguments.gates:
        print(gate_table(models))
    else:
        lfw = shared_data("lfw", "deepfunneled")
        print(accuracy_table(Offline(models), lfw, range(arguments.draws)))


if __name__ == "__main__":
    main()
