"""Finding, aligning and measuring faces."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cordon_server.domain import Box, Face
from cordon_server.recognition.align import ARCFACE_POINTS, align, similarity
from cordon_server.recognition.decode import decode_picture
from cordon_server.recognition.detect import FaceDetector, Grid, candidates, suppress
from cordon_server.recognition.embed import Embedder, unit
from cordon_server.recognition.models import graph
from cordon_server.recognition.models.pack import load_pack
from cordon_server.recognition.models.prepare import CROP_SIZE, parse
from cordon_server.recognition.models.sessions import Models
from cordon_server.recognition.quality import geometry, measure
from tests.data import shared_data


@pytest.fixture(scope="module")
def street() -> np.ndarray:
    """A frame of a street camera, 1920x1080, faces of 42 to 99 pixels."""
    capture = cv2.VideoCapture(str(shared_data("videos", "walking", "covent_garden_1080p.mp4")))
    capture.set(cv2.CAP_PROP_POS_FRAMES, 24)
    is_there, frame = capture.read()
    assert is_there
    return frame


def _overlap(one: Box, other: Box) -> float:
    across = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    down = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    shared = max(0.0, across) * max(0.0, down)
    return shared / (one.width * one.height + other.width * other.height - shared)


def test_walkers_in_a_full_hd_street_are_found_where_a_larger_input_finds_them(
    models: Models, street: np.ndarray
) -> None:
    reference = FaceDetector(models, width=1280, height=736, score_min=0.8).find(street)
    large = [face for face in reference if face.box.width >= 55]

    found = FaceDetector(models).find(street)

    assert len(large) >= 4
    for face in large:
        assert max(_overlap(face.box, other.box) for other in found) > 0.6


def test_the_prepared_models_agree_with_opencvs_own_detector_and_recogniser(
    float_models: Models, portrait: Path, tmp_path: Path
) -> None:
    files = {}
    for name, file in (
        ("detector", float_models.pack.detector),
        ("embedder", float_models.pack.embedder),
    ):
        model = parse(file.read(), name)
        graph.fold_constants(model)
        files[name] = tmp_path / f"{name}.onnx"
        files[name].write_bytes(model.SerializeToString())
    image = cv2.resize(decode_picture(portrait.read_bytes()), (384, 384))
    canvas = np.zeros((384, 640, 3), np.uint8)
    canvas[:, :384] = image
    theirs = cv2.FaceDetectorYN.create(str(files["detector"]), "", (640, 384), 0.6, 0.3)
    recogniser = cv2.FaceRecognizerSF.create(str(files["embedder"]), "")
    row = theirs.detect(canvas)[1][0]
    expected = recogniser.feature(recogniser.alignCrop(canvas, row))[0]

    face = FaceDetector(float_models).find(canvas)[0]
    crop = np.zeros((112, 112, 3), np.uint8)
    align(canvas, face.landmarks, crop)
    vector = Embedder(float_models).embed([crop])[0]

    np.testing.assert_allclose(face.landmarks.reshape(-1), row[4:14], atol=0.1)
    assert vector is not None
    assert float(vector @ expected) / float(np.linalg.norm(expected)) > 0.999


def test_a_portrait_picture_is_searched_upright(models: Models, portrait: Path) -> None:
    image = decode_picture(portrait.read_bytes())
    tall = np.zeros((900, 300, 3), np.uint8)
    tall[600:850, 20:270] = image

    faces = FaceDetector(models).find(tall)

    assert len(faces) == 1
    assert faces[0].box.y > 600


def test_a_smaller_picture_after_a_larger_one_sees_nothing_of_it(
    models: Models, portrait: Path
) -> None:
    detector = FaceDetector(models)
    image = decode_picture(portrait.read_bytes())
    wide = np.concatenate([np.zeros_like(image), image], axis=1)
    assert detector.find(wide)

    assert detector.find(np.zeros((20, 300, 3), np.uint8)) == []


def test_detector_outputs_of_any_size_overflow_nothing() -> None:
    grid = Grid(64, 64)
    cells = np.full((len(grid.places), 16), 1e30, np.float32)
    cells[:64, 6:] = np.nan

    rows = candidates(cells, grid, 0.6)

    assert np.isfinite(rows).all()


def test_a_cell_says_where_its_face_is_on_the_grid_of_its_stride() -> None:
    grid = Grid(96, 64)
    cells = np.zeros((len(grid.places), 16), np.float32)
    cells[96 + 24 + 4] = [1, 1, 0.5, 0.25, 0, 0, *range(10)]  # Second column, second row of 32s.

    (row,) = candidates(cells, grid, 0.6)

    assert row[:5].tolist() == [1, 32, 24, 32, 32]
    assert row[5:].reshape(5, 2).tolist() == [[32 + 64 * i, 64 + 64 * i] for i in range(5)]


def test_of_overlapping_boxes_the_best_stays() -> None:
    rows = np.zeros((3, 15), np.float32)
    rows[:, 0] = (0.9, 0.8, 0.7)
    rows[:, 1:5] = ([0, 0, 10, 10], [1, 1, 10, 10], [20, 0, 10, 10])

    assert suppress(rows, 0.3)[:, 0].tolist() == pytest.approx([0.9, 0.7])


@given(
    st.floats(0.05, 20), st.floats(-math.pi, math.pi), st.floats(-500, 500), st.floats(-500, 500)
)
def test_alignment_undoes_any_turn_scale_and_shift(
    scale: float, turn: float, x: float, y: float
) -> None:
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    landmarks = (ARCFACE_POINTS @ rotation.T * scale + (x, y)).astype(np.float32)

    matrix = similarity(landmarks)

    back = landmarks @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(back, ARCFACE_POINTS, atol=0.05)


def test_alignment_is_the_least_squares_similarity() -> None:
    landmarks = ARCFACE_POINTS + np.random.default_rng(5).normal(0, 4, (5, 2)).astype(np.float32)
    rows, targets = [], []
    for (x, y), (u, v) in zip(landmarks, ARCFACE_POINTS, strict=True):
        rows += [[x, -y, 1, 0], [y, x, 0, 1]]
        targets += [u, v]
    a, b, tx, ty = np.linalg.lstsq(np.array(rows), np.array(targets), rcond=None)[0]

    np.testing.assert_allclose(similarity(landmarks), [[a, -b, tx], [b, a, ty]], atol=1e-3)


def test_a_face_many_times_its_crop_is_averaged_not_skipped(portrait: Path, models: Models) -> None:
    image = decode_picture(portrait.read_bytes())
    face = FaceDetector(models).find(image)[0]
    large = cv2.resize(image, None, fx=8, fy=8, interpolation=cv2.INTER_CUBIC)
    noise = np.random.default_rng(6).normal(0, 60, large.shape)
    noisy = np.clip(large + noise, 0, 255).astype(np.uint8)
    clean, found = np.zeros((112, 112, 3), np.uint8), np.zeros((112, 112, 3), np.uint8)

    align(image, face.landmarks, clean)
    align(noisy, (face.landmarks + 0.5) * 8 - 0.5, found)

    assert np.abs(clean.astype(int) - found).mean() < 12


@pytest.mark.parametrize("spread", [0.0, 1e-6, 1e6])
def test_degenerate_landmarks_crash_nothing(spread: float) -> None:
    crop = np.zeros((112, 112, 3), np.uint8)
    landmarks = (np.ones((5, 2)) + ARCFACE_POINTS * spread).astype(np.float32)

    align(np.zeros((50, 50, 3), np.uint8), landmarks, crop)

    assert crop.max() == 0
    assert CROP_SIZE == 112


def _face(nose_x: float, tilt: float = 0.0) -> Face:
    points = np.array([[40, 50], [60, 50], [nose_x, 60], [42, 75], [58, 75]], np.float32)
    turn = np.array([[math.cos(tilt), -math.sin(tilt)], [math.sin(tilt), math.cos(tilt)]])
    return Face(Box(30, 30, 40, 60), (points @ turn.T).astype(np.float32), 0.9)


def test_a_face_seen_from_the_front_has_no_yaw() -> None:
    quality = geometry(_face(50))

    assert quality.yaw_degrees == pytest.approx(0, abs=1e-6)
    assert quality.inter_eye_px == pytest.approx(20)


def test_yaw_grows_with_the_nose_aside_and_tilt_does_not_change_it() -> None:
    assert geometry(_face(62)).yaw_degrees == pytest.approx(45, abs=1)
    assert geometry(_face(38)).yaw_degrees == pytest.approx(-45, abs=1)
    assert geometry(_face(62, 0.5)).yaw_degrees == pytest.approx(45, abs=1)
    assert geometry(_face(62, 0.5)).roll_degrees == pytest.approx(math.degrees(0.5), abs=0.1)


def test_blur_lowers_sharpness_and_dimming_lowers_luminance(portrait: Path, models: Models) -> None:
    image = decode_picture(portrait.read_bytes())
    face = FaceDetector(models).find(image)[0]
    crop = np.zeros((112, 112, 3), np.uint8)
    align(image, face.landmarks, crop)

    plain = measure(face, crop)
    blurred = measure(face, cv2.GaussianBlur(crop, (0, 0), 3).astype(np.uint8))
    dim = measure(face, (crop * 0.3).astype(np.uint8))

    assert blurred.sharpness < plain.sharpness / 4
    assert dim.luminance == pytest.approx(plain.luminance * 0.3, abs=2)
    grey = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
    assert plain.sharpness == pytest.approx(cv2.Laplacian(grey, cv2.CV_64F).var(), rel=1e-4)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, 1e20])
def test_a_feature_that_is_not_sane_makes_no_template(value: float) -> None:
    assert unit(np.full(128, value, np.float32)) is None


def test_templates_are_unit_vectors(models: Models) -> None:
    crops = np.random.default_rng(7).integers(0, 255, (3, 112, 112, 3), np.uint8)

    vectors = Embedder(models).embed(list(crops))

    assert all(v is not None and abs(float(v @ v) - 1) < 1e-5 for v in vectors)


def test_the_built_in_pack_is_the_one_measured() -> None:
    assert load_pack().score_threshold == pytest.approx(0.465)
