"""What is remembered of the people in front of one camera, for the seconds they are there (R1).

A track keeps at most SHOTS_MAX templates, in memory, and is dropped whole when it closes: with the
frame that shows it is over, with the stream, or when no frame comes any more. A face is embedded
twice when its track is young, when a candidate waits for a second observation, when a
clearly better view comes, and every second: not on every frame.

The values below were chosen by `python -m tests.bench.tracking`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from cordon_server.domain import Candidate, Face, Passed, Quality, Sums
from cordon_server.recognition.decide import DecisionRule, agrees, passes
from cordon_server.recognition.shrink import Shrinking
from cordon_server.recognition.tracker import Tracker

if TYPE_CHECKING:
    from cordon_server.domain import Vector

SHOTS_MAX = 3
"""Templates kept of one track, the best ones."""
YOUNG_TEMPLATES = 2
"""Templates that a new track gets without a reason: one look may be an unlucky one."""
YOUNG_S = 0.12
"""How far they are apart: enough for another look."""
REFRESH_S = 1.0
"""A track is embedded again after this long, however good its shots are."""
BETTER_BY = 1.25
"""A view this many times as good as the best one is worth a template."""
TRIES_S = 0.2
"""A track whose last try gave no template is not tried more often than this."""
SOMEBODY_ELSE_MAX = 0.2
"""Cosine of a new shot with the track's template below which it shows somebody else."""
DOUBT_WORTH_MIN = 0.5
"""Worth that such a shot needs, as a share of the best one's, to be believed."""
NORM_MIN = 1e-3
"""Length of the mean below which shots have nothing in common."""


@dataclass(slots=True)
class Shot:
    """One template of a track and what its picture was worth."""

    vector: Vector
    worth: float


@dataclass(slots=True, eq=False)
class PersonTrack:
    """One track: its best shots and what was found for them."""

    number: int
    shots: list[Shot] = field(default_factory=list)
    templates: int = 0
    """How many this person has had."""
    best_view: float = 0.0
    """The best worth by landmarks alone of any view that gave a template."""
    tried_s: float = 0.0
    """When a view was last tried."""
    is_failing: bool = False
    """Whether that try gave no template."""
    observations: dict[str, int] = field(default_factory=dict)
    """Agreeing shots by subject."""
    is_waiting: bool = False
    """Whether a candidate needs another observation."""
    score: float | None = None
    """Of the newest fused template's candidate; None where nobody is listed."""
    is_match: bool = False
    """Whether a candidate has ever passed the rule."""

    def wants(self, view: float, now_s: float) -> bool:
        """Whether this view of the face is worth a template."""
        since_s = now_s - self.tried_s
        if self.is_failing and since_s < TRIES_S:
            return False
        return (
            not self.shots
            or self.is_waiting
            or view > self.best_view * BETTER_BY
            or since_s >= (YOUNG_S if self.templates < YOUNG_TEMPLATES else REFRESH_S)
        )

    def try_at(self, now_s: float) -> None:
        """Notes that a view is tried; it has failed until it is added."""
        self.tried_s = now_s
        self.is_failing = True

    def add(self, shot: Shot, view: float) -> None:
        """Takes the template of the view that was tried, and keeps it if it is among the best.

        A good shot of somebody else means that the track went over to them, behind a pillar or at a
        cut: what was known of the one before is forgotten.
        """
        self.is_failing = False
        if self._is_somebody_else(shot):
            self.shots.clear()
            self.observations.clear()
            self.templates, self.best_view = 0, 0.0
            self.score, self.is_match = None, False
        self.templates += 1
        self.best_view = max(self.best_view, view)
        self.shots.append(shot)
        self.shots.sort(key=lambda each: -each.worth)
        del self.shots[SHOTS_MAX:]

    def fused(self) -> Vector:
        """The quality-weighted mean of the shots, at length one."""
        total = np.sum([shot.worth * shot.vector for shot in self.shots], axis=0)
        norm = np.linalg.norm(total)
        if not norm > NORM_MIN * sum(shot.worth for shot in self.shots):
            return self.shots[0].vector  # Shots that cancel each other have no mean.
        mean: Vector = (total / norm).astype(np.float32)
        return mean

    def decide(
        self, fused: Candidate | None, shot: Candidate | None, rule: DecisionRule
    ) -> Candidate | None:
        """The candidate that passes the rule now, or None. Whether it is news is not known here."""
        self.is_waiting = False
        if fused is None:
            return None
        self.score, subject = fused.score, fused.entry_id
        if agrees(shot, subject, rule):
            self.observations[subject] = self.observations.get(subject, 0) + 1
        seen = self.observations.get(subject, 0)
        if not passes(fused, rule, seen):
            self.is_waiting = seen < rule.observations_min and agrees(fused, subject, rule)
            return None
        self.is_match = True
        return fused

    @property
    def merits(self) -> tuple[float, float | None]:
        """The worth of its best shot, of which it has one, and its score where it was no match."""
        return self.shots[0].worth, None if self.is_match else self.score

    def _is_somebody_else(self, shot: Shot) -> bool:
        return (
            bool(self.shots)
            and shot.worth >= DOUBT_WORTH_MIN * self.shots[0].worth
            and float(shot.vector @ self.fused()) < SOMEBODY_ELSE_MAX
        )


