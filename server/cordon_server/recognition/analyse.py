"""One frame from bytes to matches: the stages in their order. Keeps nothing of a frame (R1)."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
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
    Passed,
    Quality,
    Sighting,
)
from cordon_server.recognition.align import align, shrunk
from cordon_server.recognition.decide import DecisionRule, Gallery, best_of_each, matches
from cordon_server.recognition.decode import Decoder, Picture
from cordon_server.recognition.detect import DETECT_HEIGHT, DETECT_WIDTH, FaceDetector
from cordon_server.recognition.embed import Embedder
from cordon_server.recognition.gates import PROBE_GATE, Gate
from cordon_server.recognition.limits import FACES_PER_FRAME_MAX, FrameLimits
from cordon_server.recognition.models.prepare import CROP_SIZE
from cordon_server.recognition.models.sessions import Models
from cordon_server.recognition.probe import probe_jpeg
from cordon_server.recognition.quality import geometry, measure
from cordon_server.recognition.shrink import enough
from cordon_server.recognition.tracks import (
    CameraTracks,
    Gone,
    PersonTrack,
    Shot,
    shot_worth,
    view_worth,
)
from cordon_server.recognition.zone import Zone

if TYPE_CHECKING:
    from cordon_server.domain import Image, Vector


STAGES = ("decode", "detect", "track", "align", "embed", "search", "probe")


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

    def __init__(
        self,
        models: Models,
        settings: AnalyserSettings | None = None,
        decoder: Decoder | None = None,
    ) -> None:
        self._settings = settings or AnalyserSettings()
        self._decoder = decoder or Decoder(self._settings.limits)
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

    def analyse(
        self,
        jpeg: bytes,
        gallery: Gallery,
        tracks: CameraTracks | None = None,
        taken_s: float = 0.0,
        zone: Zone | None = None,
    ) -> FrameResult:
        """What recognition makes of a frame. Raises InvalidFrame where it is not a plain JPEG.

        Faces outside the zone are neither embedded nor searched (R7).

        With `tracks`, the frame is one of a stream, taken at `taken_s`; without, a picture by
        itself, of which every face is embedded.
        """
        with self._timed("decode"):
            picture = self._decoder.read(jpeg)
        if tracks is None:
            return self._still(picture, self._find(picture), gallery, zone)
        shrink = 1
        if self._decoder.saves_by_shrinking:
            scale = self._detector.scale(picture.width, picture.height)
            shrink = tracks.shrinking.choose(scale)
        faces = self._find(picture, shrink)
        return self._tracked(picture, faces, gallery, tracks, taken_s, zone)

    def probes(self, jpeg: bytes) -> list[Probe]:
        """The faces of a frame that would be searched, with what they would be searched by."""
        picture, fates = self._decoder.read(jpeg), dict.fromkeys(FaceFate, 0)
        return self._embed(picture, self._fit(self._find(picture), fates), fates)

    def _still(
        self, picture: Picture, faces: Sequence[Face], gallery: Gallery, zone: Zone | None
    ) -> FrameResult:
        fates = dict.fromkeys(FaceFate, 0)
        inside = _inside(picture, faces, zone, fates)
        probes = self._embed(picture, self._fit(inside, fates), fates)
        fates[FaceFate.SEARCHED] = len(probes)
        with self._timed("search"):
            candidates = self._search([probe.vector for probe in probes], gallery)
            found = matches(candidates)
        with self._timed("probe"):
            sightings = [_sighting(picture, probes[i], candidates[i], faces) for i in found]
        counts = _counts(
            fates, faces, embedded=len(probes), people=len(faces), people_searched=len(probes)
        )
        return FrameResult(counts, tuple(sightings), _gone(probes, candidates, found))

    def _tracked(
        self,
        picture: Picture,
        faces: Sequence[Face],
        gallery: Gallery,
        tracks: CameraTracks,
        taken_s: float,
        zone: Zone | None = None,
    ) -> FrameResult:
        """Embeds the faces whose tracks want it; the others stand by what their track has."""
        fates = dict.fromkeys(FaceFate, 0)
        begun, searched = tracks.begun, tracks.searched
        with self._timed("track"):
            track_of = dict(zip(map(id, faces), tracks.follow(faces, taken_s), strict=True))
            wanted = []
            for face in self._fit(_inside(picture, faces, zone, fates), fates):
                track, view = track_of[id(face)], view_worth(geometry(face))
                if track.wants(view, tracks.now_s):
                    track.try_at(tracks.now_s)
                    wanted.append(face)
                else:
                    fates[FaceFate.SEARCHED if track.shots else FaceFate.TOO_POOR] += 1
            tracks.shrinking.note(wanted, self._detector.scale(picture.width, picture.height))
        probes = self._embed(picture, wanted, fates)
        fates[FaceFate.SEARCHED] += len(probes)
        people = [track_of[id(probe.face)] for probe in probes]
        with self._timed("search"):
            for track, probe in zip(people, probes, strict=True):
                shot = Shot(probe.vector, shot_worth(probe.quality))
                tracks.add(track, shot, view_worth(probe.quality))
            found = self._decide(people, probes, gallery, tracks.rule)
        with self._timed("probe"):
            sightings = [
                _sighting(picture, probes[at], found[at], faces, people[at])
                for at in best_of_each(found)
            ]
        counts = _counts(
            fates,
            faces,
            embedded=len(probes),
            people=tracks.begun - begun,
            people_searched=tracks.searched - searched,
        )
        return FrameResult(counts, tuple(sightings), tracks.take_gone())

    def _decide(
        self,
        people: Sequence[PersonTrack],
        probes: Sequence[Probe],
        gallery: Gallery,
        rule: DecisionRule,
    ) -> dict[int, Candidate]:
        """Who passes the rule, by position: each track's fused template and its newest shot are
        searched together."""
        fused = [track.fused() for track in people]
        candidates = self._search([*fused, *(probe.vector for probe in probes)], gallery)
        count = len(people)
        decided = {
            at: track.decide(candidates[at], candidates[count + at], rule)
            for at, track in enumerate(people)
        }
        return {at: candidate for at, candidate in decided.items() if candidate is not None}

    def _find(self, picture: Picture, shrink: int = 1) -> list[Face]:
        """All faces, in the full picture's pixels."""
        with self._timed("decode"):
            image = picture.at(shrink)
        with self._timed("detect"):
            return self._detector.find(image, shrink)

    def _embed(
        self, picture: Picture, faces: Sequence[Face], fates: dict[FaceFate, int]
    ) -> list[Probe]:
        """The faces that have a template, with it; the others are counted."""
        if not faces:
            return []
        limit = self._settings.faces_per_frame_max
        fates[FaceFate.SHED] += max(0, len(faces) - limit)
        with self._timed("decode"):
            image, shrink = picture.at_most(enough(faces))
        with self._timed("align"):
            measured = self._measure(image, shrink, faces[:limit], fates)
        with self._timed("embed"):
            vectors = self._embedder.embed([crop for _, _, crop in measured])
        fates[FaceFate.TOO_POOR] += sum(vector is None for vector in vectors)
        return [
            Probe(face, quality, vector)
            for (face, quality, _), vector in zip(measured, vectors, strict=True)
            if vector is not None
        ]

    def _fit(self, faces: Sequence[Face], fates: dict[FaceFate, int]) -> list[Face]:
        """The faces large and frontal enough, the largest first; the others are counted."""
        fit: list[tuple[float, Face]] = []
        for face in faces:
            quality = geometry(face)
            fate = self._settings.gate.geometry_fate(quality)
            if fate is FaceFate.SEARCHED:
                fit.append((quality.inter_eye_px, face))
            else:
                fates[fate] += 1
        fit.sort(key=lambda pair: -pair[0])
        return [face for _, face in fit]

    def _measure(
        self, image: Image, shrink: int, faces: Sequence[Face], fates: dict[FaceFate, int]
    ) -> list[tuple[Face, Quality, Image]]:
        """The faces whose crops are good enough, with their crops, valid until the next call."""
        kept = []
        for face, crop in zip(faces, self._crops, strict=False):
            align(image, shrunk(face.landmarks, shrink), crop)
            quality = measure(face, crop)
            if self._settings.gate.misfits(quality):
                fates[FaceFate.TOO_POOR] += 1
            else:
                kept.append((face, quality, crop))
        return kept

    def _search(self, vectors: Sequence[Vector], gallery: Gallery) -> list[Candidate | None]:
        if not vectors:
            return []
        candidates = gallery.search(np.stack(vectors))
        assert len(candidates) == len(vectors)
        return candidates

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.stage_seconds[stage] += time.perf_counter() - start


