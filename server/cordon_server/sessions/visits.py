"""Which sightings are news: one match per subject and track, bettered and not repeated.

After a subject was matched its other tracks are silent for a while. Remembers listed people alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cordon_server.domain import Sighting
from cordon_server.recognition.decide import DecisionRule, is_cooling

TrackKey = tuple[str, int, str]
"""(stream, track, entry)."""


@dataclass(frozen=True, slots=True)
class News:
    """A sighting to be logged; `betters` is the match that it improves, None for a new match."""

    sighting: Sighting
    betters: int | None
    key: TrackKey | None


class Visits:
    """The matches of one deployment by track, and when each subject was last matched."""

    def __init__(self, rule: DecisionRule) -> None:
        self._rule = rule
        self._match_of: dict[TrackKey, int] = {}
        self._matched_s: dict[str, float] = {}

    def news(self, stream: str, sightings: Sequence[Sighting], now_s: float) -> list[News]:
        """What of a frame is to be logged. A still picture's sightings all are."""
        return [
            news
            for sighting in sightings
            if (news := self._judge(stream, sighting, now_s)) is not None
        ]

    def logged(self, news: Sequence[News], matches: Sequence[int], now_s: float) -> None:
        """Notes what was logged, under which matches."""
        for each, match in zip(news, matches, strict=True):
            if each.key is not None:
                self._match_of[each.key] = match
                self._matched_s[each.sighting.candidate.entry_id] = now_s

    def left(self, stream: str) -> None:
        """A camera is gone and its tracks with it."""
        self._match_of = {key: match for key, match in self._match_of.items() if key[0] != stream}

    def _judge(self, stream: str, sighting: Sighting, now_s: float) -> News | None:
        if sighting.track is None:
            return News(sighting, None, None)
        entry_id = sighting.candidate.entry_id
        key = (stream, sighting.track, entry_id)
        if (match := self._match_of.get(key)) is not None:
            return News(sighting, match, key)
        if is_cooling(self._matched_s.get(entry_id), now_s, self._rule):
            return None
        return News(sighting, None, key)
