"""What this machine can do: how many workers, how many faces a batch, what a frame costs.

Measured once in about a second, with the models that will run, and kept beside them: a restart
reads it. What was measured while others used the processor serves this start alone. Remove the file
to have it measured again.

On a CPU each worker does everything by itself, and what is tried is how it embeds. On a GPU the
batches are made ready and chosen by the models' own warm-up; what is tried is how many workers keep
it busy, with whole frames, since a worker waits for it as much as it works.
"""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Protocol

import numpy as np
import structlog
from numpy.typing import NDArray

from cordon_server.recognition.decode import Decoder
from cordon_server.recognition.models.prepare import CROP_SIZE, PREPARATION_VERSION
from cordon_server.recognition.trial import Trial, TriedModels, street

log = structlog.get_logger()

FILE_NAME = "calibration.json"
TRIAL_S = 0.08
"""How long each way of embedding is tried."""
EMBEDDING_S_MAX = 1.0
"""Of all trials; those that were not reached are not chosen."""
CLEARLY = 1.15
"""What is expected is kept unless something else is this many times as fast: trials are short, and
other work may be going on."""
REPEATS = 5
QUIET_SHARE_MIN = 0.85
"""Of the time that the trials asked for a processor; below, others had it too often, and what was
measured is not kept."""
FACES_TYPICAL = 4
"""Faces embedded in a frame, until frames have been seen."""
FRAMES_TRIAL_S = 0.3
"""How long each number of a GPU's workers is tried."""
WORKERS_MAX = 64
"""Of a GPU; as many as the setting allows."""


class CalibratedModels(TriedModels, Protocol):
    """What is asked of the loaded models."""

    @property
    def provider(self) -> str: ...

    def warm_up(self, width: int, height: int) -> None: ...


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


