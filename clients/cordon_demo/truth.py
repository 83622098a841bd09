"""What the rendered footage really shows, held against what was matched.

A file plays in a loop from a moment that only the camera process knows exactly. The first match
that lies on a listed face tells the phase; before it, the moment of connecting has to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cordon_demo.scene import FPS, PERIOD_S

if TYPE_CHECKING:
    from cordon_demo.scene import Rectangle, Scene, Walker

_OVERLAP_MIN = 0.25
_UNSURE_S, _SURE_S = 2.0, 0.4
"""How far the phase may be off: before any match, and after one."""


class Truth:
    """Of one camera, whose footage began to play at `started_s` (Unix time)."""

    def __init__(self, scene: Scene, started_s: float) -> None:
        self._scene = scene
        self._started_s = started_s
        self._shift_s = 0.0
        self._tolerance_s = _UNSURE_S
        self._seen: set[tuple[int, int]] = set()

    def judge(self, head: int, captured_s: float, face: Rectangle) -> bool:
        """Whether the listed head really was there then; remembers the pass if so."""
        for walker in self._scene.listed:
            if walker.head != head:
                continue
            shift_s = self._best_shift(walker, captured_s, face)
            if shift_s is None:
                continue
            self._shift_s, self._tolerance_s = shift_s, _SURE_S
            position_s = captured_s - self._started_s + shift_s
            self._seen.add((head, int((position_s - walker.starts_s) // PERIOD_S)))
            return True
        return False

    def passes(self, until_s: float) -> tuple[int, int]:
        """How many whole passes there were until a moment, and how many of them were missed."""
        whole = 0
        missed = 0
        length_s = until_s - self._started_s + self._shift_s
        for walker in self._scene.listed:
            begin_s, end_s = walker.recognisable(self._scene.view)
            for turn in range(-1, int(length_s // PERIOD_S) + 1):
                starts_s = walker.starts_s + turn * PERIOD_S
                seen = (walker.head, turn) in self._seen
                if seen or self._is_whole(starts_s + begin_s, starts_s + end_s, length_s):
                    whole += 1
                    missed += not seen
        return whole, missed

    def _is_whole(self, begin_s: float, end_s: float, length_s: float) -> bool:
        """Whether a pass lies inside what surely was filmed."""
        slack_s = self._tolerance_s
        return begin_s - slack_s >= self._shift_s and end_s + slack_s <= length_s

    def _best_shift(self, walker: Walker, captured_s: float, face: Rectangle) -> float | None:
        steps = round(self._tolerance_s * FPS)
        best_s, best_overlap = None, _OVERLAP_MIN
        for step in range(-steps, steps + 1):
            shift_s = self._shift_s + step / FPS
            shown = walker.face(self._scene.view, captured_s - self._started_s + shift_s)
            overlap = shown.overlap(face) if shown else 0.0
            if overlap > best_overlap:
                best_s, best_overlap = shift_s, overlap
        return best_s
