"""How far frames are shrunk as they are decoded, and what that must not change."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg

from cordon_server.domain import Box, Face, FrameResult
from cordon_server.recognition.align import ARCFACE_POINTS, align, shrunk
from cordon_server.recognition.analyse import Analyser
from cordon_server.recognition.decode import Decoder, decode_picture
from cordon_server.recognition.detect import FaceDetector
from cordon_server.recognition.embed import Embedder
from cordon_server.recognition.models.sessions import Models
from cordon_server.recognition.probe import probe_jpeg
from cordon_server.recognition.shrink import Shrinking, enough, furthest
from cordon_server.recognition.tracks import CameraTracks
from tests.bench.accuracy import ExactGallery

FULL_HD = 640 / 1920


def _face(eyes_px: float) -> Face:
    points = ARCFACE_POINTS * np.float32(eyes_px / 35.24)
    return Face(Box(0, 0, 2 * eyes_px, 2 * eyes_px), points, 0.9)


@pytest.mark.parametrize(
    ("width", "shrink"), [(320, 1), (640, 1), (1279, 1), (1280, 2), (1920, 2), (3840, 4), (5120, 8)]
)
def test_a_frame_is_never_shrunk_below_what_the_detector_sees(width: int, shrink: int) -> None:
    assert furthest(640 / width) == shrink


@pytest.mark.parametrize(("eyes_px", "shrink"), [(30, 1), (70, 1), (71, 2), (141, 4), (500, 8)])
def test_a_crop_is_taken_where_it_has_all_pixels_that_a_crop_can_hold(
    eyes_px: float, shrink: int
) -> None:
    assert enough([_face(600), _face(eyes_px)]) == shrink


def test_frames_are_shrunk_until_too_many_of_them_are_needed_larger_and_again_later() -> None:
    shrinking = Shrinking()
    chosen = []
    for number in range(400):
        chosen.append(shrinking.choose(FULL_HD))
        is_busy = number < 200 and number % 2 == 0
        shrinking.note([_face(25)] if is_busy else [], FULL_HD)

    assert chosen[0] == 2
    assert set(chosen[50:200]) == {1}
    assert set(chosen[300:]) == {2}


def test_where_a_frame_is_much_larger_than_the_detector_shrinking_pays_for_longer() -> None:
    shrinking = Shrinking()
    for number in range(200):
        shrinking.note([_face(25)] if number % 2 else [], 640 / 3840)

    assert shrinking.choose(640 / 3840) == 4
    assert shrinking.choose(FULL_HD) == 1


@pytest.fixture(scope="module")
def scene(portrait: Path) -> bytes:
    """Full HD with one person, 120 pixels between the eyes."""
    canvas = np.full((1080, 1920, 3), 90, np.uint8)
    large = cv2.resize(decode_picture(portrait.read_bytes()), (750, 750))
    canvas[200:950, 500:1250] = large
    return bytes(simplejpeg.encode_jpeg(canvas, 90, "BGR", "420"))


def _watch(models: Models, jpeg: bytes) -> tuple[list[FrameResult], ExactGallery]:
    """Two looks at a still camera with that person listed."""
    gallery = ExactGallery(threshold=0.47)
    (probe,) = Analyser(models).probes(jpeg)
    gallery.add("wanted", probe.vector)
    analyser, tracks = Analyser(models), CameraTracks()
    return [analyser.analyse(jpeg, gallery, tracks, at) for at in (0.0, 0.5)], gallery


def test_a_large_face_has_the_same_template_in_a_shrunk_frame(models: Models, scene: bytes) -> None:
    picture, detector = Decoder().read(scene), FaceDetector(models)
    vectors = []
    for shrink in (1, 2):
        (face,) = detector.find(picture.at(shrink), shrink)
        crop = np.zeros((112, 112, 3), np.uint8)
        align(picture.at(shrink), shrunk(face.landmarks, shrink), crop)
        vectors += Embedder(models).embed([crop])

    one, other = vectors
    assert one is not None
    assert other is not None
    assert float(one @ other) > 0.97


def test_a_match_in_a_shrunk_frame_shows_the_person_at_full_size(
    models: Models, scene: bytes
) -> None:
    results, _ = _watch(models, scene)

    (sighting,) = results[1].sightings
    picture = Decoder().read(scene)
    (face,) = FaceDetector(models).find(picture.at(2), 2)
    assert sighting.candidate.score > 0.95
    assert sighting.probe_jpeg == probe_jpeg(picture.at(), face, [face])


def test_a_face_too_small_in_the_shrunk_frame_is_cut_from_the_full_one(
    models: Models, portrait: Path
) -> None:
    canvas = np.full((1080, 1920, 3), 90, np.uint8)
    canvas[200:450, 500:750] = decode_picture(portrait.read_bytes())
    jpeg = bytes(simplejpeg.encode_jpeg(canvas, 90, "BGR", "420"))
    picture, detector = Decoder().read(jpeg), FaceDetector(models)
    (face,) = detector.find(picture.at(2), 2)
    crop = np.zeros((112, 112, 3), np.uint8)
    align(picture.at(1), face.landmarks, crop)
    (vector,) = Embedder(models).embed([crop])
    assert vector is not None
    gallery = ExactGallery(threshold=0.47)
    gallery.add("wanted", vector)
    analyser, tracks = Analyser(models), CameraTracks()

    results = [analyser.analyse(jpeg, gallery, tracks, at) for at in (0.0, 0.5)]

    (sighting,) = results[1].sightings
    assert sighting.candidate.score == pytest.approx(1.0, abs=1e-3)
