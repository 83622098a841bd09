"""Test videos seen once by the server's detector and embedder, to be decided on many times over.

Also who is who in them, found from the templates and not from the tracker: faces that hardly move
from one frame to the next are one piece, and pieces whose mean templates agree are one person.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from cordon_server.domain import Box, Face, FaceFate, FrameResult
from cordon_server.recognition.analyse import Analyser, Probe
from cordon_server.recognition.decide import Gallery
from cordon_server.recognition.decode import Decoder, Picture
from cordon_server.recognition.tracks import CameraTracks, shot_worth

SAME_PERSON_MIN = 0.5
"""Cosine of two pieces' means from which they are one person; strangers stay below 0.4."""
STILL_OVERLAP_MIN = 0.6
"""Overlap of two faces in successive frames that cannot be two people."""
CUT_MIN = 0.35
"""Cosine of successive faces in the same place below which they may be two people."""
PIECE_FACES_MIN = 3
"""Embedded faces that a piece needs before it is anybody."""


@dataclass(slots=True)
class SeenFrame:
    """What one frame shows."""

    time_s: float
    number: int
    faces: list[Face]
    probe_of: dict[int, Probe]
    """By id of the face; those that the gates let through."""
    person_of: dict[int, int] = field(default_factory=dict)
    """By id of the face; who it is, where that can be told."""


@dataclass(slots=True)
class Clip:
    """A video, seen."""

    name: str
    fps: float
    frames: list[SeenFrame]

    def thinned(self, fps: float) -> Clip:
        """The same at a lower rate, as a loaded server or a slow camera would show it."""
        kept: list[SeenFrame] = []
        for frame in self.frames:
            if not kept or frame.time_s >= kept[0].time_s + len(kept) / fps - 1e-6:
                kept.append(frame)
        return Clip(f"{self.name} @{fps:g}", fps, kept)

    @property
    def people(self) -> set[int]:
        return {person for frame in self.frames for person in frame.person_of.values()}


class Replay(Analyser):
    """The server's own stages after detection, over what was seen before."""

    _probe_of: dict[int, Probe]

    def see(self, jpeg: bytes, number: int, time_s: float) -> SeenFrame:
        """Detects and embeds every face that the gates let through."""
        picture = self._decoder.read(jpeg)
        faces = self._find(picture)
        fates = dict.fromkeys(FaceFate, 0)
        probes = super()._embed(picture, self._fit(faces, fates), fates)
        return SeenFrame(time_s, number, faces, {id(probe.face): probe for probe in probes})

    def decide(self, seen: SeenFrame, gallery: Gallery, tracks: CameraTracks) -> FrameResult:
        """What the server makes of the frame."""
        self._probe_of = seen.probe_of
        return self._tracked(_BLANK, seen.faces, gallery, tracks, seen.time_s)

    def _embed(
        self,
        picture: Picture,
        faces: Sequence[Face],
        fates: dict[FaceFate, int],
    ) -> list[Probe]:
        found = [self._probe_of.get(id(face)) for face in faces]
        fates[FaceFate.TOO_POOR] += found.count(None)
        return [probe for probe in found if probe is not None]


_BLANK = Decoder().read(simplejpeg.encode_jpeg(np.zeros((16, 16, 3), np.uint8)))


def see_clip(video: Path, replay: Replay) -> Clip:
    """Decodes, detects and embeds a whole video, and tells its people apart."""
    frames = [
        replay.see(jpeg, number, time_s) for number, (jpeg, time_s) in enumerate(jpegs(video))
    ]
    span = frames[-1].time_s - frames[0].time_s
    clip = Clip(video.stem, (len(frames) - 1) / span, frames)
    _tell_apart(clip)
    return clip


def jpegs(video: Path) -> Iterator[tuple[bytes, float]]:
    """A video's frames as a camera would send them, with their times."""
    with av.open(str(video)) as container:
        for frame in container.decode(video=0):
            image = np.ascontiguousarray(frame.to_ndarray(format="bgr24"))
            yield simplejpeg.encode_jpeg(image, 85, "BGR"), float(frame.time or 0.0)


def overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    across = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    down = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    shared = max(0.0, across) * max(0.0, down)
    return shared / (one.width * one.height + other.width * other.height - shared)


@dataclass(slots=True, eq=False)
class _Piece:
    """Faces of one person in successive frames."""

    faces: list[tuple[SeenFrame, Face]]

    @property
    def frames(self) -> set[int]:
        return {frame.number for frame, _ in self.faces}

    @property
    def probes(self) -> list[Probe]:
        return [f.probe_of[id(face)] for f, face in self.faces if id(face) in f.probe_of]

    def is_continued_by(self, frame: SeenFrame, face: Face) -> bool:
        """By place, and where both have one, by template: a cut puts others in the same place."""
        if overlap(self.faces[-1][1].box, face.box) < STILL_OVERLAP_MIN:
            return False
        probes, probe = self.probes, frame.probe_of.get(id(face))
        return probe is None or not probes or float(probes[-1].vector @ probe.vector) >= CUT_MIN


def _tell_apart(clip: Clip) -> None:
    """Sets `person_of` in every frame."""
    pieces = [p for p in _pieces(clip) if len(p.probes) >= PIECE_FACES_MIN]
    people: list[list[_Piece]] = []
    for piece in sorted(pieces, key=lambda each: -len(each.probes)):
        fits = [p for p in people if not any(piece.frames & other.frames for other in p)]
        best = max(fits, key=lambda person: _likeness(piece, person), default=None)
        if best is not None and _likeness(piece, best) >= SAME_PERSON_MIN:
            best.append(piece)
        else:
            people.append([piece])
    for number, person in enumerate(people):
        for frame, face in (each for piece in person for each in piece.faces):
            frame.person_of[id(face)] = number


def _pieces(clip: Clip) -> list[_Piece]:
    done: list[_Piece] = []
    open_pieces: list[_Piece] = []
    for frame in clip.frames:
        going = []
        for face in frame.faces:
            near = [piece for piece in open_pieces if piece.is_continued_by(frame, face)]
            rivals = [f for f in frame.faces if f is not face and _is_near(f, near)]
            piece = near[0] if len(near) == 1 and not rivals else _Piece([])
            piece.faces.append((frame, face))
            going.append(piece)
        done += [piece for piece in open_pieces if piece not in going]
        open_pieces = going
    return done + open_pieces


def _is_near(face: Face, pieces: Sequence[_Piece]) -> bool:
    return any(overlap(p.faces[-1][1].box, face.box) > 0.1 for p in pieces)


def _likeness(piece: _Piece, person: Sequence[_Piece]) -> float:
    return float(_mean(piece.probes) @ _mean([probe for each in person for probe in each.probes]))


def _mean(probes: Sequence[Probe]) -> NDArray[np.float32]:
    total = np.sum([shot_worth(p.quality) * p.vector for p in probes], axis=0)
    mean: NDArray[np.float32] = total / np.linalg.norm(total)
    return mean
