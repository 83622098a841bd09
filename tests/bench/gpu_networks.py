"""Both networks on a GPU: bare ONNX Runtime beside Cordon's lane, by batch size. One JSON object.

`python -m tests.bench.gpu_networks MODELS SECONDS [--provider P]`. Bare is a session with the
provider's own defaults, called by one or two threads with whole batches: its best setting is what
there is to have. The lane is asked as workers ask it: faces of a frame each, frames one by one.
Where there is no GPU the object says why and nothing else.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from cordon_server.domain import ProviderUnavailable
from cordon_server.recognition.detect import DETECT_HEIGHT, DETECT_WIDTH
from cordon_server.recognition.models.pack import load_pack
from cordon_server.recognition.models.prepare import CROP_SIZE, PreparedPack, prepare
from cordon_server.recognition.models.sessions import PROVIDERS, Models, open_models
from tests.bench.bare_embedder import rows_per_s

SHAPES = {"embedder": (3, CROP_SIZE, CROP_SIZE), "detector": (3, DETECT_HEIGHT, DETECT_WIDTH)}
BATCHES = {"embedder": (1, 2, 4, 8, 16, 32, 64, 128), "detector": (1, 2, 4, 8, 16, 32)}
_BARE_THREADS = (1, 2)
_ASKERS = {"embedder": 16, "detector": 32}
_FACES_A_FRAME = 6


def random_rows(network: str, count: int) -> NDArray[np.float32]:
    chance = np.random.default_rng(0)
    return chance.uniform(0, 255, (count, *SHAPES[network])).astype(np.float32)


def bare(prepared: PreparedPack, network: str, provider: str, seconds: float) -> dict[str, Any]:
    """Rows a second by batch, with the better number of threads."""
    file = getattr(prepared, network)
    session = ort.InferenceSession(
        str(file.path), providers=[PROVIDERS[provider]], enable_fallback=0
    )
    name = session.get_inputs()[0].name
    sweep: dict[int, float] = {}
    for batch in BATCHES[network]:
        rows = random_rows(network, batch)

        def run(rows: NDArray[np.float32] = rows) -> int:
            session.run(None, {name: rows})
            return len(rows)

        try:
            sweep[batch] = max(rows_per_s(run, threads, seconds) for threads in _BARE_THREADS)
        except Exception as error:  # noqa: BLE001 - a batch without memory ends the sweep, told.
            return {"sweep": sweep, "ended_by": str(error)[:200]}
    return {"sweep": sweep}


def by_lane(models: Models, network: str, seconds: float) -> dict[str, Any]:
    """Rows a second as one caller's batch grows, and as workers ask."""
    run_network = models.embed if network == "embedder" else models.detect

    def asking(count: int, threads: int) -> float:
        rows = random_rows(network, count)

        def run() -> int:
            run_network(rows)
            return count

        return rows_per_s(run, threads, seconds)

    largest = models.batches[-1] if network == "embedder" else BATCHES[network][-1]
    sweep = {batch: asking(batch, 2) for batch in BATCHES[network] if batch <= largest}
    each = _FACES_A_FRAME if network == "embedder" else 1
    return {"sweep": sweep, "as_asked": asking(min(each, largest), _ASKERS[network])}


def device_name() -> str:
    """As nvidia-smi says, with its driver."""
    ask = ("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
    try:
        said = subprocess.run(ask, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return said.stdout.strip().splitlines()[0]


def measured(models_folder: Path, seconds: float, provider: str) -> dict[str, Any]:
    """Everything, or why there is nothing."""
    prepared = prepare(load_pack(), models_folder)
    try:
        models = open_models(prepared, provider)
        began_s = time.perf_counter()
        models.warm_up(DETECT_WIDTH, DETECT_HEIGHT)
    except ProviderUnavailable as absent:
        return {"why_not": absent.message}
    found: dict[str, Any] = {
        "device": device_name(),
        "warm_up_s": time.perf_counter() - began_s,
    }
    ours = prepared.for_provider(provider)
    for network in SHAPES:
        found[network] = {
            "bare": bare(ours, network, provider, seconds),
            "lane": by_lane(models, network, seconds),
        }
    models.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--provider", default="cuda", choices=tuple(PROVIDERS))
    args = parser.parse_args()
    print(json.dumps(measured(args.models, args.seconds, args.provider)))


if __name__ == "__main__":
    main()
