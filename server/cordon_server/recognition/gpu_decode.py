"""Frames decoded by a GPU: nvImageCodec behind one lane, many workers' frames in one batch.

The header gate stays before it, and what nvImageCodec cannot read has the CPU's try. Pixels go back
to the host, where faces are cut out: it saves a worker the decoding, not the picture.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np
import simplejpeg
import structlog
from numpy.typing import NDArray

from cordon_server.domain import DeviceLost
from cordon_server.recognition.decode import Decoder, Picture
from cordon_server.recognition.limits import FrameLimits
from cordon_server.recognition.models.buckets import DeviceFull
from cordon_server.recognition.models.cuda import translated
from cordon_server.recognition.models.lane import Lane

if TYPE_CHECKING:
    from cordon_server.domain import Image

__all__ = ["BATCH_MAX", "GpuDecoder", "GpuPictures", "PictureMemory", "open_gpu_pictures"]

log = structlog.get_logger(__name__)

BATCH_MAX = 32
"""More frames than that are not under way at once."""
APART_MAX = 12.0
"""Mean difference in grey levels up to which the GPU is believed to decode as the CPU does: they
round and interpolate colours differently, and wrong colours are much further apart."""
_MODULE = "nvidia.nvimgcodec"
# nvImageCodec's own CPU decoders are left out: what is not the GPU's to do, libjpeg does better.
_BACKENDS = ("HW_GPU_ONLY", "GPU_ONLY", "HYBRID_CPU_GPU")

Pixels = NDArray[np.uint8]


class PictureMemory(Protocol):
    """Host buffers that the device copies to by itself."""

    def pinned_bytes(self, count: int) -> Pixels: ...

    def begin_to_host(self, array: Pixels, address: int) -> None: ...

    def wait(self) -> None: ...


class GpuPictures:
    """Decodes JPEGs into buffers of the callers. Any number of threads may ask."""

    def __init__(self, codec: Any, memory: PictureMemory) -> None:
        """`codec` is the module nvidia.nvimgcodec. Raises what it does where it has no GPU."""
        self.memory = memory
        self._codec = codec
        self._params = codec.DecodeParams(
            apply_exif_orientation=False,  # The CPU's decoder does not either.
            color_spec=codec.ColorSpec.SRGB,
            sample_format=codec.SampleFormat.I_BGR,
        )
        self._batch = BATCH_MAX
        self._images: list[Any] = []
        """Decoded ones on the device, whose memory the next batch takes."""
        self._lane: Lane[tuple[bytes, Image], bool] = Lane(
            "pictures", self._run, room=lambda kind: self._batch
        )
        try:
            self._decoder = self._lane.do(self._open)
        except BaseException:  # raised again: the lane's thread must not outlive what opened it
            self._lane.stop()
            raise

    def decode(self, jpeg: bytes, buffer: Image) -> bool:
        """Writes BGR pixels into `buffer`, (height, width, 3) as the JPEG says.

        Whether it could; raises DeviceLost when the GPU failed.
        """
        return self._lane.ask("jpeg", (jpeg, buffer))

    @property
    def batches(self) -> dict[int, int]:
        """How many batches of each size were decoded."""
        return self._lane.batches

    def watch(self, on_lost: Callable[[DeviceLost], None]) -> None:
        """Calls that, once, from any thread, when the device is lost."""
        self._lane.watch(on_lost)

    def close(self) -> None:
        """Lets the device go."""
        self._lane.stop()

    def _open(self) -> Any:
        codec = self._codec
        kinds = [codec.Backend(getattr(codec.BackendKind, name)) for name in _BACKENDS]
        return codec.Decoder(device_id=0, backends=kinds)

    def _run(self, kind: Hashable, works: Sequence[tuple[bytes, Image]]) -> list[bool]:
        """Out of memory, the batch is halved and the same pictures go in pieces."""
        done: list[bool] = []
        while len(done) < len(works):
            piece = works[len(done) : len(done) + self._batch]
            try:
                done += self._decoded(piece)
            except DeviceFull as full:
                self._images.clear()
                if self._batch == 1:
                    raise DeviceLost(
                        "The GPU has no memory left for one picture; end what else runs on it, "
                        "then start the server again.",
                        reason="DEVICE_OUT_OF_MEMORY",
                    ) from full
                self._batch = max(1, min(self._batch, len(piece)) // 2)
                log.warning("decode.batch_halved", was=len(piece), now=self._batch)
        return done

    def _decoded(self, works: Sequence[tuple[bytes, Image]]) -> list[bool]:
        with translated("The GPU failed to decode"):
            images = self._decode([jpeg for jpeg, _ in works])
            whole = [
                image is not None and self._begin_copy(image, buffer)
                for image, (_, buffer) in zip(images, works, strict=True)
            ]
            self.memory.wait()
        return whole

    def _decode(self, jpegs: Sequence[bytes]) -> list[Any]:
        """The pictures on the device; None where it could not."""
        streams = [self._codec.CodeStream(jpeg) for jpeg in jpegs]
        kept = self._images[: len(streams)]
        again = {"images": kept} if len(kept) == len(streams) else {}
        images: list[Any] = self._decoder.decode(streams, params=self._params, **again)
        if len(images) > len(self._images) and all(image is not None for image in images):
            self._images = list(images)
        return images

    def _begin_copy(self, image: Any, buffer: Image) -> bool:
        there = image.__cuda_array_interface__
        if tuple(there["shape"]) != buffer.shape:
            return False
        strides = there.get("strides")
        if strides is None or tuple(strides) == buffer.strides:
            self.memory.begin_to_host(buffer, there["data"][0])
        else:  # Its rows are padded.
            buffer[:] = np.asarray(image.cpu())
        return True


class GpuDecoder(Decoder):
    """A `Decoder` whose full pictures come from the GPU; belongs to one thread.

    A shrunk picture is averaged from the full one.
    """

    saves_by_shrinking = False

    def __init__(self, pictures: GpuPictures, limits: FrameLimits | None = None) -> None:
        super().__init__(limits)
        self._pictures = pictures
        self._pinned: Pixels = np.empty(0, np.uint8)
        self._size = (0, 0)
        self._full: Image | None = None
        """Of the frame that was read last."""
        self.fallbacks = 0
        """Pictures that the GPU could not read and the CPU tried; only grows."""

    def read(self, jpeg: bytes) -> Picture:
        """See Decoder."""
        picture = super().read(jpeg)
        self._size, self._full = (picture.width, picture.height), None
        return picture

    def pixels(self, jpeg: bytes, width: int, height: int, shrink: int) -> Image:
        """See Decoder."""
        if self._full is None:
            self._full = self._decoded(jpeg, *self._size)
        if shrink == 1:
            return self._full
        buffer = self._buffer(shrink, width * height * 3).reshape(height, width, 3)
        cv2.resize(self._full, (width, height), dst=buffer, interpolation=cv2.INTER_AREA)
        return buffer

    def _decoded(self, jpeg: bytes, width: int, height: int) -> Image:
        count = width * height * 3
        if self._pinned.size < count:
            self._pinned = self._pictures.memory.pinned_bytes(count)
        buffer = self._pinned[:count].reshape(height, width, 3)
        if self._pictures.decode(jpeg, buffer):
            return buffer
        self.fallbacks += 1
        return super().pixels(jpeg, width, height, 1)


def open_gpu_pictures(memory: PictureMemory) -> GpuPictures | None:
    """nvImageCodec, where it is installed and decodes as it should; else None, and the log why."""
    os.environ.setdefault("PYNVIMGCODEC_VERBOSITY", "0")  # A picture it cannot read is no news.
    try:
        codec = importlib.import_module(_MODULE)
    except ImportError as error:
        log.info("decode.on_cpu", why=f"{_MODULE} is not installed: {error}")
        return None
    try:
        pictures = GpuPictures(codec, memory)
    except Exception as error:  # noqa: BLE001 - logged: frames are decoded by the CPU, as without it.
        log.warning("decode.on_cpu", why=str(error))
        return None
    if (why := _what_is_wrong(pictures)) is None:
        log.info("decode.on_gpu", version=getattr(codec, "__version__", ""))
        return pictures
    pictures.close()
    log.warning("decode.on_cpu", why=why)
    return None


def _what_is_wrong(pictures: GpuPictures) -> str | None:
    """Compares a picture of three plain colours with the CPU's."""
    picture = np.zeros((48, 96, 3), np.uint8)
    for channel in range(3):
        picture[:, channel * 32 : (channel + 1) * 32, channel] = 200
    jpeg: bytes = simplejpeg.encode_jpeg(picture, quality=95, colorspace="BGR")
    expected = Decoder().decode(jpeg)
    try:
        buffer = pictures.memory.pinned_bytes(picture.size).reshape(picture.shape)
        if not pictures.decode(jpeg, buffer):
            return "nvImageCodec cannot decode a plain JPEG; is nvidia-nvjpeg installed?"
    except DeviceFull as full:
        return str(full)
    except DeviceLost as lost:
        return lost.message
    apart = float(np.abs(buffer.astype(np.int16) - expected).mean())
    return None if apart <= APART_MAX else f"its colours are off by {apart:.0f} of 255"