class Watch:
    """How much of the time that trials asked for a processor they had one; for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked_s = 0.0
        self._had_s = 0.0

    @property
    def share(self) -> float:
        """0 to 1; 1 where nothing was watched."""
        return self._had_s / self._asked_s if self._asked_s else 1.0

    @contextmanager
    def asking(self) -> Iterator[None]:
        """For a block that only computes, in the calling thread."""
        began_s, before_s = time.perf_counter(), time.thread_time()
        yield
        had_s, asked_s = time.thread_time() - before_s, time.perf_counter() - began_s
        with self._lock:
            self._had_s += had_s
            self._asked_s += asked_s


def calibrated(
    models: CalibratedModels,
    folder: Path,
    *,
    width: int,
    height: int,
    cores: int | None = None,
    decoder: Callable[[], Decoder] = Decoder,
) -> Calibration:
    """What the file in `folder` says of this machine and these models; measured where it does not.

    `width` and `height` are the detector's; `decoder` makes one for a worker. A file that cannot be
    read or written costs the second, not the start.
    """
    cores = cores or len(os.sched_getaffinity(0))
    file, key = folder / FILE_NAME, _key(models, cores, width, height, decoder())
    known = _read(file)
    if (found := _parsed(known.get(key))) is not None:
        return found
    watch = Watch()
    measured = measure(models, cores, width=width, height=height, decoder=decoder, watch=watch)
    if watch.share >= QUIET_SHARE_MIN:
        _write(file, known | {key: asdict(measured)})
    else:
        log.warning("calibration.not_kept", processor_share=round(watch.share, 2))
    return measured


def measure(
    models: CalibratedModels,
    cores: int,
    *,
    width: int,
    height: int,
    decoder: Callable[[], Decoder] = Decoder,
    watch: Watch | None = None,
) -> Calibration:
    """Tries the ways of embedding and times the stages of a frame; `watch` looks on on a CPU."""
    jpeg = street()

    def trial() -> Trial:
        return Trial(models, decoder(), jpeg, width=width, height=height)

    if models.provider != "cpu":
        models.warm_up(width, height)
        return _measure_device(models, cores, trial)
    alone = trial()
    frame_s, face_s = _median_s(alone.look), _median_s(alone.embed)
    for batch in models.batches:  # the first run of a shape is not like the others
        models.embed(_crops(batch))
    best: tuple[float, int, int] | None = None
    began_s = time.perf_counter()
    for workers, batch in ways(cores, models.batches):
        rate = _rate(models, workers, batch, watch)
        if best is None or rate > best[0] * CLEARLY:
            best = (rate, workers, batch)
        if time.perf_counter() - began_s > EMBEDDING_S_MAX:
            break
    assert best is not None
    rate, workers, batch = best
    return Calibration(workers, batch, round(rate, 1), round(frame_s, 5), round(face_s, 5))


def ways(cores: int, batches: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Workers and batch of a CPU to try, the expected one first: one worker a core with the largest
    batch."""
    workers = list(dict.fromkeys([cores, (cores + 1) // 2]))
    yield from ((w, b) for w in workers for b in reversed(batches))


def worker_counts(cores: int) -> tuple[int, ...]:
    """Workers that may keep a GPU busy, in the order in which they are tried."""
    counts = (cores, cores + cores // 2, 2 * cores, 3 * cores, 4 * cores)
    return tuple(dict.fromkeys(min(count, WORKERS_MAX) for count in counts))


def _measure_device(
    models: CalibratedModels, cores: int, trial: Callable[[], Trial]
) -> Calibration:
    """The fewest workers that do nearly as much as the best number, and what a frame costs them."""
    batch = models.batches[-1]
    alone = trial()
    look_s, face_s = _median_s(alone.look), _median_s(alone.embed)
    rates: dict[int, float] = {}
    for workers in worker_counts(cores):
        before = max(rates.values(), default=0.0)
        rates[workers] = _frames_per_s([trial() for _ in range(workers)])
        if rates[workers] < before * CLEARLY:
            break
    workers = next(count for count, rate in rates.items() if rate * CLEARLY >= max(rates.values()))
    # With all of them at work, a frame holds a worker for longer than it would alone.
    frame_s = max(look_s, workers / rates[workers] - FACES_TYPICAL * face_s)
    faces_per_s = _rate(models, 2, batch)
    return Calibration(workers, batch, round(faces_per_s, 1), round(frame_s, 5), round(face_s, 5))


def _frames_per_s(trials: list[Trial]) -> float:
    """Frames with the typical number of faces that so many workers do a second."""

    def frame(trial: Trial) -> int:
        trial.look()
        trial.embed(FACES_TYPICAL)
        return 1

    return _per_second([partial(frame, trial) for trial in trials], FRAMES_TRIAL_S)


def _rate(models: CalibratedModels, workers: int, batch: int, watch: Watch | None = None) -> float:
    """Faces a second that so many workers embed in batches of that size."""

    def work() -> int:
        models.embed(crops)
        return batch

    crops = _crops(batch)
    return _per_second([work] * workers, TRIAL_S, watch)


def _per_second(
    works: Sequence[Callable[[], int]], trial_s: float, watch: Watch | None = None
) -> float:
    """What threads, one for each of `works`, do a second together."""
    rates = [0.0] * len(works)
    start = threading.Barrier(len(works))

    def run(number: int) -> None:
        start.wait()
        with watch.asking() if watch else nullcontext():
            began_s, done = time.perf_counter(), 0
            while (elapsed_s := time.perf_counter() - began_s) < trial_s:
                done += works[number]()
        rates[number] = done / elapsed_s

    threads = [threading.Thread(target=run, args=(n,), daemon=True) for n in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(rates)


def _median_s(work: Callable[[], object]) -> float:
    work()
    times = []
    for _ in range(REPEATS):
        began_s = time.perf_counter()
        work()
        times.append(time.perf_counter() - began_s)
    return median(times)


def _crops(batch: int) -> NDArray[np.float32]:
    return np.full((batch, 3, CROP_SIZE, CROP_SIZE), 127, np.float32)


def _key(models: CalibratedModels, cores: int, width: int, height: int, decoder: Decoder) -> str:
    parts = [machine(), f"{cores} cores", models.provider, models.pack.model_id]
    parts += [f"preparation {PREPARATION_VERSION}", f"detector {width}x{height}"]
    if type(decoder) is not Decoder:
        parts.append(type(decoder).__name__)
    return "; ".join(parts)


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
