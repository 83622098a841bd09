"""Files and folders as sources: what passes untouched, what is encoded, what is refused."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from threading import Event

import av
import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st

from cordon_camera.encode import Encoder, fitting_size
from cordon_camera.faults import FAULTS, Fault, SourceError
from cordon_camera.settings import SourceKind, SourceSettings, StreamSettings
from cordon_camera.sources import open_source
from cordon_camera.sources.pace import Metronome, Pace
from cordon_camera.sources.picture import Picture
from cordon_client.errors import ClientError
from tests.helpers import pictures
from tests.helpers.camera_run import file_of, folder_of

FAST = StreamSettings(realtime=False)


def read(source: SourceSettings, stream: StreamSettings = FAST) -> list[Picture]:
    return list(open_source(source, stream).frames())


def fault_of(source: SourceSettings) -> Fault:
    with pytest.raises(SourceError) as raised:
        read(source)
    assert raised.value.why
    assert raised.value.hint
    return raised.value.fault


def test_every_fault_has_its_words_and_its_next_step() -> None:
    assert set(FAULTS) == set(Fault)
    for fault in Fault:
        error: ClientError = SourceError(fault, "camera")
        assert error.why.endswith(".")
        assert error.hint
        assert error.exit_code


def test_mjpeg_in_a_file_passes_through_byte_for_byte(tmp_path: Path) -> None:
    images = [pictures.noise(i) for i in range(4)]
    path = pictures.video(tmp_path / "v.avi", images, codec="mjpeg")
    with av.open(str(path)) as container:
        packets = [bytes(p) for p in container.demux() if p.size]

    got = read(file_of(path))

    assert [picture.jpeg for picture in got] == packets
    assert got[0].size == (64, 48)


def test_mjpeg_without_tables_gets_the_standard_ones(tmp_path: Path) -> None:
    data = pictures.jpeg(pictures.noise(7))
    path = tmp_path / "x.jpg"
    path.write_bytes(pictures.without_huffman_tables(data))

    (got,) = read(folder_of(tmp_path))

    assert got.jpeg is not None
    assert np.array_equal(simplejpeg.decode_jpeg(got.jpeg), simplejpeg.decode_jpeg(data))


def test_a_video_is_decoded_whole_and_in_order(tmp_path: Path) -> None:
    images = [pictures.flat(40 + 5 * i) for i in range(30)]
    path = pictures.video(tmp_path / "v.mp4", images)

    levels = []
    for picture in open_source(file_of(path), FAST).frames():
        assert picture.planes is not None
        jpeg = Encoder(95).encode(picture.planes)
        levels.append(float(simplejpeg.decode_jpeg(jpeg).mean()))

    assert levels == pytest.approx([40 + 5 * i for i in range(30)], abs=3)


@pytest.mark.parametrize("name", ["yuv420p", "yuvj420p", "nv12", "yuv422p", "yuyv422", "rgb24"])
@pytest.mark.parametrize(("width", "height"), [(64, 48), (100, 50), (162, 98)])
def test_a_frame_keeps_its_brightness_in_jpeg_whatever_its_format(
    name: str, width: int, height: int
) -> None:
    image = pictures.flat(0, width, height)
    image[:, width // 3 :] = 128
    image[:, 2 * width // 3 :] = 255
    frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=name)

    got = simplejpeg.decode_jpeg(Encoder(95).encode(frame))

    assert got.shape == (height, width, 3)
    assert got[:, 4].max() < 8
    assert np.abs(got[:, width // 2].astype(int) - 128).max() < 8
    assert np.abs(got[:, width - 4].astype(int) - 255).max() < 8


@given(
    low=st.sampled_from([16]),
    value=st.integers(0, 255),
)
def test_stretching_the_range_is_exact_to_one_level(low: int, value: int) -> None:
    plane = np.full((40, 33), value, np.uint8)
    encoder = Encoder(85)

    luma, blue, _ = encoder._full_range([plane, plane.copy(), plane.copy()])

    assert abs(int(luma[0, 0]) - min(max((value - low) * 255 / 219, 0), 255)) <= 1
    assert abs(int(blue[39, 32]) - min(max((value - 128) * 255 / 224 + 128, 0), 255)) <= 1


def test_grey_stays_grey() -> None:
    plane = np.full((8, 8), 128, np.uint8)

    _, blue, red = Encoder(85)._full_range([plane, plane.copy(), plane.copy()])

    assert (blue == 128).all()
    assert (red == 128).all()


def test_one_encoder_takes_frames_of_changing_size() -> None:
    encoder = Encoder(85)
    for width in (64, 128, 32):
        frame = av.VideoFrame.from_ndarray(pictures.flat(90, width, 64)).reformat(format="yuv420p")

        assert simplejpeg.decode_jpeg_header(encoder.encode(frame))[:2] == (64, width)


@given(st.integers(2, 5000), st.integers(2, 5000), st.integers(160, 4000))
def test_a_fitting_size_is_within_the_bound_and_keeps_its_shape(
    width: int, height: int, side: int
) -> None:
    fitted = fitting_size(width, height, side)

    assert max(fitted) <= max(side, 2)
    assert min(fitted) >= 2
    if max(width, height) <= side:
        assert fitted == (width, height)


def test_a_folder_gives_jpeg_untouched_and_other_pictures_decoded_by_name(tmp_path: Path) -> None:
    data = pictures.jpeg(pictures.noise(1))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "2.JPG").write_bytes(data)
    (tmp_path / "a.png").write_bytes(_png(pictures.flat(200)))
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / ".hidden.jpg").write_bytes(data)

    got = read(folder_of(tmp_path))

    assert [p.name for p in got] == ["a.png", "b/2.JPG"]
    assert got[0].planes is not None
    assert got[1].jpeg == data


@pytest.mark.parametrize("name", ["x.jpg", "x.png"])
def test_a_damaged_file_of_a_folder_is_sent_all_the_same_for_the_server_to_name(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(b"no")

    (got,) = read(folder_of(tmp_path))

    assert got.jpeg == b"no"
    assert got.name == name


def test_missing_empty_and_wrong_files_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("this is no video, whatever its name says\n" * 50)
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "empty").mkdir()

    assert fault_of(file_of(tmp_path / "none.mp4")) is Fault.MISSING
    assert fault_of(file_of(tmp_path / "text.mp4")) is Fault.NOT_A_VIDEO
    assert fault_of(file_of(tmp_path / "empty.mp4")) is Fault.NOT_A_VIDEO
    assert fault_of(folder_of(tmp_path / "none")) is Fault.MISSING
    assert fault_of(folder_of(tmp_path / "empty")) is Fault.NO_PICTURES


def test_a_video_cut_in_the_middle_gives_what_there_is(tmp_path: Path) -> None:
    path = pictures.video(tmp_path / "v.avi", [pictures.noise(i) for i in range(20)], codec="mjpeg")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    assert 1 <= len(read(file_of(path))) < 20


def test_devices_that_are_missing_or_no_cameras_are_told_apart() -> None:
    missing = SourceSettings(SourceKind.WEBCAM, device="/dev/video987")
    wrong = SourceSettings(SourceKind.WEBCAM, device="/dev/null")

    assert fault_of(missing) is Fault.DEVICE_MISSING
    assert fault_of(wrong) is Fault.NOT_A_CAMERA


def test_a_looped_file_goes_on_after_its_end(tmp_path: Path) -> None:
    path = pictures.video(tmp_path / "v.avi", [pictures.noise(i) for i in range(3)], codec="mjpeg")
    source = open_source(file_of(path), StreamSettings(realtime=False, loop=True))

    assert len(list(islice(source.frames(), 10))) == 10


def test_a_recording_is_paced_by_its_own_times() -> None:
    pace = Pace()

    assert [pace.due_s(position, 100.0) for position in (2.0, 2.5, 4.0)] == [100.0, 100.5, 102.0]


def test_a_given_rate_overrules_the_recordings_times() -> None:
    pace = Pace(fps=10)

    assert [pace.due_s(9.0, 50.0) for _ in range(3)] == pytest.approx([50.0, 50.1, 50.2])


def test_a_reader_that_fell_far_behind_does_not_rush() -> None:
    pace = Pace()
    pace.due_s(0.0, 0.0)

    assert pace.due_s(0.04, 10.0) == 10.0
    assert pace.due_s(0.08, 10.0) == pytest.approx(10.04)


def test_stopping_ends_a_wait_at_once() -> None:
    stop = Event()
    metronome = Metronome(Pace(fps=0.01), stop)
    assert metronome.wait(0.0)
    stop.set()

    assert not metronome.wait(1.0)


def _png(image: pictures.Image) -> bytes:
    context = av.CodecContext.create("png", "w")
    context.width, context.height, context.pix_fmt = image.shape[1], image.shape[0], "rgb24"
    context.time_base = 1  # type: ignore[assignment]  # any will do
    frame = av.VideoFrame.from_ndarray(image, format="rgb24")
    return b"".join(bytes(p) for p in [*context.encode(frame), *context.encode(None)])