def _inside(
    picture: Picture, faces: Sequence[Face], zone: Zone | None, fates: dict[FaceFate, int]
) -> Sequence[Face]:
    """The faces in the zone; the others are counted."""
    if zone is None:
        return faces
    inside = [face for face in faces if zone.holds(face.box, picture.width, picture.height)]
    fates[FaceFate.OUTSIDE_ZONE] = len(faces) - len(inside)
    return inside


def _counts(fates: dict[FaceFate, int], faces: Sequence[Face], **others: int) -> FaceCounts:
    counts = FaceCounts(**{fate.value: count for fate, count in fates.items()}, **others)
    assert counts.detected == len(faces)
    return counts


def _gone(
    probes: Sequence[Probe], candidates: Sequence[Candidate | None], found: Collection[int]
) -> Passed | None:
    """The people of a picture by itself, who are gone with it."""
    gone = Gone()
    for at, (probe, candidate) in enumerate(zip(probes, candidates, strict=True)):
        score = None if candidate is None or at in found else candidate.score
        gone.add(shot_worth(probe.quality), score)
    return gone.take()


def _sighting(
    picture: Picture,
    probe: Probe,
    candidate: Candidate | None,
    faces: Sequence[Face],
    track: PersonTrack | None = None,
) -> Sighting:
    assert candidate is not None
    return Sighting(
        candidate=candidate,
        box=probe.face.box,
        quality=probe.quality,
        probe_jpeg=probe_jpeg(picture.at(), probe.face, faces),
        track=None if track is None else track.number,
        observations=1 if track is None else track.observations[candidate.entry_id],
        vector=probe.vector if track is None else track.fused(),
    )
