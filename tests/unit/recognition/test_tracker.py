"""Track numbers: which faces of successive frames are one person's."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cordon_server.domain import Box, Face
from cordon_server.recognition.tracker import Tracker, TrackerRules

RATES = (4.0, 8.0, 25.0)


def _face(x: float, y: float = 100.0, width: float = 60.0, score: float = 0.9) -> Face:
    """A face by its centre."""
    box = Box(x - width / 2, y - width * 0.65, width, width * 1.3)
    return Face(box, np.zeros((5, 2), np.float32), score)


def _numbers(tracker: Tracker, faces: Sequence[Face], taken_s: float) -> list[int]:
    return tracker.update(faces, taken_s)[0]


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("widths_a_second", [0.0, 1.0, 3.0])
def test_a_walker_keeps_the_number_at_every_frame_rate(fps: float, widths_a_second: float) -> None:
    tracker = Tracker()
    walk = [_face(100 + 60 * widths_a_second * step / fps) for step in range(60)]

    numbers = {_numbers(tracker, [face], step / fps)[0] for step, face in enumerate(walk)}

    assert len(numbers) == 1


@pytest.mark.parametrize("fps", RATES)
def test_two_who_cross_in_front_of_each_other_keep_their_numbers(fps: float) -> None:
    tracker = Tracker()
    seen = set()
    for step in range(int(6 * fps)):
        at = step / fps
        right, left = _face(100 + 90 * at, 200), _face(640 - 90 * at, 215)
        seen.add(tuple(_numbers(tracker, [right, left], at)))

    assert len(seen) == 1


def test_one_hidden_behind_the_other_while_crossing_comes_out_with_the_own_number() -> None:
    tracker = Tracker()
    ends: list[tuple[int, int]] = []
    for step in range(75):
        at = step / 25
        near, far = _face(100 + 180 * at, 200), _face(640 - 180 * at, 200)
        is_hidden = abs(near.box.x - far.box.x) < 30
        numbers = _numbers(tracker, [near] if is_hidden else [near, far], at)
        if not is_hidden:
            ends.append((numbers[0], numbers[1]))

    assert ends[0] == ends[-1]


@pytest.mark.parametrize(("gap_s", "is_bridged"), [(0.3, True), (0.9, True), (1.1, False)])
@pytest.mark.parametrize("has_empty_frames", [True, False])
def test_a_gap_up_to_the_limit_is_bridged_and_a_longer_one_is_not(
    gap_s: float, is_bridged: bool, has_empty_frames: bool
) -> None:
    """With empty frames between, and with no frame at all: a stalled camera's next visitor."""
    tracker = Tracker()
    for step in range(10):
        (before,) = _numbers(tracker, [_face(100)], step * 0.04)
    if has_empty_frames:
        tracker.update([], 0.36 + gap_s / 2)

    numbers, over = tracker.update([_face(100)], 0.36 + gap_s)

    assert (numbers == [before]) is is_bridged
    assert (before in over) is not is_bridged


def test_a_weak_detection_continues_a_track_and_does_not_take_it_from_a_sure_one() -> None:
    tracker = Tracker()
    (number,) = _numbers(tracker, [_face(100)], 0.0)

    assert _numbers(tracker, [_face(102, score=0.6)], 0.04) == [number]
    both = _numbers(tracker, [_face(106, score=0.6), _face(112, score=0.9)], 0.08)

    assert both[1] == number
    assert both[0] != number


def test_a_face_of_quite_another_size_is_somebody_else() -> None:
    tracker = Tracker()
    (number,) = _numbers(tracker, [_face(100, width=40)], 0.0)

    assert _numbers(tracker, [_face(100, width=90)], 0.04) != [number]


def test_a_face_that_leaves_over_the_left_or_upper_edge_keeps_its_number() -> None:
    tracker = Tracker()

    numbers = {
        _numbers(tracker, [_face(60 - 3 * step, 60 - 3 * step)], step / 25)[0] for step in range(30)
    }

    assert len(numbers) == 1


@pytest.mark.parametrize("jump_s", [-1e9, -25.0, -0.02, 0.0])
def test_a_clock_set_back_neither_breaks_a_track_nor_lets_one_outlive_its_time(
    jump_s: float,
) -> None:
    tracker = Tracker()
    walk = [_face(100 + 4 * step) for step in range(60)]
    before = {_numbers(tracker, [face], step / 25)[0] for step, face in enumerate(walk[:30])}

    after = {
        _numbers(tracker, [face], jump_s + step / 25)[0]
        for step, face in enumerate(walk[30:], start=30)
    }
    _, over = tracker.update([], jump_s + 60 / 25 + 1.2)

    assert before == after
    assert set(over) == after


def test_a_clock_that_jumps_ahead_ends_the_tracks_and_no_more() -> None:
    tracker = Tracker()
    (number,) = _numbers(tracker, [_face(100)], 0.0)

    numbers, over = tracker.update([_face(100)], 1e12)

    assert over == [number]
    assert _numbers(tracker, [_face(101)], 1e12 + 0.04) == numbers


def test_time_never_runs_back() -> None:
    tracker = Tracker()
    times = []
    for taken_s in (5.0, 6.0, 3.0, 3.5, -1e9, -1e9 + 1.0):
        tracker.update([], taken_s)
        times.append(tracker.now_s)

    assert times == [0.0, 1.0, 1.0, 1.5, 1.5, 2.5]


def test_tracks_are_bounded_and_what_is_beyond_is_told_as_over() -> None:
    tracker = Tracker(TrackerRules(tracks_max=5))
    first, _ = tracker.update([_face(100 + 200 * n) for n in range(3)], 0.0)

    crowd = [_face(100 + 200 * n, 900) for n in range(9)]
    numbers, over = tracker.update(crowd, 0.04)

    assert len(set(numbers)) == len(crowd)
    kept = (set(numbers) | set(first)) - set(over)
    assert len(kept) == 5
    assert kept <= set(numbers), "those lost longest go first"


FACES = st.lists(
    st.builds(
        lambda x, y, width, height, score: Face(
            Box(x, y, width, height), np.zeros((5, 2), np.float32), score
        ),
        st.floats(-1e5, 1e5) | st.sampled_from([0.0, 10.0]),
        st.floats(-1e5, 1e5) | st.sampled_from([0.0, 10.0]),
        st.floats(0, 1e6) | st.sampled_from([0.0, 1e-30, 50.0]),
        st.floats(0, 1e6) | st.sampled_from([0.0, 1e-30, 50.0]),
        st.floats(0, 1),
    ),
    max_size=8,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(FACES, st.floats(-1e10, 1e10) | st.floats(0, 2)), max_size=8))
def test_every_face_has_exactly_one_track_whatever_the_boxes_and_the_clock(
    frames: list[tuple[list[Face], float]],
) -> None:
    tracker = Tracker(TrackerRules(tracks_max=6))
    ended: set[int] = set()
    alive: set[int] = set()
    for faces, taken_s in frames:
        numbers, over = tracker.update(faces, taken_s)

        assert len(numbers) == len(faces)
        assert len(set(numbers)) == len(numbers), "two faces share a track"
        assert not ended & set(numbers), "an ended track comes back"
        assert len(set(over)) == len(over)
        alive = (alive | set(numbers)) - set(over)
        ended |= set(over)
        assert len(alive) <= 6
        assert math.isfinite(tracker.now_s)
