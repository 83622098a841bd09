"""Which faces of successive frames are one person's; pure: boxes and times in, track numbers out.

In the manner of ByteTrack (Zhang et al., 2022): a motion model predicts where each track's face is
now; confident detections are assigned first, then the weaker ones to the tracks that are left.
Boxes are widened before they are compared (C-BIoU, Yang et al., 2023): at the frame rates of a
loaded server a walker's face moves further than its own width overlaps. No template takes part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import lap
import numpy as np
from numpy.typing import NDArray

from cordon_server.domain import Box, Face

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TrackerRules:
    """When a face goes on a track, and when a track is over."""

    confident_min: float = 0.75
    """Detection score from which a face is assigned in the first round."""
    widened_by: float = 0.5
    """Share of its size that a box is widened by, on each side, before boxes are compared."""
    overlap_min: float = 0.15
    """Least intersection over union of widened boxes; below, two faces are never one track."""
    size_ratio_max: float = 1.8
    """Most that a face's width may differ from the predicted one."""
    lost_s_max: float = 1.0
    """A track that found no face for longer is over."""
    tracks_max: int = 256
    """Tracks at once; beyond, those lost longest are ended."""


class Track:
    """One person's way through the picture: a constant-velocity Kalman filter over centre and size.

    The state is in pixels, the variances in face widths: only ratios of variances enter the gain,
    so one set of them serves all four values at every size of face.
    """

    def __init__(self, number: int, box: Box, now_s: float) -> None:
        self.number = number
        self.seen_s = now_s
        self._place = _measured(box)
        self._speed = np.zeros(4)
        self._spread = (_MEASURED**2, 0.0, _SPEED**2)
        """Variance of the place, covariance of place and speed, variance of the speed."""
        self._at_s = now_s

    def predict(self, now_s: float) -> None:
        """Moves the track to where its face should be now."""
        step, self._at_s = now_s - self._at_s, now_s
        self._place = self._place + step * self._speed
        place, both, speed = self._spread
        drift = _ACCELERATION**2
        self._spread = (
            place + 2 * step * both + step**2 * speed + drift * step**4 / 4,
            both + step * speed + drift * step**3 / 2,
            speed + drift * step**2,
        )

    def correct(self, box: Box, now_s: float) -> None:
        """Takes a face as this track's."""
        place, both, speed = self._spread
        total = place + _MEASURED**2
        of_place, of_speed = place / total, both / total
        missed = _measured(box) - self._place
        self._place = self._place + of_place * missed
        self._speed = self._speed + of_speed * missed
        self._spread = (place - of_place * place, both - of_place * both, speed - of_speed * both)
        self.seen_s = now_s

    @property
    def expected(self) -> NDArray[np.float64]:
        """Where the face should be: (centre x, centre y, width, height), pixels."""
        expected: NDArray[np.float64] = np.maximum(self._place, _SMALLEST)
        return expected


# No face is narrower or lower than a pixel; its centre may be anywhere.
_SMALLEST = np.array([-np.inf, -np.inf, 1.0, 1.0])

# Standard deviations in widths of a face: of a measured box, of a new track's speed a second, and
# of its change. Chosen on the test videos: people walk at about two face widths a second.
_MEASURED, _SPEED, _ACCELERATION = 0.05, 2.0, 4.0


