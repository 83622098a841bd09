"""What this machine can do: how many workers, how many faces a batch, what a frame costs.

Measured once in about a second, with the models that will run, and kept beside them: a restart
reads it. Remove the file to have it measured again.
"""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from cordon_server.recognition.align import align
from cordon_server.recognition.decode import Decoder
from cordon_server.recognition.detect import FaceDetector
from cordon_server.recognition.embed import Embedder
from cordon_server.recognition.models.pack import ModelPack
from cordon_server.recognition.models.prepare import CROP_SIZE, PREPARATION_VERSION

FILE_NAME = "calibration.json"
TRIAL_S = 0.08
"""How long each way of embedding is tried."""
EMBEDDING_S_MAX = 1.0
"""Of all trials; those that were not reached are not chosen."""
CLEARLY = 1.15
"""What is expected is kept unless something else is this many times as fast: trials are short, and
other work may be going on."""
REPEATS = 5
FACES_TYPICAL = 4
"""Faces embedded in a frame, until frames have been seen."""
_FRAME_WIDTH, _FRAME_HEIGHT, _QUALITY = 1920, 1080, 85
_LANDMARKS = ((820, 480), (900, 480), (860, 525), (828, 570), (892, 570))


class CalibratedModels(Protocol):
    """What is asked of the loaded models."""

    @property
    def pack(self) -> ModelPack: ...

    @property
    def provider(self) -> str: ...

    @property
    def batches(self) -> tuple[int, ...]: ...

    def detect(self, planes: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]: ...

    def embed(self, crops: NDArray[np.float32]) -> NDArray[np.float32]: ...


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was measured; seconds are one worker's, while no other works."""

    workers: int
    batch: int
    """Most faces embedded together."""
    faces_per_s: float
    """Embedded, by all workers together."""
    frame_s: float
    """To decode a 1080p frame and look for faces."""
    face_s: float
    """To align and embed one face."""

    @property
    def typical_s(self) -> float:
        """What a frame costs a worker before any was seen."""
        return self.frame_s + FACES_TYPICAL * self.face_s


def calibrated(
    models: CalibratedModels, folder: Path, *, width: int, height: int, cores: int | None = None
) -> Calibration:
    """What the file in `folder` says of this machine and these models; measured where it does not.

    `width` and `height` are the detector's. A file that cannot be read or written costs the second,
    not the start.
    """
    cores = cores or len(os.sched_getaffinity(0))
    file, key = folder / FILE_NAME, _key(models, cores, width, height)
    known = _read(file)
    if (found := _parsed(known.get(key))) is not None:
        return found
    measured = measure(models, cores, width=width, height=height)
    _write(file, known | {key: asdict(measured)})
    return measured


def measure(models: CalibratedModels, cores: int, *, width: int, height: int) -> Calibration:
    """Tries the ways of embedding and times the stages of a frame."""
    frame_s, face_s = _stage_costs(models, width, height)
    for batch in models.batches:  # the first run of a shape is not like the others
        models.embed(_crops(batch))
    best: tuple[float, int, int] | None = None
    began_s = time.perf_counter()
    for workers, batch in ways(models.provider, cores, models.batches):
        rate = _rate(models, workers, batch)
        if best is None or rate > best[0] * CLEARLY:
            best = (rate, workers, batch)
        if time.perf_counter() - began_s > EMBEDDING_S_MAX:
            break
    assert best is not None
    rate, workers, batch = best
    return Calibration(workers, batch, round(rate, 1), round(frame_s, 5), round(face_s, 5))


