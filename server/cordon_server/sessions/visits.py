"""Which sightings are news: one match per subject and track, bettered and not repeated.

After a subject was matched its other tracks are silent for a while. Tracks offer whoever passes the
rule again and again; what counts here is what was really logged, so that a sighting that was
silenced, or that the disk had no room for, is news later. Remembers listed people alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cordon_server.domain import Sighting
from cordon_server.recognition.decide import DecisionRule, is_cooling

TrackKey = tuple[int, str]
"""(track, entry) of one stream."""

MATCHES_PER_STREAM_MAX = 1000
"""Matches of one stream that may still be bettered; the oldest is forgotten first."""


@dataclass(frozen=True, slots=True)
class Logged:
    """A match as it stands in the log."""

    match: int
    score: float


@dataclass(frozen=True, slots=True)
class News:
    """A sighting to be logged; `betters` is the match that it improves, None for a new match."""

    sighting: Sighting
    betters: int | None


class Visits:
    """The matches of one deployment by track, and when each subject was last matched."""

    def __init__(self, rule: DecisionRule) -> None:
        self._rule = rule
        self._logged: dict[str, dict[TrackKey, Logged]] = {}
        self._matched_s: dict[str, float] = {}

    def __len__(self) -> int:
        """How many matches may still be bettered."""
        return sum(map(len, self._logged.values()))

    def came(self, stream: str) -> None:
        """A camera begins to stream."""
        self._logged[stream] = {}

    def left(self, stream: str) -> None:
        """A camera is gone and its tracks with it; what is logged later is not remembered."""
        self._logged.pop(stream, None)

    def news(self, stream: str, sightings: Sequence[Sighting], now_s: float) -> list[News]:
        """What of a frame is to be logged. A still picture's sightings all are."""
        return [
            news
            for sighting in sightings
            if (news := self._judge(stream, sighting, now_s)) is not None
        ]

    def logged(
        self, stream: str, news: Sequence[News], matches: Sequence[int], now_s: float
    ) -> None:
        """Notes what was logged of a stream, under which matches."""
        of_stream = self._logged.get(stream, {})
        for each, match in zip(news, matches, strict=True):
            candidate, track = each.sighting.candidate, each.sighting.track
            if track is None:
                continue
            self._matched_s[candidate.entry_id] = now_s
            of_stream.pop((track, candidate.entry_id), None)  # Or it would keep its old place.
            of_stream[track, candidate.entry_id] = Logged(match, candidate.score)
            if len(of_stream) > MATCHES_PER_STREAM_MAX:
                del of_stream[next(iter(of_stream))]

    def _judge(self, stream: str, sighting: Sighting, now_s: float) -> News | None:
        if sighting.track is None:
            return News(sighting, None)
        candidate = sighting.candidate
        known = self._logged.get(stream, {}).get((sighting.track, candidate.entry_id))
        if known is not None:
            is_better = candidate.score >= known.score + self._rule.improvement_min
            return News(sighting, known.match) if is_better else None
        if is_cooling(self._matched_s.get(candidate.entry_id), now_s, self._rule):
            return None
        return News(sighting, None)
