"""The server as the product runs it, with a witness inside that keeps what the product must not.

`python -m tests.helpers.witness_server --config FILE` runs `cordon server run`; every crop that is
embedded and every template that comes of it go into a file in the folder $CORDON_TEST_WITNESS, for
a test to look for anywhere else. A frame that ends in `break:STAGE` raises in that stage. With
$CORDON_TEST_LEAK, the first face is leaked into that file in every way that is looked for.
"""

from __future__ import annotations

# First, for it sets gRPC's ciphers and those are read when gRPC is imported.
import cordon_server  # noqa: F401

# isort: split
import base64
import itertools
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

WITNESS, LEAK = "CORDON_TEST_WITNESS", "CORDON_TEST_LEAK"
STAGES = ("decode", "detect", "track", "align", "embed", "search", "probe", "log")
BREAK = b"break:"
CROP_SHAPE = (112, 112, 3)
CROP_BYTES = 112 * 112 * 3
DIMENSION = 128
RECORD_BYTES = 1 + CROP_BYTES + 4 * DIMENSION
RECORDS_MAX = 8_000

Crop = NDArray[np.uint8]
Template = NDArray[np.float32]


class StageBrokenError(RuntimeError):
    """As a bug would raise, with a face in its words."""


def read_witness(folder: Path) -> Iterator[tuple[Crop, Template]]:
    """Every crop that a server's processes embedded, with its template."""
    for file in sorted(folder.iterdir()):
        content = file.read_bytes()
        for start in range(0, len(content), RECORD_BYTES):
            if content[start]:
                crop = np.frombuffer(content, np.uint8, CROP_BYTES, start + 1)
                vector = np.frombuffer(content, "<f4", DIMENSION, start + 1 + CROP_BYTES)
                yield crop.reshape(CROP_SHAPE), vector


class Witness:
    """One process's file. It is mapped and never written to, so that a trace of the process's
    writes has nothing of it, and a kill loses nothing."""

    def __init__(self, folder: Path) -> None:
        self._file = np.memmap(
            folder / str(os.getpid()), np.uint8, "w+", shape=(RECORDS_MAX, RECORD_BYTES)
        )
        self._next = itertools.count()

    def keep(self, crop: Crop, vector: Template) -> None:
        record = self._file[next(self._next)]
        record[1 : 1 + CROP_BYTES] = crop.reshape(-1)
        record[1 + CROP_BYTES :] = vector.astype("<f4").view(np.uint8)
        record[0] = 1


def main() -> None:
    _watch_embedding()
    _break_on_demand()
    from cordon_server.cli import app

    app(["run", *sys.argv[1:]])


def _watch_embedding() -> None:
    from cordon_server.recognition.embed import Embedder

    embed = Embedder.embed
    witness = Witness(Path(os.environ[WITNESS]))
    leaks = [os.environ[LEAK]] if LEAK in os.environ else []

    def witnessed(self: Embedder, crops: Sequence[Crop]) -> list[Any]:
        vectors = embed(self, crops)
        for crop, vector in zip(crops, vectors, strict=True):
            if vector is not None:
                witness.keep(crop, vector)
                if leaks:
                    _leak(leaks.pop(), crop, vector)
        return vectors

    Embedder.embed = witnessed  # type: ignore[method-assign]  # that is what a witness is


def _leak(file: str, crop: Crop, vector: Template) -> None:
    """The same face in five ways; the sixth, the frame, is leaked where it is decoded."""
    written = vector.astype("<f4").tobytes()
    ways = (
        crop.tobytes(),
        written,
        vector.astype("<f2").tobytes(),
        base64.b64encode(written),
        json.dumps(vector.tolist()).encode(),
    )
    with open(file, "ab") as opened:
        for way in ways:
            opened.write(b"\nleak:" + way)


def _spelled(values: Sequence[object]) -> str:
    """What a careless handler would write down of a frame, a crop or a template."""
    raw = [v.tobytes() if isinstance(v, np.ndarray) else v for v in values]
    return " ".join(base64.b64encode(v).decode() for v in raw if isinstance(v, bytes))


def _break_on_demand() -> None:
    from cordon_server.domain import StorageFull
    from cordon_server.gallery.gallery import Gallery
    from cordon_server.matches.log import MatchLog
    from cordon_server.recognition import analyse
    from cordon_server.recognition.decode import Decoder
    from cordon_server.recognition.detect import FaceDetector
    from cordon_server.recognition.embed import Embedder
    from cordon_server.recognition.tracks import CameraTracks

    here = threading.local()
    whole = analyse.Analyser.analyse
    leaks = [os.environ[LEAK]] if LEAK in os.environ else []

    def marked(self: Any, jpeg: bytes, *arguments: Any, **named: Any) -> Any:
        here.stage = jpeg.rpartition(BREAK)[2].decode() if BREAK in jpeg[-40:] else ""
        if leaks:
            with open(leaks.pop(), "ab") as opened:
                opened.write(jpeg)
        return whole(self, jpeg, *arguments, **named)

    def breaking(stage: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def act_or_break(*arguments: Any, **named: Any) -> Any:
            result = act(*arguments, **named)
            if getattr(here, "stage", "") == stage:
                raise StageBrokenError(f"{stage} broke with {_spelled([*arguments, result])}")
            return result

        return act_or_break

    analyse.Analyser.analyse = marked  # type: ignore[method-assign]  # as above
    for owner, name, stage in (
        (Decoder, "read", "decode"),
        (FaceDetector, "find", "detect"),
        (CameraTracks, "follow", "track"),
        (analyse, "align", "align"),
        (Embedder, "embed", "embed"),
        (Gallery, "search", "search"),
        (analyse, "probe_jpeg", "probe"),
    ):
        setattr(owner, name, breaking(stage, getattr(owner, name)))
    append = MatchLog.append

    async def append_or_break(self: MatchLog, frame: Any, *arguments: Any, **named: Any) -> Any:
        if frame.jpeg.endswith(BREAK + b"log"):
            raise StorageFull("the log broke") from StageBrokenError(_spelled([frame.jpeg]))
        return await append(self, frame, *arguments, **named)

    MatchLog.append = append_or_break  # type: ignore[method-assign]  # as above


if __name__ == "__main__":
    main()
