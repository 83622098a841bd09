"""What a run came to, as one JSON object, and whether that is as it should be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cordon_demo.tally import percentile

if TYPE_CHECKING:
    from cordon_demo.show import Show
    from cordon_demo.tally import CameraTally, Tally


def make_outcome(show: Show) -> dict[str, Any]:
    """Counts over all cameras, latencies in milliseconds from capture to the control room.

    `false_matches` is null where nobody can know (one's own footage); `expected` is how many
    passes, or with one's own footage how many people, had to be matched.
    """
    total = show.tally.total
    expected, missed = _expected(show.tally, show.stopped_s)
    return {
        **_counts(total),
        "missed": missed,
        "false_matches": total.false_matches if show.plan.is_rendered else None,
        "expected": expected,
        "first_match_s": _rounded(show.first_match_s),
        "seconds": round(show.streaming_s, 2),
        "rendered": show.plan.is_rendered,
        "cameras": {name: _counts(camera) for name, camera in show.tally.cameras.items()},
        "out": str(show.out),
    }


def is_good(outcome: dict[str, Any]) -> bool:
    """Nobody listed was missed and no stranger matched, as far as that is known."""
    return not outcome["missed"] and not outcome["false_matches"]


def _expected(tally: Tally, stopped_s: float) -> tuple[int, int]:
    """How many had to be matched, and how many of them were not."""
    if tally.plan.is_rendered:
        passes = [truth.passes(stopped_s) for truth in tally.truths.values()]
        return sum(whole for whole, _ in passes), sum(missed for _, missed in passes)
    listed = {wanted.reference for wanted in tally.plan.must_be_seen}
    return len(listed), len(listed - tally.matched)


def _counts(camera: CameraTally) -> dict[str, Any]:
    return {
        "frames": camera.frames,
        "faces": camera.faces,
        "superseded": camera.superseded,
        "matches": camera.matches,
        "latency_ms_p50": _rounded(percentile(camera.latencies_ms, 0.50)),
        "latency_ms_p99": _rounded(percentile(camera.latencies_ms, 0.99)),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
