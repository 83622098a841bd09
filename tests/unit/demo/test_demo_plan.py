from __future__ import annotations

from pathlib import Path

import pytest

from cordon.v1.match_pb2 import BoundingBox, Match
from cordon_camera.camera_toml import PASSWORD_VARIABLE
from cordon_client.errors import ClientError, ExitCode
from cordon_demo.cameras import camera_command
from cordon_demo.plan import make_plan
from cordon_demo.scene import make_scene
from cordon_demo.tally import Tally, percentile
from cordon_demo.truth import Truth


def make_match(camera: str, entry: str, box: BoundingBox | None = None) -> Match:
    match = Match(camera=f"cameras/{camera}", entry=f"deployments/demo/entries/{entry}", box=box)
    match.captured_at.FromMilliseconds(2000)
    return match


def test_without_anything_asked_the_portrait_walks_down_two_streets() -> None:
    plan = make_plan([], [], 20)

    assert [wanted.reference for wanted in plan.wanted] == ["astronaut"]
    assert plan.walking == plan.wanted
    assert plan.cameras == ("north", "south")
    assert plan.must_be_seen == ()


def test_photos_of_one_name_are_people_of_their_own(tmp_path: Path) -> None:
    photos = [tmp_path / "a" / "me & you.jpg", tmp_path / "b" / "me & you.jpg"]
    for photo in photos:
        photo.parent.mkdir()
        photo.touch()

    plan = make_plan(photos, [], 20)

    assert [wanted.reference for wanted in plan.wanted] == ["me-you", "me-you-2"]


def test_with_ones_own_sources_the_wanted_must_be_seen_and_the_portrait_need_not(
    tmp_path: Path,
) -> None:
    photo = tmp_path / "me.jpg"
    photo.touch()

    assert make_plan([photo], ["webcam:0"], 20).must_be_seen[0].reference == "me"
    assert make_plan([], ["webcam:0", "a.mp4"], 20).must_be_seen == ()
    assert make_plan([], ["webcam:0", "a.mp4"], 20).cameras == ("source-1", "source-2")


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_a_time_that_is_none_is_a_usage_error(seconds: float) -> None:
    with pytest.raises(ClientError, match="no time") as caught:
        make_plan([], [], seconds)

    assert caught.value.exit_code is ExitCode.USAGE


def test_a_photo_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(ClientError, match="no photo") as caught:
        make_plan([tmp_path / "nobody.jpg"], [], 20)

    assert caught.value.exit_code is ExitCode.USAGE


def test_a_cameras_password_is_in_its_environment_and_not_among_its_arguments() -> None:
    command, environment = camera_command(
        Path("north"), "rtsp://viewer:s3cret@10.0.0.7:8554/h264/main"
    )

    assert not any("s3cret" in argument for argument in command)
    assert environment == {PASSWORD_VARIABLE: "s3cret"}
    assert command[-7:] == [
        "10.0.0.7", "--port", "8554", "--stream-path", "/h264/main", "--user", "viewer",
    ]  # fmt: skip


def test_recordings_start_again_at_their_end(tmp_path: Path) -> None:
    assert "--loop" in camera_command(Path("north"), str(tmp_path / "street.mp4"))[0]
    assert "--loop" in camera_command(Path("north"), str(tmp_path))[0]
    assert "--loop" not in camera_command(Path("north"), "webcam:0")[0]


def test_a_match_is_judged_by_what_the_footage_shows() -> None:
    scene = make_scene("north", 11, 1, 6)
    tally = Tally(make_plan([], [], 20), truths={"north": Truth(scene, started_s=0.0)})
    face = scene.listed[0].face(scene.view, 2.0)
    assert face is not None
    there = BoundingBox(x=face.x, y=face.y, width=face.width, height=face.height)

    assert tally.take_match(make_match("north", "astronaut", there), arrived_s=2.1) is True
    assert tally.take_match(make_match("north", "astronaut", BoundingBox()), 2.2) is False

    assert (tally.total.matches, tally.total.false_matches) == (2, 1)
    assert tally.total.latencies_ms == pytest.approx([100, 200])


def test_a_match_in_ones_own_footage_is_neither_true_nor_false() -> None:
    tally = Tally(make_plan([], ["webcam:0"], 20))

    assert tally.take_match(make_match("source-1", "astronaut"), arrived_s=2.5) is None

    assert tally.total.false_matches == 0
    assert tally.matched == {"astronaut"}


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = list(range(1, 101))

    assert percentile(values, 0.50) == 50
    assert percentile(values, 0.99) == 99
    assert percentile([7.0], 0.99) == 7
    assert percentile([], 0.5) is None
