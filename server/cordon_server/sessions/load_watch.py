"""Keeps the cameras' load within what the workers can do: who is let in, who hears which advice.

Used from the event loop alone. The choices are `recognition.load`'s.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog

from cordon_server.domain import LimitReached
from cordon_server.recognition.line import FrameFate, Outcome
from cordon_server.recognition.load import STEP_S, Advice, Load
from cordon_server.sessions.camera import CameraSession

log = structlog.get_logger()

LOG_EVERY_S = 10.0
RETRY_AFTER_S = 10.0
"""What a camera that is not let in is asked to wait."""


@dataclass(slots=True)
class _Tally:
    """What happened since the last log event."""

    since_s: float
    processed: int = 0
    faces: int = 0
    work_s: float = 0.0
    drops: Counter[str] = field(default_factory=Counter)


class LoadWatch:
    """All cameras that stream, their costs, and what they are told about them."""

    def __init__(
        self,
        load: Load,
        weights: Mapping[str, float],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._weights = weights
        self._clock = clock
        self._sessions: dict[str, CameraSession] = {}
        self._stepped_s = clock()
        self._tally = _Tally(self._stepped_s)

    def weight(self, camera_id: str) -> float:
        """A camera's share of the workers beside the others'."""
        return self._weights.get(camera_id, 1.0)

    def check_room(self) -> None:
        """Raises `LimitReached` where one more camera would leave too little for each."""
        if not self._load.has_room():
            raise LimitReached(
                f"{len(self._sessions)} cameras stream and the workers have no room for another at "
                f"{self._load.rules.fps_min:g} frames a second each; wait until one leaves, lower "
                "recognition.fps_min, or give the server more cores",
                reason="NO_CAPACITY",
                retry_after_s=RETRY_AFTER_S,
            )

    def joined(self, session: CameraSession, *, stills: bool, tracked: bool) -> None:
        """Counts a camera in; its first advice follows."""
        self._sessions[session.stream] = session
        weight = self.weight(session.camera_id)
        session.advise(
            self._load.join(session.stream, weight=weight, stills=stills, serial=tracked)
        )

    def left(self, session: CameraSession) -> None:
        """Counts a camera out."""
        self._sessions.pop(session.stream, None)
        self._load.leave(session.stream)

    def note(self, session: CameraSession, outcome: Outcome) -> None:
        """Counts the answer to a frame and what it cost."""
        self._load.note(session.stream, outcome.work_s, outcome.decode_s)
        tally = self._tally
        tally.work_s += outcome.work_s
        if outcome.fate is FrameFate.PROCESSED:
            tally.processed += 1
        else:
            tally.drops[_reason(outcome)] += 1
        if outcome.result is not None:
            tally.faces += outcome.result.counts.searched

    async def run(self) -> None:
        """Steps for as long as the server runs."""
        while True:
            await asyncio.sleep(STEP_S)
            self.step()

    def step(self) -> None:
        """Tells the cameras what has changed; logs the load where there is traffic."""
        now_s = self._clock()
        elapsed_s, self._stepped_s = now_s - self._stepped_s, now_s
        if elapsed_s <= 0:
            return
        for stream, advice in self._load.step(elapsed_s).items():
            self._tell(self._sessions[stream], advice)
        if now_s - self._tally.since_s >= LOG_EVERY_S:
            self._log(now_s)

    def _tell(self, session: CameraSession, advice: Advice) -> None:
        session.advise(advice)
        log.info(
            "camera.advised",
            camera=session.camera_id,
            fps_max=advice.fps_max,
            side_px_max=advice.side_px_max,
            jpeg_quality=advice.jpeg_quality,
        )

    def _log(self, now_s: float) -> None:
        tally, self._tally = self._tally, _Tally(now_s)
        if not tally.processed and not tally.drops:
            return
        elapsed_s = now_s - tally.since_s
        log.info(
            "load",
            cameras=len(self._sessions),
            load=round(self._load.load, 2),
            utilisation=round(tally.work_s / elapsed_s / self._load.workers, 2),
            frames_per_s=round(tally.processed / elapsed_s, 1),
            faces_per_s=round(tally.faces / elapsed_s, 1),
            drops=dict(tally.drops),
        )


def _reason(outcome: Outcome) -> str:
    return outcome.fate.value if outcome.error is None else outcome.error.reason
