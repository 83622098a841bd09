"""The rules of sending, without any I/O: credit, pace, what is answered, what is sent again.

Events go in by the methods, decisions come out as values. A stream is one connection; a flow
outlives its streams.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from cordon_camera.sources.picture import Picture


class Outcome(StrEnum):
    """A frame's fate, as the server names it."""

    PROCESSED = "processed"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Limits:
    """What the server takes; 0 is no limit."""

    jpeg_bytes_max: int = 0
    width_max: int = 0
    height_max: int = 0


@dataclass(frozen=True, slots=True)
class Sent:
    """A picture on its way, since when (monotonic seconds); kept only to be sent again."""

    sent_s: float
    picture: Picture | None


class Flow:
    """One camera's sending.

    `every_picture`: a picture that a lost connection left unanswered is sent again, in order.
    Without it (video) it is counted in `lost`: a newer one says more.
    """

    def __init__(self, *, every_picture: bool, fps_max: float = 0.0) -> None:
        self._every_picture = every_picture
        self._own_fps_max = fps_max
        self._advised_fps_max = 0.0
        self._credit = 0
        self._sequence = 0
        self._next_due_s: float | None = None
        self._unanswered: dict[int, Sent] = {}
        self._again: deque[Picture] = deque()
        self._source_ended = False
        self.limits = Limits()
        self.lost = 0

    # Events

    def connected(self) -> None:
        """A new stream begins: no credit, sequences from 1; what was unanswered goes back."""
        for _, sent in sorted(self._unanswered.items(), reverse=True):
            if sent.picture is not None:
                self._again.appendleft(sent.picture)
            else:
                self.lost += 1
        self._unanswered.clear()
        self._credit = self._sequence = 0

    def welcomed(self, limits: Limits) -> None:
        """The server told its limits."""
        self.limits = limits

    def credited(self, frames: int) -> bool:
        """Leave to send that many more; whether there was none before."""
        had_none = not self._credit
        self._credit += frames
        return had_none

    def advised(self, fps_max: float) -> None:
        """The server's wish; 0 leaves it to us."""
        self._advised_fps_max = fps_max
        self._next_due_s = None

    def answered(self, sequence: int) -> Sent | None:
        """The frame was answered; None for one that is not on its way."""
        return self._unanswered.pop(sequence, None)

    def source_ended(self) -> None:
        """No further picture will come."""
        self._source_ended = True

    # Decisions

    def wait_s(self, now_s: float) -> float | None:
        """Seconds until a picture may be sent: 0 for now, None for "not before the next event"."""
        if not self._credit:
            return None
        if self._next_due_s is None:
            return 0.0
        return max(0.0, self._next_due_s - now_s)

    def take_again(self) -> Picture | None:
        """A picture to be sent again, which goes before any new one."""
        return self._again.popleft() if self._again else None

    def send(self, picture: Picture, now_s: float) -> int:
        """The picture is sent now, for one credit; returns its sequence."""
        assert self._credit > 0
        self._credit -= 1
        self._sequence += 1
        self._unanswered[self._sequence] = Sent(now_s, picture if self._every_picture else None)
        self._set_next_due(now_s)
        return self._sequence

    def withdraw(self, sequence: int) -> None:
        """The picture was not sent after all and will not be; its credit comes back."""
        del self._unanswered[sequence]
        self._credit += 1

    def is_finished(self, slot_is_empty: bool) -> bool:
        """Whether everything there was has been sent and answered."""
        nothing_left = slot_is_empty and not self._again and not self._unanswered
        return self._source_ended and nothing_left

    @property
    def in_flight(self) -> int:
        """Frames sent and not answered."""
        return len(self._unanswered)

    def _set_next_due(self, now_s: float) -> None:
        rates = [r for r in (self._own_fps_max, self._advised_fps_max) if r > 0]
        if not rates:
            self._next_due_s = None
            return
        interval_s = 1 / min(rates)
        # Keeps the beat while it is kept roughly; after a pause it starts a new one, not a burst.
        due_s = self._next_due_s if self._next_due_s is not None else now_s
        self._next_due_s = max(due_s, now_s - interval_s) + interval_s
