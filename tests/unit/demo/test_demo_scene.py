from __future__ import annotations

from itertools import pairwise

import pytest

from cordon_demo.plan import STREETS
from cordon_demo.scene import FPS, PERIOD_S, Rectangle, Scene, make_scene
from cordon_demo.truth import Truth


@pytest.fixture
def scene() -> Scene:
    return make_scene("north", 11, 1, 6, first_s=1.5)


def face_at(scene: Scene, time_s: float) -> Rectangle:
    face = scene.listed[0].face(scene.view, time_s)
    assert face is not None
    return face


def test_the_listed_face_grows_from_40_to_160_pixels_while_it_can_be_recognised() -> None:
    for street in STREETS:
        scene = make_scene(street.camera, street.seed, 1, 6, street.first_s)
        walker = scene.listed[0]
        begin_s, end_s = walker.recognisable(scene.view)

        first = face_at(scene, walker.starts_s + begin_s + 0.01)
        last = face_at(scene, walker.starts_s + end_s - 0.01)

        assert first.width == pytest.approx(42, abs=1)
        assert last.width == pytest.approx(165, abs=5)
        assert first.x >= 0
        assert last.x + last.width <= 1280
        assert last.y + last.height <= 720


def test_a_walker_comes_nearer_all_the_time(scene: Scene) -> None:
    walker = scene.walkers[3]
    times = [walker.starts_s + i / FPS for i in range(int(walker.lasts_s * FPS))]

    depths = [pose.depth_m for t in times if (pose := walker.pose(t))]

    assert all(far > near for far, near in pairwise(depths))


def test_the_footage_repeats(scene: Scene) -> None:
    for walker in scene.walkers:
        now, later = walker.face(scene.view, 3.25), walker.face(scene.view, 3.25 + PERIOD_S)

        assert (now is None) == (later is None)
        assert now is None or later is None or now.overlap(later) > 0.999


def test_the_first_listed_can_be_recognised_when_asked() -> None:
    walker = make_scene("north", 5, 1, 6, first_s=2.0).listed[0]
    begin_s, _ = walker.recognisable(make_scene("north", 5, 1, 6).view)

    assert (walker.starts_s + begin_s) % PERIOD_S == pytest.approx(2.0, abs=1.0)


def test_overlap_is_one_for_the_same_and_nothing_for_strangers() -> None:
    here, there = Rectangle(0, 0, 10, 10), Rectangle(20, 0, 10, 10)

    assert here.overlap(here) == 1
    assert here.overlap(there) == 0
    assert here.overlap(Rectangle(5, 0, 10, 10)) == pytest.approx(1 / 3)


def test_a_match_on_the_listed_face_is_true_though_the_camera_started_a_second_early(
    scene: Scene,
) -> None:
    truth = Truth(scene, started_s=1000.0)

    assert truth.judge(0, 1001.5, face_at(scene, 2.5))
    assert truth.judge(0, 1002.0, face_at(scene, 3.0))


def test_a_match_on_a_stranger_is_false(scene: Scene) -> None:
    truth = Truth(scene, started_s=1000.0)
    stranger = scene.walkers[1]
    faces = [f for i in range(120) if (f := stranger.face(scene.view, i / FPS)) and f.width > 60]

    assert not any(truth.judge(0, 1000 + i / FPS, face) for i, face in enumerate(faces))


def test_a_match_when_the_listed_person_is_long_gone_is_false(scene: Scene) -> None:
    truth = Truth(scene, started_s=1000.0)
    assert truth.judge(0, 1002.0, face_at(scene, 2.0))

    assert not truth.judge(0, 1008.0, face_at(scene, 2.0))


def test_a_match_on_the_wrong_listed_person_is_false() -> None:
    scene = make_scene("north", 3, 2, 4)
    first = scene.listed[0]
    face = first.face(scene.view, 2.0)
    assert face is not None

    assert Truth(scene, 0.0).judge(first.head, 2.0, face)
    assert not Truth(scene, 0.0).judge(scene.listed[1].head, 2.0, face)


def test_every_whole_pass_without_a_match_is_missed(scene: Scene) -> None:
    truth = Truth(scene, started_s=0.0)

    assert truth.passes(until_s=27.0) == (1, 1)

    assert truth.judge(0, 2.0, face_at(scene, 2.0))
    assert truth.passes(until_s=27.0) == (2, 1)

    assert truth.judge(0, 2.0 + PERIOD_S, face_at(scene, 2.0 + PERIOD_S))
    assert truth.passes(until_s=27.0) == (2, 0)


def test_a_pass_that_was_cut_off_is_not_expected(scene: Scene) -> None:
    assert Truth(scene, started_s=0.0).passes(until_s=3.0) == (0, 0)