def ways(provider: str, cores: int, batches: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Workers and batch to try, the expected one first.

    On a CPU one worker a core with the largest batch; elsewhere a few workers feed one device.
    """
    expected = cores if provider == "cpu" else min(cores, 4)
    others = [w for w in (cores, cores // 2, 4, 2, 1) if 1 <= w <= cores]
    if provider == "cpu":
        others = [w for w in others if w in (cores, (cores + 1) // 2)]
    workers = list(dict.fromkeys([expected, *others]))
    yield from ((w, b) for w in workers for b in reversed(batches))


def _rate(models: CalibratedModels, workers: int, batch: int) -> float:
    """Faces a second that so many workers embed in batches of that size."""
    rates = [0.0] * workers
    start = threading.Barrier(workers)

    def work(number: int) -> None:
        crops = _crops(batch)
        start.wait()
        began_s, faces = time.perf_counter(), 0
        while (elapsed_s := time.perf_counter() - began_s) < TRIAL_S:
            models.embed(crops)
            faces += batch
        rates[number] = faces / elapsed_s

    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(rates)


def _stage_costs(models: CalibratedModels, width: int, height: int) -> tuple[float, float]:
    """Seconds for one frame without faces, and for one face."""
    decoder, detector = Decoder(), FaceDetector(models, width=width, height=height)
    embedder = Embedder(models)
    jpeg = _street()
    image = decoder.decode(jpeg)
    crop = np.zeros((CROP_SIZE, CROP_SIZE, 3), np.uint8)
    landmarks = np.asarray(_LANDMARKS, np.float32)

    def face() -> None:
        align(image, landmarks, crop)
        embedder.embed([crop])

    frame_s = _median_s(lambda: detector.find(decoder.decode(jpeg)))
    return frame_s, _median_s(face)


def _median_s(work: Callable[[], object]) -> float:
    work()
    times = []
    for _ in range(REPEATS):
        began_s = time.perf_counter()
        work()
        times.append(time.perf_counter() - began_s)
    return sorted(times)[REPEATS // 2]


def _street() -> bytes:
    """A frame with as much detail as a street has; nobody is in it."""
    chance = np.random.default_rng(0)
    coarse = chance.integers(0, 256, (_FRAME_HEIGHT // 8, _FRAME_WIDTH // 8, 3), np.uint8)
    blocks = np.repeat(np.repeat(coarse, 8, axis=0), 8, axis=1).astype(np.int16)
    noise = chance.integers(-6, 7, blocks.shape, np.int16)
    picture = np.clip(blocks // 2 + 64 + noise, 0, 255).astype(np.uint8)
    jpeg: bytes = simplejpeg.encode_jpeg(picture, quality=_QUALITY, colorspace="BGR")
    return jpeg


def _crops(batch: int) -> NDArray[np.float32]:
    return np.full((batch, 3, CROP_SIZE, CROP_SIZE), 127, np.float32)


def _key(models: CalibratedModels, cores: int, width: int, height: int) -> str:
    parts = (machine(), f"{cores} cores", models.provider, models.pack.model_id)
    return "; ".join((*parts, f"preparation {PREPARATION_VERSION}", f"detector {width}x{height}"))


def machine() -> str:
    """The processor's name and, where there are any, the NVIDIA devices'."""
    found = [_line("/proc/cpuinfo", "model name") or platform.processor() or platform.machine()]
    devices = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    return ", ".join([*found, *(_line(str(each), "Model") for each in devices)])


def _line(file: str, name: str) -> str:
    try:
        lines = Path(file).read_text().splitlines()
    except OSError:
        return ""
    return next((ln.partition(":")[2].strip() for ln in lines if ln.startswith(name)), "")


def _read(file: Path) -> dict[str, object]:
    try:
        known = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _parsed(values: object) -> Calibration | None:
    """A calibration, where that is one."""
    if not isinstance(values, dict):
        return None
    try:
        found = Calibration(**values)
        is_sane = min(found.workers, found.batch) >= 1 and min(found.frame_s, found.face_s) > 0
    except TypeError:
        return None
    return found if is_sane else None


def _write(file: Path, known: dict[str, object]) -> None:
    fresh = file.with_suffix(f".{os.getpid()}.new")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            json.dump(known, out, indent=1)
        fresh.replace(file)
    except OSError:
        with suppress(OSError):
            fresh.unlink()
