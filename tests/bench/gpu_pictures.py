"""Street frames decoded by nvImageCodec, 1, 8 and 32 workers at once. One JSON object.

`python -m tests.bench.gpu_pictures FRAMES SECONDS`. Each worker asks for a whole 1080p picture in
its own buffer on the host, as analysers do; beside it, what one core decodes. Where nvImageCodec
does not work the object says so and has the core's figure alone.
"""

from __future__ import annotations

import argparse
import itertools
import json
import threading
from pathlib import Path
from typing import Any

from cordon_server.recognition.decode import Decoder
from cordon_server.recognition.gpu_decode import (
    GpuDecoder,
    GpuPictures,
    PictureMemory,
    open_gpu_pictures,
)
from cordon_server.recognition.models.cudart import load_cudart
from tests.bench.bare_embedder import rows_per_s
from tests.bench.street import frame_files

WORKERS = (1, 8, 32)


def by_workers(pictures: GpuPictures, jpegs: list[bytes], seconds: float) -> dict[str, Any]:
    """Pictures a second by workers, and how many were decoded together in the mean."""
    rates, together = {}, {}
    for workers in WORKERS:
        own, before = threading.local(), dict(pictures.batches)

        def run(own: threading.local = own) -> int:
            if not hasattr(own, "decoder"):
                own.decoder, own.jpegs = GpuDecoder(pictures), itertools.cycle(jpegs)
            own.decoder.decode(next(own.jpegs))
            return 1

        rates[workers] = rows_per_s(run, workers, seconds)
        batches = {size: n - before.get(size, 0) for size, n in pictures.batches.items()}
        together[workers] = sum(s * n for s, n in batches.items()) / sum(batches.values())
    return {"pictures_per_s": rates, "together": together}


def measured(frames: Path, seconds: float, memory: PictureMemory) -> dict[str, Any]:
    jpegs = [file.read_bytes() for file in frame_files(frames)]
    decoder, turn = Decoder(), itertools.cycle(jpegs)
    core = rows_per_s(lambda: bool(decoder.decode(next(turn)).size), 1, seconds)
    pictures = open_gpu_pictures(memory)
    if pictures is None:
        return {"core_pictures_per_s": core}
    try:
        return {"core_pictures_per_s": core, **by_workers(pictures, jpegs, seconds)}
    finally:
        pictures.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("frames", type=Path)
    parser.add_argument("seconds", type=float)
    args = parser.parse_args()
    print(json.dumps(measured(args.frames, args.seconds, load_cudart())))


if __name__ == "__main__":
    main()
