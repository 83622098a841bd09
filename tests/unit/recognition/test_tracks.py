"""What is remembered of a person in front of a camera, and when it pays to look again."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cordon_server.domain import Box, Candidate, Face, Passed, Quality, sums
from cordon_server.recognition.decide import DecisionRule
from cordon_server.recognition.tracker import Tracker, TrackerRules
from cordon_server.recognition.tracks import (
    BETTER_BY,
    REFRESH_S,
    SHOTS_MAX,
    TRIES_S,
    YOUNG_S,
    YOUNG_TEMPLATES,
    CameraTracks,
    PersonTrack,
    Shot,
    shot_worth,
    view_worth,
)

RULE = DecisionRule(margin_min=0.04, observations_min=2, agreement_slack=0.05)
GOOD = Quality(0.9, inter_eye_px=30, sharpness=60, luminance=110, yaw_degrees=5, roll_degrees=2)
VIEW = 0.5


def _unit(*values: float) -> np.ndarray:
    vector = np.array(values, np.float32)
    return vector / np.linalg.norm(vector)


def _shot(worth: float, *values: float) -> Shot:
    return Shot(_unit(*(values or (1.0, 0.0))), worth)


def _found(score: float, entry: str = "a", margin: float = 0.2) -> Candidate:
    return Candidate(entry, f"{entry}/1", score, margin, threshold=0.5)


def _face(x: float) -> Face:
    return Face(Box(x, 50.0, 60.0, 60.0), np.zeros((5, 2), np.float32), 0.9)


def _with_template(view: float = VIEW, at_s: float = 0.0) -> PersonTrack:
    """A track no longer young, with shots of one worth."""
    track = PersonTrack(1)
    for _ in range(YOUNG_TEMPLATES):
        track.try_at(at_s)
        track.add(_shot(view), view)
    return track


def test_a_track_is_embedded_twice_when_young_and_then_left_alone() -> None:
    track, tried = PersonTrack(1), []
    for step in range(int(REFRESH_S * 25)):
        if track.wants(VIEW, step / 25):
            track.try_at(step / 25)
            track.add(_shot(VIEW), VIEW)
            tried.append(step / 25)

    assert tried == [0.0, pytest.approx(YOUNG_S, abs=0.041)]


def test_who_went_over_to_another_person_is_forgotten_and_the_new_one_is_looked_at() -> None:
    track = _with_template()
    track.observations["a"] = 2
    track.try_at(2.0)
    track.add(_shot(VIEW * 0.9, 0.0, 1.0), VIEW)

    np.testing.assert_array_equal(track.fused(), _unit(0.0, 1.0))
    assert track.observations == {}
    assert track.wants(VIEW, 2.0 + YOUNG_S + 0.01)


def test_a_poor_shot_that_looks_like_somebody_else_is_not_believed() -> None:
    track = _with_template()
    track.observations["a"] = 2
    track.try_at(2.0)
    track.add(_shot(VIEW * 0.3, 0.0, 1.0), VIEW)

    assert len(track.shots) == 3
    assert track.observations == {"a": 2}


def test_a_clearly_better_view_is_wanted_and_a_little_better_one_is_not() -> None:
    track = _with_template()

    assert not track.wants(VIEW * BETTER_BY * 0.99, 0.04)
    assert track.wants(VIEW * BETTER_BY * 1.01, 0.04)


def test_a_track_is_embedded_again_when_its_template_is_old() -> None:
    track = _with_template()

    assert not track.wants(VIEW / 10, REFRESH_S - 0.01)
    assert track.wants(VIEW / 10, REFRESH_S)


def test_who_waits_for_a_second_observation_is_embedded_on_the_next_frame() -> None:
    track = _with_template()

    assert track.decide(_found(0.7), _found(0.7), RULE) is None
    assert track.wants(VIEW, 0.04)
    track.try_at(0.04)
    track.add(_shot(VIEW), VIEW)
    assert track.decide(_found(0.7), _found(0.7), RULE) is not None
    assert not track.wants(VIEW, 0.08)


@pytest.mark.parametrize("has_shot", [False, True])
def test_a_failing_view_is_tried_again_soon_but_not_on_every_frame(has_shot: bool) -> None:
    track = _with_template() if has_shot else PersonTrack(1)
    track.is_waiting = has_shot
    better = VIEW * BETTER_BY * 2
    tries = 0
    for step in range(1, 26):
        if track.wants(better, step / 25):
            track.try_at(step / 25)
            tries += 1

    assert 4 <= tries <= 1 / TRIES_S + 1


def test_a_failed_view_does_not_raise_the_bar_for_the_next() -> None:
    track = _with_template()
    track.try_at(1.0)  # Large, but blurred: no template came of it.

    assert track.wants(VIEW * BETTER_BY * 1.01, 1.01 + TRIES_S)


@given(st.lists(st.floats(0.01, 1.0), min_size=1, max_size=10))
def test_the_best_shots_are_kept_and_never_more_than_three(worths: list[float]) -> None:
    track = PersonTrack(1)
    for worth in worths:
        track.try_at(0.0)
        track.add(_shot(worth), worth)

    kept = [shot.worth for shot in track.shots]
    assert SHOTS_MAX == 3
    assert kept == sorted(worths, reverse=True)[:SHOTS_MAX]
    assert track.best_view == max(worths)


VECTORS = st.tuples(st.floats(-1, 1), st.floats(-1, 1), st.floats(-1, 1)).filter(
    lambda v: np.linalg.norm(v) > 0.1
)


@given(st.lists(st.tuples(st.floats(0.01, 1.0), VECTORS), min_size=1, max_size=5))
def test_the_fused_template_has_length_one(
    shots: list[tuple[float, tuple[float, float, float]]],
) -> None:
    track = PersonTrack(1)
    for worth, values in shots:
        track.add(_shot(worth, *values), worth)

    fused = track.fused()

    assert fused.dtype == np.float32
    assert float(np.linalg.norm(fused)) == pytest.approx(1.0, abs=1e-5)


def test_shots_that_cancel_each_other_leave_the_best_one() -> None:
    track = PersonTrack(1, shots=[_shot(0.5, 1.0, 0.0), _shot(0.5, -1.0, 0.0)])

    np.testing.assert_array_equal(track.fused(), track.shots[0].vector)


def test_the_fused_template_leans_to_the_better_shot() -> None:
    track = PersonTrack(1)
    track.add(_shot(0.9, 1.0, 0.0), 0.9)
    track.add(_shot(0.3, 0.0, 1.0), 0.3)  # Too poor to be believed somebody else.

    np.testing.assert_allclose(track.fused(), _unit(3.0, 1.0), atol=1e-6)


@pytest.mark.parametrize("needed", [1, 2, 3])
def test_a_match_needs_as_many_observations_as_the_rule_says(needed: int) -> None:
    track, rule = PersonTrack(1), replace(RULE, observations_min=needed)

    decided = [track.decide(_found(0.7), _found(0.7), rule) for _ in range(needed)]

    assert decided[:-1] == [None] * (needed - 1)
    assert decided[-1] == _found(0.7)


@pytest.mark.parametrize(
    "shot", [None, _found(0.44), _found(0.9, "b")], ids=["nobody", "too low", "somebody else"]
)
def test_a_shot_that_does_not_agree_is_no_observation(shot: Candidate | None) -> None:
    track = PersonTrack(1)

    assert [track.decide(_found(0.7), shot, RULE) for _ in range(5)] == [None] * 5


def test_a_shot_within_the_slack_agrees() -> None:
    track = PersonTrack(1)

    assert track.decide(_found(0.7), _found(0.46), RULE) is None
    assert track.decide(_found(0.7), _found(0.46), RULE) is not None


@pytest.mark.parametrize(
    "fused", [_found(0.49), _found(0.7, margin=0.03), _found(float("nan"))], ids=str
)
def test_below_the_threshold_or_the_margin_no_number_of_observations_is_enough(
    fused: Candidate,
) -> None:
    track = PersonTrack(1)

    assert [track.decide(fused, _found(0.9), RULE) for _ in range(5)] == [None] * 5


def test_who_is_nobodys_candidate_is_not_waited_for() -> None:
    track = _with_template()
    track.decide(_found(0.3), _found(0.3), RULE)

    assert not track.is_waiting
    assert not track.wants(VIEW, 0.04)


def test_who_passes_is_offered_at_every_look() -> None:
    track = PersonTrack(1)
    track.decide(_found(0.6), _found(0.6), RULE)

    assert track.decide(_found(0.6), _found(0.6), RULE) is not None
    assert track.decide(_found(0.6), _found(0.6), RULE) is not None


def test_nothing_is_left_of_a_track_that_is_over() -> None:
    tracks = CameraTracks()
    (person,) = tracks.follow([_face(100)], 0.0)
    person.try_at(0.0)
    person.add(_shot(0.5), 0.5)
    template = weakref.ref(person.shots[0].vector)
    del person

    tracks.follow([], 0.9)
    gc.collect()
    assert template() is not None
    tracks.follow([], 1.1)
    gc.collect()

    assert template() is None
    assert len(tracks) == 0


def test_a_crowd_beyond_the_bound_leaves_no_track_behind() -> None:
    tracks = CameraTracks(tracker=Tracker(TrackerRules(tracks_max=4)))
    for step in range(20):
        people = tracks.follow([_face(200.0 * n) for n in range(10)], step / 25)
        assert len({person.number for person in people}) == 10
        assert len(tracks) <= 4

    tracks.follow([], 60.0)

    assert len(tracks) == 0


def test_a_person_keeps_the_track_object_from_frame_to_frame() -> None:
    tracks = CameraTracks()
    left, right = tracks.follow([_face(100), _face(400)], 0.0)

    again = tracks.follow([_face(402), _face(102)], 0.04)

    assert again[0] is right
    assert again[1] is left


@pytest.mark.serves("R16", "R20")
def test_everybody_is_counted_once_however_many_frames_show_them() -> None:
    tracks = CameraTracks(RULE)

    for frame in range(5):
        seen = tracks.follow([_face(100.0), _face(600.0)], 0.1 * frame)
        tracks.add(seen[0], _shot(1.0, 1.0, 0.0), VIEW)
    assert (tracks.begun, tracks.searched) == (2, 1)

    tracks.add(seen[0], _shot(1.0, 0.0, 1.0), VIEW)  # It went over to somebody else.
    tracks.follow([_face(100.0)], 60.0)  # Who came a minute later is not who was there.
    assert (tracks.begun, tracks.searched) == (4, 2)


def test_a_larger_more_frontal_and_sharper_view_is_worth_more() -> None:
    for better in (
        replace(GOOD, inter_eye_px=45.0),
        replace(GOOD, yaw_degrees=0.0),
    ):
        assert view_worth(better) > view_worth(replace(GOOD, yaw_degrees=-40.0))
    assert shot_worth(replace(GOOD, sharpness=80.0)) > shot_worth(replace(GOOD, sharpness=10.0))
    assert 0 < shot_worth(replace(GOOD, yaw_degrees=90.0, sharpness=0.0)) <= 1


@pytest.mark.serves("R28")
def test_who_is_gone_counts_once_by_the_best_view_and_by_the_likeness_of_strangers_alone() -> None:
    tracks = CameraTracks(tracker=Tracker(TrackerRules(lost_s_max=1.0)))
    stranger, listed, unlooked = tracks.follow([_face(50), _face(500), _face(900)], 0.0)
    for worth, score in ((0.5, 0.31), (0.8, 0.33), (0.6, 0.2)):
        tracks.add(stranger, _shot(worth), worth)
        stranger.decide(_found(score), None, RULE)
    tracks.add(listed, _shot(0.4), 0.4)
    tracks.add(listed, _shot(0.4), 0.4)
    for _ in range(2):
        listed.decide(_found(0.9), _found(0.9), RULE)
    listed.decide(_found(0.3), None, RULE)
    assert tracks.take_gone() is None

    tracks.follow([], 2.0)

    gone = tracks.take_gone()
    assert gone is not None
    assert not unlooked.shots
    assert gone == Passed(sums([0.8, 0.4]), sums([0.2]))
    assert tracks.take_gone() is None


@pytest.mark.serves("R28")
def test_two_people_on_one_track_are_two() -> None:
    tracks = CameraTracks()
    (track,) = tracks.follow([_face(50)], 0.0)
    tracks.add(track, _shot(0.5), 0.5)
    track.decide(_found(0.3), None, RULE)
    tracks.add(track, _shot(0.6, 0.0, 1.0), 0.6)
    track.decide(_found(0.1), None, RULE)

    first = tracks.take_gone()
    tracks.forget()
    second = tracks.take_gone()

    assert first is not None
    assert second is not None
    assert (first.quality.total, first.score.total) == (0.5, 0.3)
    assert (second.quality.total, second.score.total) == (0.6, 0.1)
