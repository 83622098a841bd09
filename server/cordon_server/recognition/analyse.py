"""One frame from bytes to matches: the stages in their order. Keeps nothing of a frame (R1)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cordon_server.domain import (
    Candidate,
    Face,
    FaceCounts,
    FaceFate,
    FrameResult,
    Quality,
    Sighting,
)
from cordon_server.recognition.align import align
from cordon_server.recognition.decide import Gallery, matches
from cordon_server.recognition.decode import Decoder
from cordon_server.recognition.detect import DETECT_HEIGHT, DETECT_WIDTH, FaceDetector
from cordon_server.recognition.embed import Embedder
from cordon_server.recognition.gates import PROBE_GATE, Gate
from cordon_server.recognition.limits import FACES_PER_FRAME_MAX, FrameLimits
from cordon_server.recognition.models.prepare import CROP_SIZE
from cordon_server.recognition.models.sessions import Models
from cordon_server.recognition.probe import probe_jpeg
from cordon_server.recognition.quality import geometry, measure

if TYPE_CHECKING:
    from cordon_server.domain import Image, Vector


STAGES = ("decode", "detect", "align", "embed", "search", "probe")


@dataclass(frozen=True, slots=True)
class AnalyserSettings:
    """How frames are analysed."""

    limits: FrameLimits = field(default_factory=FrameLimits)
    """What a frame may be at most."""
    detect_width: int = DETECT_WIDTH
    """Pixels of the detector's input. Larger finds smaller faces and takes longer."""
    detect_height: int = DETECT_HEIGHT
    """The same; portrait pictures swap the two."""
    detection_score_min: float | None = None
    """Detector confidence from which on something is a face; the model pack's where None."""
    gate: Gate = PROBE_GATE
    """Which faces are good enough to be searched."""
    faces_per_frame_max: int = FACES_PER_FRAME_MAX
    """Faces of one frame that are searched, the largest first; the rest count as shed."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A face that was embedded."""

    face: Face
    quality: Quality
    vector: Vector


class Analyser:
    """Analyses one frame at a time; owns its buffers, so belongs to one thread."""

    def __init__(self, models: Models, settings: AnalyserSettings | None = None) -> None:
        self._settings = settings or AnalyserSettings()
        self._decoder = Decoder(self._settings.limits)
        self._detector = FaceDetector(
            models,
            width=self._settings.detect_width,
            height=self._settings.detect_height,
            score_min=self._settings.detection_score_min,
        )
        self._embedder = Embedder(models)
        self._crops: NDArray[np.uint8] = np.zeros(
            (self._settings.faces_per_frame_max, CROP_SIZE, CROP_SIZE, 3), np.uint8
        )
        self.stage_seconds: dict[str, float] = dict.fromkeys(STAGES, 0.0)
        """Seconds spent in each stage since the start; only grows."""

    def analyse(self, jpeg: bytes, gallery: Gallery) -> FrameResult:
        """What recognition makes of a frame. Raises InvalidFrame where it is not a plain JPEG."""
        with self._timed("decode"):
            image = self._decoder.decode(jpeg)
        with self._timed("detect"):
            faces = self._detector.find(image)
        probes, counts = self._probes(image, faces)
        with self._timed("search"):
            candidates = self._search(probes, gallery)
        with self._timed("probe"):
            sightings = [
                _sighting(image, probes[i], candidates[i], faces) for i in matches(candidates)
            ]
        return FrameResult(counts, tuple(sightings))

    def probes(self, jpeg: bytes) -> list[Probe]:
        """The faces of a frame that would be searched, with what they would be searched by."""
        image = self._decoder.decode(jpeg)
        return self._probes(image, self._detector.find(image))[0]

    def _probes(self, image: Image, faces: Sequence[Face]) -> tuple[list[Probe], FaceCounts]:
        """Gates and embeds the faces; every one ends up in exactly one count."""
        fates = dict.fromkeys(FaceFate, 0)
        with self._timed("align"):
            chosen = self._choose(faces, fates)
            measured = self._measure(image, chosen, fates)
        with self._timed("embed"):
            vectors = self._embedder.embed([crop for _, _, crop in measured])
        probes = []
        for (face, quality, _), vector in zip(measured, vectors, strict=True):
            if vector is None:
                fates[FaceFate.TOO_POOR] += 1
            else:
                probes.append(Probe(face, quality, vector))
        fates[FaceFate.SEARCHED] = len(probes)
        counts = FaceCounts(**{fate.value: count for fate, count in fates.items()})
        assert counts.detected == len(faces)
        return probes, counts

    def _choose(self, faces: Sequence[Face], fates: dict[FaceFate, int]) -> list[Face]:
        """The faces large and frontal enough, the largest first, as many as may be searched."""
        fit: list[tuple[float, Face]] = []
        for face in faces:
            quality = geometry(face)
            fate = self._settings.gate.geometry_fate(quality)
            if fate is FaceFate.SEARCHED:
                fit.append((quality.inter_eye_px, face))
            else:
                fates[fate] += 1
        fit.sort(key=lambda pair: -pair[0])
        fates[FaceFate.SHED] = max(0, len(fit) - self._settings.faces_per_frame_max)
        return [face for _, face in fit[: self._settings.faces_per_frame_max]]

    def _measure(
        self, image: Image, faces: Sequence[Face], fates: dict[FaceFate, int]
    ) -> list[tuple[Face, Quality, Image]]:
        """The faces whose crops are good enough, with their crops, valid until the next call."""
        kept = []
        for face, crop in zip(faces, self._crops, strict=False):
            align(image, face.landmarks, crop)
            quality = measure(face, crop)
            if self._settings.gate.misfits(quality):
                fates[FaceFate.TOO_POOR] += 1
            else:
                kept.append((face, quality, crop))
        return kept

    def _search(self, probes: Sequence[Probe], gallery: Gallery) -> list[Candidate | None]:
        if not probes:
            return []
        candidates = gallery.search(np.stack([probe.vector for probe in probes]))
        assert len(candidates) == len(probes)
        return candidates

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.stage_seconds[stage] += time.perf_counter() - start


def _sighting(
    image: Image, probe: Probe, candidate: Candidate | None, faces: Sequence[Face]
) -> Sighting:
    assert candidate is not None
    return Sighting(
        candidate=candidate,
        box=probe.face.box,
        quality=probe.quality,
        probe_jpeg=probe_jpeg(image, probe.face, faces),
    )
