"""When the next picture of a recording is due; knows time only as numbers."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from time import monotonic


class Pace:
    """Spaces pictures as they were recorded, or evenly at `fps` where that is given.

    A reader that falls behind by more than `lag_s_max` starts its clock anew instead of rushing
    through everything that it missed.
    """

    lag_s_max = 1.0

    def __init__(self, fps: float = 0.0) -> None:
        self._interval_s = 1 / fps if fps else 0.0
        self._origin_s: float | None = None
        self._even_s = 0.0

    def due_s(self, position_s: float, now_s: float) -> float:
        """The moment at which the picture at `position_s` of the recording is due."""
        if self._interval_s:
            position_s = self._even_s
            self._even_s += self._interval_s
        if self._origin_s is None:
            self._origin_s = now_s - position_s
        due_s = self._origin_s + position_s
        if now_s - due_s > self.lag_s_max:
            self._origin_s = now_s - position_s
            return now_s
        return due_s

    def restart(self) -> None:
        """The recording starts again from its beginning."""
        if not self._interval_s:
            self._origin_s = None


class Metronome:
    """Waits until pictures are due; `stop` ends a wait at once."""

    def __init__(
        self, pace: Pace | None, stop: Event, clock: Callable[[], float] = monotonic
    ) -> None:
        self._pace = pace
        self._stop = stop
        self._clock = clock

    def wait(self, position_s: float) -> bool:
        """Waits for the picture at `position_s`; False when it was stopped."""
        if self._pace is None:
            return not self._stop.is_set()
        now_s = self._clock()
        return not self._stop.wait(max(0.0, self._pace.due_s(position_s, now_s) - now_s))

    def restart(self) -> None:
        """The recording starts again."""
        if self._pace is not None:
            self._pace.restart()
