from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from cordon_client.errors import ClientError
from cordon_demo.footage import frames, render, scene_of
from cordon_demo.heads import FACE_AT, head_from_photo
from cordon_demo.pairs import Pair, draw_pair, prepare_folder, write_pair
from cordon_demo.plan import STREETS, Street
from cordon_demo.portraits import asset_path, find_face
from cordon_demo.scene import FPS, HEIGHT_PX, WIDTH_PX, Rectangle

_, _JPEG = cv2.imencode(".jpg", np.full((160, 128, 3), 128, np.uint8))
PAIR = Pair(
    sequence=7,
    camera="north",
    reference="astronaut",
    captured_at=datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC),
    score=0.71,
    margin=0.71,
    threshold=0.45,
    latency_ms=81.0,
    face_px=64.0,
    is_true=True,
)


def test_a_pair_is_one_png_named_by_its_match(tmp_path: Path) -> None:
    path = write_pair(tmp_path, PAIR, _JPEG.tobytes(), _JPEG.tobytes())

    assert path.name == "match-0007-north.png"
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert picture.width >= 900


def test_a_pair_looks_the_same_every_time_and_shows_its_score() -> None:
    jpeg = _JPEG.tobytes()

    assert draw_pair(PAIR, jpeg, jpeg).tobytes() == draw_pair(PAIR, jpeg, jpeg).tobytes()
    other = replace(PAIR, score=0.52)
    assert draw_pair(PAIR, jpeg, jpeg).tobytes() != draw_pair(other, jpeg, jpeg).tobytes()


def test_the_folder_is_emptied_of_the_demos_own_pictures_alone(tmp_path: Path) -> None:
    ours = write_pair(tmp_path, PAIR, _JPEG.tobytes(), _JPEG.tobytes())
    foreign = tmp_path / "match-holiday.png"
    Image.new("RGB", (8, 8)).save(foreign)
    no_picture = tmp_path / "match-notes.png"
    no_picture.write_text("not a picture")

    prepare_folder(tmp_path)

    assert not ours.exists()
    assert foreign.exists()
    assert no_picture.exists()


def test_a_folder_that_cannot_be_made_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ClientError, match="cannot be written"):
        prepare_folder(tmp_path / "file" / "pictures")


def test_the_portraits_show_a_face_and_the_cat_shows_none() -> None:
    for name in ("astronaut", "admiral"):
        _, _, width, height = find_face(asset_path(name)).box
        assert width > 80
        assert height > 80
    with pytest.raises(ClientError, match="no face"):
        find_face(asset_path("cat"))


def test_a_text_file_is_refused_as_a_photo(tmp_path: Path) -> None:
    (tmp_path / "me.jpg").write_text("hello")

    with pytest.raises(ClientError, match="not a picture"):
        find_face(tmp_path / "me.jpg")


def test_a_cut_out_head_has_a_face_and_no_background() -> None:
    head = head_from_photo(find_face(asset_path("astronaut")))

    alpha = head[..., 3]
    assert alpha[FACE_AT[1], FACE_AT[0]] == 255
    assert alpha[:30].max() == 0
    assert alpha[:, :20].max() == 0
    assert 0.1 < (alpha > 127).mean() < 0.4


@pytest.mark.slow
@pytest.mark.parametrize("street", STREETS, ids=lambda street: street.camera)
def test_the_detector_sees_the_listed_face_where_the_scene_says_it_is(street: Street) -> None:
    scene, every = scene_of(street, 1), 10
    detector = cv2.FaceDetectorYN.create(_detector(), "", (WIDTH_PX, HEIGHT_PX), 0.6)
    shown = seen = 0
    for i, frame in enumerate(frames(scene, [asset_path("astronaut")], every)):
        assert frame.shape == (HEIGHT_PX, WIDTH_PX, 3)
        face = scene.listed[0].face(scene.view, i * every / FPS)
        if face is None or not 42 <= face.width <= 165:
            continue
        shown += 1
        _, found = detector.detect(frame)
        boxes = [] if found is None else found[:, :4].tolist()
        seen += any(face.overlap(Rectangle(*box)) > 0.4 for box in boxes)

    assert shown >= 2
    assert seen == shown


@pytest.mark.slow
def test_footage_is_jpeg_that_a_camera_can_pass_on_untouched(tmp_path: Path) -> None:
    import av

    out = tmp_path / "north.mkv"
    render(out, STREETS[0], [asset_path("astronaut")])

    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "mjpeg"
        assert stream.average_rate == FPS
        packets = [bytes(packet) for packet in container.demux(stream) if packet.size]
    assert len(packets) == 120
    assert all(packet.startswith(b"\xff\xd8") for packet in packets)


def _detector() -> str:
    from cordon_demo.portraits import _detector_file

    return str(_detector_file())