class Gone:
    """Sums over people who have gone; keeps nothing of any of them."""

    def __init__(self) -> None:
        self._quality = self._score = Sums()

    def add(self, worth: float, score: float | None) -> None:
        """Counts one."""
        self._quality += Sums(1, worth, worth * worth)
        if score is not None:
            self._score += Sums(1, score, score * score)

    def take(self) -> Passed | None:
        """The sums, which begin afresh; None where nobody was counted."""
        if not self._quality.count:
            return None
        passed = Passed(self._quality, self._score)
        self._quality = self._score = Sums()
        return passed


class CameraTracks:
    """The tracks of one stream. Used by one worker at a time, frame after frame."""

    def __init__(self, rule: DecisionRule | None = None, tracker: Tracker | None = None) -> None:
        self.rule = rule or DecisionRule()
        self.shrinking = Shrinking()
        """Whether this camera's frames are shrunk as they are decoded."""
        self.begun = 0
        """People seen so far: tracks, and those that a track went over to."""
        self.searched = 0
        """Of these, who had a template."""
        self._gone = Gone()
        self._tracker = tracker or Tracker()
        self._tracks: dict[int, PersonTrack] = {}

    def __len__(self) -> int:
        return len(self._tracks)

    @property
    def now_s(self) -> float:
        """The time of the newest frame, on a clock that never runs back."""
        return self._tracker.now_s

    def follow(self, faces: Sequence[Face], taken_s: float) -> list[PersonTrack]:
        """The track of each face, in order; whoever is gone is forgotten."""
        numbers, over = self._tracker.update(faces, taken_s)
        self.begun += sum(number not in self._tracks for number in numbers)
        people = [self._tracks.setdefault(number, PersonTrack(number)) for number in numbers]
        for number in over:  # Last: a track may be over with the frame it began in.
            if (track := self._tracks.pop(number, None)) is not None and track.shots:
                self._gone.add(*track.merits)
        return people

    def add(self, track: PersonTrack, shot: Shot, view: float) -> None:
        """Gives a track the template of the view that was tried, and counts who has their first."""
        before = track.merits if track.shots else None
        track.add(shot, view)
        if track.templates == 1:
            self.searched += 1
            if before is not None:
                self.begun += 1
                self._gone.add(*before)

    def take_gone(self) -> Passed | None:
        """Who was searched and has gone since the last call."""
        return self._gone.take()

    def forget(self) -> None:
        """Drops everybody at once: the stream is over, or nothing comes any more."""
        for track in self._tracks.values():
            if track.shots:
                self._gone.add(*track.merits)
        self._tracker.forget()
        self._tracks.clear()


def view_worth(quality: Quality) -> float:
    """How good a view is by its landmarks alone, 0 to 1: large and frontal."""
    return min(1.0, quality.inter_eye_px / 48.0) * max(0.05, math.cos(_radians(quality)))


def shot_worth(quality: Quality) -> float:
    """How much a shot counts in the fused template, above 0: its view, and how sharp it is."""
    return view_worth(quality) * min(1.0, 0.2 + quality.sharpness / 100.0)


def _radians(quality: Quality) -> float:
    return math.radians(min(90.0, abs(quality.yaw_degrees)))
