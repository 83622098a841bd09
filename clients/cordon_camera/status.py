"""The counts of a running camera, and how they look to a person and to a program."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median

from cordon_camera.flow import Outcome

_WINDOW = 200
_REJECTIONS_NAMED = 20


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said of one frame."""

    outcome: Outcome
    faces: int = 0
    matches: int = 0
    server_latency_s: float = 0.0
    reason: str = ""
    message: str = ""
    name: str = ""
    """The file's name, where the source is a folder."""


@dataclass(slots=True)
class Tally:
    """Counts since the start; durations over the last 200 frames."""

    outcomes: dict[Outcome, int] = field(default_factory=lambda: dict.fromkeys(Outcome, 0))
    frames_sent: int = 0
    faces: int = 0
    matches: int = 0
    connections: int = 0
    rejections: list[Answer] = field(default_factory=list)
    """The first few, for the summary."""
    _round_trips_s: deque[float] = field(default_factory=lambda: deque(maxlen=_WINDOW))
    _latencies_s: deque[float] = field(default_factory=lambda: deque(maxlen=_WINDOW))
    _sent_at_s: deque[float] = field(default_factory=lambda: deque(maxlen=_WINDOW))

    def sent(self, now_s: float) -> None:
        """A frame left."""
        self.frames_sent += 1
        self._sent_at_s.append(now_s)

    def answered(self, answer: Answer, round_trip_s: float) -> None:
        """A frame was answered."""
        self.outcomes[answer.outcome] += 1
        self.faces += answer.faces
        self.matches += answer.matches
        if answer.outcome is Outcome.REJECTED and len(self.rejections) < _REJECTIONS_NAMED:
            self.rejections.append(answer)
        if answer.outcome is Outcome.PROCESSED:
            self._round_trips_s.append(round_trip_s)
            self._latencies_s.append(answer.server_latency_s)

    @property
    def rejected(self) -> int:
        """Frames that the server refused, or that this client knew it would."""
        return self.outcomes[Outcome.REJECTED]

    def fps(self, now_s: float, over_s: float = 3.0) -> float:
        """Frames sent a second, over the last few seconds."""
        recent = sum(1 for at_s in self._sent_at_s if now_s - at_s <= over_s)
        return recent / over_s

    def counts(self) -> dict[str, object]:
        """Everything countable, for programs."""
        return {
            "frames_sent": self.frames_sent,
            **{outcome.value: count for outcome, count in self.outcomes.items()},
            "faces": self.faces,
            "matches": self.matches,
            "connections": self.connections,
            "round_trip_ms_p50": _median_ms(self._round_trips_s),
            "server_latency_ms_p50": _median_ms(self._latencies_s),
        }


def status_line(counts: Mapping[str, object], fps: float) -> str:
    """One line for a person."""
    return (
        f"{fps:5.1f} frames/s  sent {counts['frames_sent']}  "
        f"superseded {counts['superseded']}  skipped {counts['skipped']}  "
        f"rejected {counts['rejected']}  faces {counts['faces']}  matches {counts['matches']}  "
        f"round trip {_ms(counts['round_trip_ms_p50'])}  "
        f"server {_ms(counts['server_latency_ms_p50'])}"
    )


def _ms(value: object) -> str:
    return "-" if value is None else f"{value:.0f} ms"


def _median_ms(durations_s: deque[float]) -> float | None:
    return round(median(durations_s) * 1000, 2) if durations_s else None
