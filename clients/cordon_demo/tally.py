"""What a run has come to so far: frames, faces, matches and how long they took. No I/O."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cordon_demo.scene import Rectangle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cordon.v1.camera_pb2 import CameraLive
    from cordon.v1.match_pb2 import Match
    from cordon_demo.plan import Plan
    from cordon_demo.truth import Truth


@dataclass(slots=True)
class CameraTally:
    """One camera's part."""

    frames: int = 0
    """Frames that recognition ran on."""
    faces: int = 0
    """Faces compared with the watchlist."""
    superseded: int = 0
    matches: int = 0
    false_matches: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    """From capture to the match's arrival in the control room."""

    def take_live(self, live: CameraLive) -> None:
        self.frames = int(live.frames_processed)
        self.faces = int(live.faces_searched)
        self.superseded = int(live.frames_superseded)


@dataclass(slots=True)
class Tally:
    """All cameras. `truths` is empty where nobody knows what the footage shows."""

    plan: Plan
    truths: dict[str, Truth] = field(default_factory=dict)
    cameras: dict[str, CameraTally] = field(default_factory=dict)
    matched: set[str] = field(default_factory=set)
    """External references of whoever was matched."""

    def __post_init__(self) -> None:
        self.cameras = {name: CameraTally() for name in self.plan.cameras}

    def take_match(self, match: Match, arrived_s: float) -> bool | None:
        """Counts a match, once however often it is bettered; whether it is true, if known."""
        camera = match.camera.rsplit("/", 1)[-1]
        reference = match.entry.rsplit("/", 1)[-1]
        captured_s = match.captured_at.ToNanoseconds() / 1e9
        tally = self.cameras[camera]
        is_new = match.revision == 0
        if is_new:
            tally.matches += 1
            tally.latencies_ms.append((arrived_s - captured_s) * 1000)
        self.matched.add(reference)
        if not self.plan.is_rendered:
            return None
        box = Rectangle(match.box.x, match.box.y, match.box.width, match.box.height)
        heads = [i for i, wanted in enumerate(self.plan.walking) if wanted.reference == reference]
        truth = self.truths.get(camera)
        is_true = bool(heads and truth and truth.judge(heads[0], captured_s, box))
        tally.false_matches += is_new and not is_true
        return is_true

    @property
    def total(self) -> CameraTally:
        """Of all cameras together."""
        every = self.cameras.values()
        return CameraTally(
            frames=sum(each.frames for each in every),
            faces=sum(each.faces for each in every),
            superseded=sum(each.superseded for each in every),
            matches=sum(each.matches for each in every),
            false_matches=sum(each.false_matches for each in every),
            latencies_ms=[ms for each in every for ms in each.latencies_ms],
        )


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least `share` of the values do not exceed; None of none."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