class Tracker:
    """The tracks of one camera."""

    def __init__(self, rules: TrackerRules | None = None) -> None:
        self._rules = rules or TrackerRules()
        self._tracks: list[Track] = []
        self._last = 0
        self._taken_s: float | None = None
        self.now_s = 0.0
        """Seconds of the camera's time since its first frame. Never falls: a clock that is set back
        stands still for one frame and goes on from there, so that no track outlives its time."""

    def update(self, faces: Sequence[Face], taken_s: float) -> tuple[list[int], list[int]]:
        """The track of each face, in order, and the tracks that are over since the last call.

        `taken_s` is when the frame was taken, by the camera's clock. Every face has a track; no two
        share one. Beyond `tracks_max` faces, some tracks are over with the frame they began in.
        """
        now_s = self._pass(taken_s)
        over = self._end(now_s)  # Before a newcomer could continue them.
        for track in self._tracks:
            track.predict(now_s)
        assigned: list[Track | None] = [None] * len(faces)
        sure = [face.detection_score >= self._rules.confident_min for face in faces]
        free = self._tracks
        for is_round in (True, False):
            some = [position for position, is_sure in enumerate(sure) if is_sure is is_round]
            free = self._assign(faces, some, free, assigned)
        numbers = []
        for face, found in zip(faces, assigned, strict=True):
            track = found or self._born(face.box, now_s)
            track.correct(face.box, now_s)
            numbers.append(track.number)
        return numbers, over + self._end(now_s)

    def forget(self) -> None:
        """Ends all tracks; numbers are not given twice."""
        self._tracks = []

    def _pass(self, taken_s: float) -> float:
        """Lets the time since the last frame pass; the time now."""
        if self._taken_s is not None:
            self.now_s += max(0.0, taken_s - self._taken_s)
        self._taken_s = taken_s
        return self.now_s

    def _assign(
        self,
        faces: Sequence[Face],
        some: Sequence[int],
        free: list[Track],
        assigned: list[Track | None],
    ) -> list[Track]:
        """Gives some faces their tracks; the tracks still free."""
        if not some or not free:
            return free
        cost = self._cost([faces[i].box for i in some], free)
        _, track_of, _ = lap.lapjv(cost, extend_cost=True, cost_limit=1.0 - self._rules.overlap_min)
        for row, column in enumerate(track_of):
            if column >= 0 and cost[row, column] < _NEVER:
                assigned[some[row]] = free[column]
        taken = {id(track) for track in assigned if track is not None}
        return [track for track in free if id(track) not in taken]

    def _cost(self, boxes: Sequence[Box], tracks: Sequence[Track]) -> Matrix:
        """(boxes, tracks): one less the overlap of the widened boxes; _NEVER where it cannot be."""
        seen = np.array([_measured(box) for box in boxes])[:, None, :]
        expected = np.array([track.expected for track in tracks])[None, :, :]
        overlap = _overlap(seen, expected, 1.0 + 2.0 * self._rules.widened_by)
        ratio = seen[..., 2] / np.maximum(expected[..., 2], 1.0)
        fits = (ratio < self._rules.size_ratio_max) & (ratio > 1.0 / self._rules.size_ratio_max)
        cost: Matrix = np.where(fits & (overlap >= self._rules.overlap_min), 1.0 - overlap, _NEVER)
        return cost

    def _born(self, box: Box, now_s: float) -> Track:
        self._last += 1
        track = Track(self._last, box, now_s)
        self._tracks.append(track)
        return track

    def _end(self, now_s: float) -> list[int]:
        """Drops the tracks that are over; their numbers."""
        self._tracks.sort(key=lambda track: -track.seen_s)
        kept = [t for t in self._tracks if now_s - t.seen_s <= self._rules.lost_s_max]
        kept = kept[: self._rules.tracks_max]
        numbers = {track.number for track in kept}
        over = [track.number for track in self._tracks if track.number not in numbers]
        self._tracks = kept
        return over


_NEVER = 1e6


def _measured(box: Box) -> NDArray[np.float64]:
    """(centre x, centre y, width, height), pixels."""
    return np.array([box.x + box.width / 2, box.y + box.height / 2, box.width, box.height])


def _overlap(one: Matrix, other: Matrix, scale: float) -> Matrix:
    """Intersection over union of boxes given as (…, centre x, centre y, width, height), each made
    `scale` times as large about its centre."""
    sizes, others = one[..., 2:] * scale, other[..., 2:] * scale
    low = np.maximum(one[..., :2] - sizes / 2, other[..., :2] - others / 2)
    high = np.minimum(one[..., :2] + sizes / 2, other[..., :2] + others / 2)
    shared = np.prod(np.maximum(high - low, 0.0), axis=-1)
    overlap: Matrix = shared / (np.prod(sizes, axis=-1) + np.prod(others, axis=-1) - shared)
    return overlap
