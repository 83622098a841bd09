"""A GPU decodes many cameras' frames together; the gate before it and the CPU behind it stay."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
import simplejpeg
import structlog.testing
from numpy.typing import NDArray

from cordon_server.domain import DeviceLost, InvalidFrame
from cordon_server.recognition import gpu_decode
from cordon_server.recognition.analyse import Analyser
from cordon_server.recognition.decide import DecisionRule
from cordon_server.recognition.decode import Decoder
from cordon_server.recognition.gpu_decode import GpuDecoder, GpuPictures, open_gpu_pictures
from cordon_server.recognition.models.buckets import DeviceFull
from cordon_server.recognition.models.sessions import Models
from cordon_server.recognition.picture import decode_picture
from cordon_server.recognition.tracks import CameraTracks
from tests.bench.accuracy import ExactGallery
from tests.helpers import codec

if TYPE_CHECKING:
    from cordon_server.domain import Image

PATIENCE_S = 30.0


def smooth(seed: int, width: int = 96, height: int = 64) -> bytes:
    """A picture that survives JPEG and another size."""
    corners = np.random.default_rng(seed).uniform(0, 255, (2, 2, 3))
    across, down = np.linspace(0, 1, width)[None, :, None], np.linspace(0, 1, height)[:, None, None]
    top = corners[0, 0] * (1 - across) + corners[0, 1] * across
    bottom = corners[1, 0] * (1 - across) + corners[1, 1] * across
    picture = (top * (1 - down) + bottom * down).astype(np.uint8)
    return bytes(simplejpeg.encode_jpeg(picture, quality=95, colorspace="BGR"))


@pytest.fixture
def pictures() -> Iterator[GpuPictures]:
    pictures = GpuPictures(codec, codec.PictureMemory())
    yield pictures
    pictures.close()


@pytest.fixture
def device(pictures: GpuPictures) -> codec.Decoder:
    return codec.Decoder.made[-1]


def test_a_picture_is_the_cpus_and_the_gpus_decoders_alone_are_asked(
    pictures: GpuPictures, device: codec.Decoder
) -> None:
    jpeg = smooth(1)

    found = GpuDecoder(pictures).decode(jpeg)

    np.testing.assert_allclose(found, Decoder().decode(jpeg).astype(int), atol=8)
    assert codec.BackendKind.CPU_ONLY not in device.kinds
    assert len(device.kinds) == 3


def test_what_waits_is_decoded_together_and_its_memory_is_used_again(
    pictures: GpuPictures, device: codec.Decoder
) -> None:
    jpegs = [smooth(seed) for seed in range(8)]
    together = threading.Barrier(len(jpegs))

    def work(number: int) -> bool:
        decoder = GpuDecoder(pictures)
        same = True
        for turn in range(10):
            together.wait(PATIENCE_S)
            jpeg = jpegs[(number + turn) % len(jpegs)]
            expected = simplejpeg.decode_jpeg(jpeg, "BGR")
            same &= bool(np.array_equal(decoder.decode(jpeg), expected))
        return same

    with ThreadPoolExecutor(len(jpegs)) as pool:
        assert all(pool.map(work, range(len(jpegs))))

    assert sum(device.batches) == 80
    assert len(device.batches) < 80
    assert max(device.reused) > 0
    assert sum(size * count for size, count in pictures.batches.items()) == 80


def test_frames_that_break_a_rule_never_reach_the_gpu(
    pictures: GpuPictures, device: codec.Decoder
) -> None:
    decoder = GpuDecoder(pictures)
    progressive = bytearray(smooth(1))
    progressive[progressive.index(b"\xff\xc0") + 1] = 0xC2

    for given in (b"", b"no jpeg", bytes(progressive), smooth(1)[:-2]):
        with pytest.raises(InvalidFrame):
            decoder.decode(given)

    assert device.batches == []


def test_what_the_gpu_cannot_read_has_the_cpus_try(
    pictures: GpuPictures, device: codec.Decoder
) -> None:
    odd, plain = smooth(1), smooth(2)
    device.refuses = {odd}
    decoder = GpuDecoder(pictures)

    np.testing.assert_array_equal(decoder.decode(odd), Decoder().decode(odd))
    decoder.decode(plain)

    assert decoder.fallbacks == 1


def test_shrunk_pictures_are_of_the_size_that_was_asked_and_decoded_once(
    pictures: GpuPictures, device: codec.Decoder
) -> None:
    jpeg = smooth(3, 101, 63)
    picture, expected = GpuDecoder(pictures).read(jpeg), Decoder().read(jpeg)

    for shrink in (2, 1, 4, 8):
        found = picture.at(shrink)
        assert found.shape == expected.at(shrink).shape
        np.testing.assert_allclose(found, expected.at(shrink).astype(int), atol=24)

    assert device.batches == [1]


def test_a_stream_is_analysed_in_full_pictures_which_cost_a_gpu_no_more(
    pictures: GpuPictures, models: Models, portrait: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    pixels = GpuDecoder.pixels

    def noted(self: GpuDecoder, jpeg: bytes, width: int, height: int, shrink: int) -> Image:
        asked.append(shrink)
        return pixels(self, jpeg, width, height, shrink)

    monkeypatch.setattr(GpuDecoder, "pixels", noted)
    large = cv2.resize(decode_picture(portrait.read_bytes()), (1500, 1500))
    jpeg = bytes(simplejpeg.encode_jpeg(np.asarray(large), quality=90, colorspace="BGR"))
    analyser = Analyser(models, decoder=GpuDecoder(pictures))

    found = analyser.analyse(jpeg, ExactGallery(0.47), CameraTracks(DecisionRule()), 1.0)

    assert found.counts.searched == 1
    assert asked == [1]


def test_rows_that_are_padded_on_the_device_are_not_in_the_picture(
    pictures: GpuPictures, device: codec.Decoder
) -> None:
    device.padding = 32
    jpeg = smooth(4)

    found = GpuDecoder(pictures).decode(jpeg)

    np.testing.assert_array_equal(found, simplejpeg.decode_jpeg(jpeg, "BGR"))


def test_out_of_memory_halves_the_batch_and_loses_no_picture(
    pictures: GpuPictures, device: codec.Decoder
) -> None:
    jpegs = [smooth(seed) for seed in range(7)]
    works = [(jpeg, np.zeros((64, 96, 3), np.uint8)) for jpeg in jpegs]
    device.room = 2

    assert pictures._run("jpeg", works) == [True] * 7

    assert device.batches == [1] * 7
    for jpeg, buffer in works:
        np.testing.assert_array_equal(buffer, simplejpeg.decode_jpeg(jpeg, "BGR"))


def test_without_memory_for_one_picture_the_gpu_is_lost_and_said_to_be(
    pictures: GpuPictures, device: codec.Decoder
) -> None:
    told: list[DeviceLost] = []
    pictures.watch(told.append)
    device.room = 0

    for _ in range(2):
        with pytest.raises(DeviceLost, match="no memory left"):
            GpuDecoder(pictures).decode(smooth(1))

    pictures.close()
    assert [each.reason for each in told] == ["DEVICE_OUT_OF_MEMORY"]


def test_a_decoder_that_breaks_is_a_lost_gpu_and_never_the_cpu_in_silence(
    pictures: GpuPictures, device: codec.Decoder
) -> None:
    device.fails = [RuntimeError("CUDA Runtime failure: '#719' unspecified launch failure")]

    with pytest.raises(DeviceLost, match="failed to decode"):
        GpuDecoder(pictures).decode(smooth(1))


def test_it_is_taken_where_it_is_installed_and_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_decode, "_MODULE", "tests.helpers.codec")

    pictures = open_gpu_pictures(codec.PictureMemory())

    assert pictures is not None
    pictures.close()


def test_without_it_the_cpu_decodes_and_the_log_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_decode, "_MODULE", "tests.helpers.no_such_codec")

    with structlog.testing.capture_logs() as logs:
        assert open_gpu_pictures(codec.PictureMemory()) is None

    assert [each["event"] for each in logs] == ["decode.on_cpu"]


@pytest.mark.parametrize("fault", ["no device", "refuses", "breaks", "wrong colours"])
def test_one_that_does_not_work_here_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    class Faulty(codec.Decoder):
        def __init__(self, device_id: int, backends: list[codec.Backend]) -> None:
            if fault == "no device":
                raise RuntimeError("Internal error - Could not create decoder. Code: 8")
            super().__init__(device_id, backends)
            if fault == "breaks":
                self.fails = [RuntimeError("CUDA Runtime failure: '#719'")]

        def _one(self, content: bytes) -> codec.Image | None:
            if fault == "refuses":
                return None
            space = "RGB" if fault == "wrong colours" else "BGR"
            return codec.Image(simplejpeg.decode_jpeg(content, space))

    monkeypatch.setattr(gpu_decode, "_MODULE", "tests.helpers.codec")
    monkeypatch.setattr(codec, "Decoder", Faulty)

    with structlog.testing.capture_logs() as logs:
        assert open_gpu_pictures(codec.PictureMemory()) is None

    assert logs[-1]["event"] == "decode.on_cpu"
    assert logs[-1]["log_level"] == "warning"


def test_where_no_host_memory_can_be_pinned_the_cpu_decodes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Full(codec.PictureMemory):
        def pinned_bytes(self, count: int) -> NDArray[np.uint8]:
            raise DeviceFull("cudaHostAlloc: cudaErrorMemoryAllocation (2)")

    monkeypatch.setattr(gpu_decode, "_MODULE", "tests.helpers.codec")

    with structlog.testing.capture_logs() as logs:
        assert open_gpu_pictures(Full()) is None

    assert "cudaHostAlloc" in logs[-1]["why"]
