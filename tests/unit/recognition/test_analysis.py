"""Frames to matches and photographs to templates, on real faces."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg
from PIL import Image as Pillow

from cordon_server.domain import Box, Face, FaceCounts, InvalidFrame, ReasonCode, UnusablePicture
from cordon_server.recognition.analyse import Analyser, AnalyserSettings
from cordon_server.recognition.decide import DecisionRule
from cordon_server.recognition.decode import Decoder, decode_picture
from cordon_server.recognition.detect import FaceDetector
from cordon_server.recognition.enrol import Enroller
from cordon_server.recognition.models.sessions import Models
from cordon_server.recognition.probe import blur_other, crop_area, probe_jpeg
from cordon_server.recognition.tracks import CameraTracks
from cordon_server.recognition.zone import Zone
from tests.bench.accuracy import ExactGallery
from tests.bench.clips import jpegs
from tests.data import shared_data

PEOPLE = ("Aaron_Patterson", "Abner_Martinez", "Aby_Har-Even")


@pytest.fixture(scope="module")
def enroller(models: Models) -> Enroller:
    return Enroller(models)


def _photograph(lfw: Path, name: str, number: int = 1) -> bytes:
    return (lfw / name / f"{name}_{number:04d}.jpg").read_bytes()


def _side_by_side(lfw: Path, names: tuple[str, ...]) -> np.ndarray:
    return np.concatenate([decode_picture(_photograph(lfw, n))[30:220, 50:200] for n in names], 1)


def _jpeg(image: np.ndarray, quality: int = 92) -> bytes:
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality, "BGR"))


@pytest.fixture(scope="module")
def gallery(enroller: Enroller, lfw: Path) -> ExactGallery:
    """Listed: the first of PEOPLE."""
    gallery = ExactGallery(threshold=0.47)
    gallery.add("wanted", enroller.examine(_photograph(lfw, PEOPLE[0])).template.vector)
    return gallery


def test_the_listed_person_is_sighted_and_the_others_are_only_counted(
    models: Models, lfw: Path, gallery: ExactGallery
) -> None:
    scene = _side_by_side(lfw, PEOPLE)

    result = Analyser(models).analyse(_jpeg(scene), gallery)

    assert result.counts == FaceCounts(searched=3, embedded=3, people=3, people_searched=3)
    (sighting,) = result.sightings
    assert sighting.candidate.entry_id == "wanted"
    assert sighting.candidate.score > 0.8
    assert sighting.box.x + sighting.box.width / 2 < 150


@pytest.mark.serves("R1", "R28")
def test_of_people_who_are_gone_sums_are_told_and_the_listed_are_in_no_score(
    models: Models, lfw: Path, gallery: ExactGallery
) -> None:
    scene, empty = _jpeg(_side_by_side(lfw, PEOPLE)), _jpeg(np.zeros((100, 200, 3), np.uint8))
    analyser, tracks = Analyser(models), CameraTracks(DecisionRule(observations_min=1))

    still = analyser.analyse(scene, gallery).passed
    there = analyser.analyse(scene, gallery, tracks, 1.0).passed
    gone = analyser.analyse(empty, gallery, tracks, 9.0).passed

    assert there is None
    for passed in (still, gone):
        assert passed is not None
        assert (passed.quality.count, passed.score.count) == (3, 2)
        assert 0.2 < passed.quality.mean <= 1.2
        assert passed.score.mean < 0.47


@pytest.mark.serves("R7")
def test_whoever_is_outside_the_zone_is_counted_and_not_searched(
    models: Models, lfw: Path, gallery: ExactGallery
) -> None:
    scene = _jpeg(_side_by_side(lfw, PEOPLE))
    right = Zone(((0.34, 0.0), (1.0, 1.0)))
    tracks = CameraTracks(DecisionRule(observations_min=1))

    still = Analyser(models).analyse(scene, gallery, zone=right)
    tracked = Analyser(models).analyse(scene, gallery, tracks, 1.0, right)
    left = Analyser(models).analyse(scene, gallery, zone=Zone(((0.0, 0.0), (0.33, 1.0))))

    for result in (still, tracked):
        assert (result.counts.searched, result.counts.outside_zone) == (2, 1)
        assert result.counts.detected == 3
        assert result.sightings == ()
    assert (left.counts.searched, left.counts.outside_zone, len(left.sightings)) == (1, 2, 1)


def test_with_nobody_listed_nothing_is_sighted(models: Models, lfw: Path) -> None:
    result = Analyser(models).analyse(_jpeg(_side_by_side(lfw, PEOPLE)), ExactGallery(0.47))

    assert result.counts.searched == 3
    assert result.sightings == ()


def test_a_frame_without_faces_counts_none(models: Models, gallery: ExactGallery) -> None:
    result = Analyser(models).analyse(_jpeg(np.zeros((100, 200, 3), np.uint8)), gallery)

    assert result.counts.detected == 0


def test_faces_beyond_the_limit_are_shed_and_the_largest_stay(
    models: Models, lfw: Path, gallery: ExactGallery
) -> None:
    scene = _side_by_side(lfw, PEOPLE)
    scene[:, 150:] = cv2.resize(
        np.pad(scene[:, 150:], ((0, 60), (0, 95), (0, 0))), (300, 190)
    )  # The unlisted, smaller.

    settings = AnalyserSettings(faces_per_frame_max=1)
    result = Analyser(models, settings).analyse(_jpeg(scene), gallery)

    assert result.counts == FaceCounts(searched=1, embedded=1, shed=2, people=3, people_searched=1)
    assert [s.candidate.entry_id for s in result.sightings] == ["wanted"]


def test_small_and_blurred_faces_end_in_their_own_counts(
    models: Models, lfw: Path, gallery: ExactGallery
) -> None:
    scene = _side_by_side(lfw, PEOPLE[:2])
    scene[:, :150] = cv2.GaussianBlur(scene[:, :150], (0, 0), 6)
    small = cv2.resize(scene, None, fx=0.2, fy=0.2, interpolation=cv2.INTER_AREA)
    canvas = np.zeros((400, 640, 3), np.uint8)
    canvas[:190, :300] = scene
    canvas[300 : 300 + small.shape[0], 400 : 400 + small.shape[1]] = small

    counts = Analyser(models).analyse(_jpeg(canvas), gallery).counts

    assert counts.searched == 1
    assert counts.too_poor + counts.too_small == counts.detected - 1


def test_a_damaged_frame_is_invalid_and_the_next_one_is_analysed(
    models: Models, lfw: Path, gallery: ExactGallery
) -> None:
    analyser = Analyser(models)
    frame = _jpeg(_side_by_side(lfw, PEOPLE))

    with pytest.raises(InvalidFrame):
        analyser.analyse(frame[:-100], gallery)

    assert analyser.analyse(frame, gallery).counts.searched == 3


def test_a_frame_leaves_nothing_in_the_next_result(
    models: Models, lfw: Path, gallery: ExactGallery
) -> None:
    analyser = Analyser(models)
    alone = Analyser(models).analyse(_photograph(lfw, PEOPLE[0]), gallery)
    analyser.analyse(_jpeg(_side_by_side(lfw, PEOPLE)), gallery)

    after = analyser.analyse(_photograph(lfw, PEOPLE[0]), gallery)

    assert after.counts == alone.counts
    assert after.sightings[0].candidate == alone.sightings[0].candidate
    assert after.sightings[0].probe_jpeg == alone.sightings[0].probe_jpeg


def test_every_stage_is_timed(models: Models, lfw: Path, gallery: ExactGallery) -> None:
    analyser = Analyser(models)

    analyser.analyse(_photograph(lfw, PEOPLE[0]), gallery)

    stages = analyser.stage_seconds.items()
    assert all(seconds > 0 for stage, seconds in stages if stage != "track")


@pytest.mark.serves("R21")
def test_in_the_probe_picture_the_other_faces_are_beyond_recognition(
    models: Models, enroller: Enroller, lfw: Path
) -> None:
    scene = _side_by_side(lfw, (PEOPLE[1], PEOPLE[0], PEOPLE[2]))
    scene = np.ascontiguousarray(scene[:, 20:430])
    others = ExactGallery(threshold=0.3)
    for name in PEOPLE[1:]:
        others.add(name, enroller.examine(_photograph(lfw, name)).template.vector)
    detector = FaceDetector(models, score_min=0.2)
    faces = sorted(FaceDetector(models).find(scene), key=lambda f: f.box.x)
    assert len(faces) == 3

    for margin_scene, face in ((scene, faces[1]),):
        jpeg = probe_jpeg(margin_scene, face, faces)
        found = Analyser(models, AnalyserSettings(detection_score_min=0.2)).probes(jpeg)
        scores = [others.search(p.vector[None])[0] for p in found]
        assert all(c is not None and c.score < 0.3 for c in scores)

    whole = scene.copy()
    for other in (faces[0], faces[2]):
        blur_other(whole, faces[1].box, other.box)
    visible = [f for f in detector.find(whole) if _overlaps(f.box, faces[0].box)]
    for face in visible:
        assert face.detection_score < 0.6
    kept = _inner(whole, faces[1].box)
    assert (kept == _inner(scene, faces[1].box)).all()
    for other in (faces[0], faces[2]):
        before, after = (_detail(_inner(image, other.box)) for image in (scene, whole))
        assert after < before / 50


def _overlaps(one: Box, other: Box) -> bool:
    return abs(one.x - other.x) < other.width / 2 and abs(one.y - other.y) < other.height / 2


def _inner(image: np.ndarray, box: Box) -> np.ndarray:
    """The middle of a face."""
    x, y = int(box.x + box.width / 4), int(box.y + box.height / 4)
    return image[y : y + int(box.height / 2), x : x + int(box.width / 2)]


def _detail(image: np.ndarray) -> float:
    return float(cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.CV_64F).var())


@pytest.mark.serves("R21")
def test_a_small_face_before_a_large_one_is_blurred_whole() -> None:
    image = np.random.default_rng(8).integers(0, 255, (200, 200, 3), np.uint8)
    large, small = Box(20, 20, 160, 160), Box(90, 120, 30, 30)

    blurred = image.copy()
    blur_other(blurred, large, small)

    assert _detail(blurred[125:145, 95:115]) < _detail(image[125:145, 95:115]) / 50
    assert (blurred[30:80, 40:160] == image[30:80, 40:160]).all()


@pytest.mark.parametrize(
    "box", [Box(-50, -50, 20, 20), Box(90, 90, 500, 500), Box(0, 0, 0.5, 0.5), Box(300, 5, 9, 9)]
)
def test_boxes_at_and_beyond_the_edge_crash_nothing(box: Box) -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    left, top, right, bottom = crop_area(box, 100, 100)

    blur_other(image, Box(40, 40, 20, 20), box)

    assert 0 <= left < right <= 100
    assert 0 <= top < bottom <= 100
    assert probe_jpeg(image, Face(box, np.zeros((5, 2), np.float32), 0.9), [])[:2] == b"\xff\xd8"


def test_probe_pictures_are_at_most_320_pixels_and_carry_no_metadata() -> None:
    image = np.zeros((2000, 3000, 3), np.uint8)
    face = Face(Box(500, 500, 900, 1100), np.zeros((5, 2), np.float32), 0.9)

    picture = Pillow.open(io.BytesIO(probe_jpeg(image, face, [])))

    assert max(picture.size) == 320
    assert not picture.getexif()


def test_a_portrait_enrols_as_its_own_probe(enroller: Enroller, models: Models, lfw: Path) -> None:
    photograph = _photograph(lfw, PEOPLE[0])

    examined = enroller.examine(photograph)

    (probe,) = Analyser(models).probes(photograph)
    assert examined.template.model_id == models.pack.model_id
    assert float(examined.template.vector @ probe.vector) > 0.9
    assert examined.box.width == pytest.approx(probe.face.box.width, rel=0.2)
    assert examined.face_jpeg[:2] == b"\xff\xd8"


@pytest.mark.serves("R23")
def test_two_people_side_by_side_are_several_unless_a_point_tells(
    enroller: Enroller, lfw: Path
) -> None:
    photograph = _jpeg(_side_by_side(lfw, PEOPLE[:2]))
    alone = enroller.examine(_photograph(lfw, PEOPLE[1])).template.vector

    with pytest.raises(UnusablePicture) as caught:
        enroller.examine(photograph)
    second = enroller.examine(photograph, point=(225.0, 100.0))

    assert [r.code for r in caught.value.reasons] == [ReasonCode.SEVERAL_FACES]
    assert float(second.template.vector @ alone) > 0.9


@pytest.mark.serves("R23")
def test_a_poor_photograph_is_refused_with_every_reason(enroller: Enroller, lfw: Path) -> None:
    image = decode_picture(_photograph(lfw, PEOPLE[0]))
    poor = cv2.GaussianBlur((image * 0.25).astype(np.uint8), (0, 0), 2.5)

    with pytest.raises(UnusablePicture) as caught:
        enroller.examine(_jpeg(poor))

    assert {r.code for r in caught.value.reasons} >= {ReasonCode.BLURRED, ReasonCode.TOO_DARK}


def test_a_photograph_without_a_face_and_one_that_is_none_are_refused(enroller: Enroller) -> None:
    for data, code in (
        (_jpeg(np.full((200, 200, 3), 90, np.uint8)), ReasonCode.NO_FACE),
        (b"no picture", ReasonCode.NOT_AN_IMAGE),
    ):
        with pytest.raises(UnusablePicture) as caught:
            enroller.examine(data)
        assert caught.value.reasons[0].code is code


def test_many_threads_may_enrol_at_once(enroller: Enroller, lfw: Path) -> None:
    photographs = [_photograph(lfw, name) for name in PEOPLE] * 2
    alone = [enroller.examine(p).template.vector for p in photographs]

    with ThreadPoolExecutor(3) as pool:
        together = [e.template.vector for e in pool.map(enroller.examine, photographs)]

    np.testing.assert_allclose(together, alone, atol=1e-6)


CLIPS = (
    ("walking", "covent_garden_1080p.mp4"),
    ("tiny_faces", "revolving_door_360p.mp4"),
    ("labelled", "miranda_lacamoire_360p.mp4"),
)


@pytest.mark.slow
@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: clip[1])
@pytest.mark.parametrize("faces_max", [64, 2])
def test_every_face_of_a_video_ends_in_exactly_one_count_tracked_or_not(
    models: Models, gallery: ExactGallery, clip: tuple[str, str], faces_max: int
) -> None:
    frames = list(islice(jpegs(shared_data("videos", *clip)), 0, 60, 4))
    analyser = Analyser(models, AnalyserSettings(faces_per_frame_max=faces_max))
    decoder, detector, tracks = Decoder(), FaceDetector(models), CameraTracks()

    for jpeg, taken_s in frames:
        picture = decoder.read(jpeg)
        shrink = tracks.shrinking.choose(detector.scale(picture.width, picture.height))
        found, found_shrunk = (len(detector.find(picture.at(n), n)) for n in (1, shrink))
        alone = analyser.analyse(jpeg, gallery).counts
        tracked = analyser.analyse(jpeg, gallery, tracks, taken_s).counts

        assert alone.detected == found
        assert tracked.detected == found_shrunk
        assert alone.embedded == alone.searched <= faces_max
        assert tracked.embedded <= min(tracked.searched, faces_max)


def test_a_person_who_stays_is_embedded_twice_and_a_sighting_from_the_second_look_on(
    models: Models, lfw: Path, gallery: ExactGallery
) -> None:
    analyser, tracks = Analyser(models), CameraTracks()
    jpeg = _photograph(lfw, PEOPLE[0])

    results = [analyser.analyse(jpeg, gallery, tracks, step / 25) for step in range(20)]

    assert sum(result.counts.embedded for result in results) == 2
    assert all(result.counts.searched == 1 for result in results)
    ((sighting,),) = [result.sightings for result in results if result.sightings]
    assert (sighting.candidate.entry_id, sighting.track, sighting.observations) == ("wanted", 1, 2)
