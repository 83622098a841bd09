"""Small pictures and videos, made on the spot."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np
import simplejpeg
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""(height, width, 3) uint8, RGB."""


def noise(seed: int, width: int = 64, height: int = 48) -> Image:
    """A picture that no other seed gives."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def flat(level: int, width: int = 64, height: int = 48) -> Image:
    """One grey level everywhere."""
    return np.full((height, width, 3), level, np.uint8)


def jpeg(image: Image, quality: int = 85) -> bytes:
    """The picture as baseline 4:2:0 JPEG."""
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality, "RGB", "420"))


def jpeg_folder(folder: Path, count: int) -> list[bytes]:
    """A folder of so many different JPEGs; returns their bytes in the order of their names."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = [jpeg(noise(seed)) for seed in range(count)]
    for index, data in enumerate(pictures):
        (folder / f"{index:04}.jpg").write_bytes(data)
    return pictures


def video(path: Path, images: Iterable[Image], *, codec: str = "libx264", fps: int = 25) -> Path:
    """A video file of these pictures."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        assert isinstance(stream, av.VideoStream)
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for index, image in enumerate(images):
            if index == 0:
                stream.height, stream.width = image.shape[:2]
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def without_huffman_tables(data: bytes) -> bytes:
    """The JPEG with its DHT segments cut out, as "AVI1" cameras send it."""
    out, at = bytearray(data[:2]), 2
    while data[at + 1] != 0xDA:
        length = 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] != 0xC4:
            out += data[at : at + length]
        at += length
    return bytes(out + data[at:])
