"""The embedder alone in ONNX Runtime, no pictures, no server: how many faces a second there can be.

`python -m tests.bench.bare_embedder MODELS SECONDS [--threads T --intra I --batch B]` prints one
JSON object; without a setting it tries all and runs the fastest.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort

from cordon_server.recognition.models.pack import load_pack
from cordon_server.recognition.models.prepare import CROP_SIZE, prepare

_TRIAL_S = 0.7
_BATCHES = (1, 2, 3, 4, 8)


def faces_per_s(model: Path, threads: int, intra: int, batch: int, seconds: float) -> float:
    """Of `threads` callers, each running batches on a pool of `intra` threads."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = intra
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    crops = np.random.default_rng(0).uniform(0, 255, (batch, 3, CROP_SIZE, CROP_SIZE))
    feed = {name: crops.astype(np.float32)}

    def run() -> int:
        session.run(None, feed)
        return batch

    return rows_per_s(run, threads, seconds)


def rows_per_s(run: Callable[[], int], threads: int, seconds: float) -> float:
    """What so many threads do a second."""
    counts = [0] * threads
    run()
    until_s = time.perf_counter() + seconds

    def call(number: int) -> None:
        while time.perf_counter() < until_s:
            counts[number] += run()

    callers = [threading.Thread(target=call, args=(number,)) for number in range(threads)]
    began_s = time.perf_counter()
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    return sum(counts) / (time.perf_counter() - began_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--intra", type=int)
    parser.add_argument("--batch", type=int)
    args = parser.parse_args()
    model = prepare(load_pack(), args.models).for_provider("cpu").embedder.path
    cores = len(os.sched_getaffinity(0))
    settings = [(t, cores // t, b) for t in {1, cores} for b in _BATCHES]
    if args.threads is not None:
        settings = [(args.threads, args.intra, args.batch)]
    rates = {each: faces_per_s(model, *each, _TRIAL_S) for each in settings}
    best = max(rates, key=lambda each: rates[each])
    threads, intra, batch = best
    rate = faces_per_s(model, *best, args.seconds)
    setting = {"threads": threads, "intra": intra, "batch": batch}
    print(json.dumps({"faces_per_s": rate, "setting": setting}))


if __name__ == "__main__":
    main()
