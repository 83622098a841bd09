"""What sealing costs the engine and arming: prints one JSON object. `ROUNDS` is its argument.

Frames of 24 people of whom two are listed, which is more than any street has: each frame's matches
are logged with their pictures, into a sealed database and into a plain one, in turns. Times are of
the processor, so that neither the disk nor what else runs on the machine counts.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from cordon_server.acts import Act
from cordon_server.authority import watchlist_tables
from cordon_server.authority.watchlist import Watchlist
from cordon_server.authority.watchlist_acts import ListRecord
from cordon_server.authority.watchlist_records import EntryRecord, ReferenceRecord
from cordon_server.authority.watchlist_rules import CategoryRule, EntryRules, ListRules
from cordon_server.domain import Frame, Quality, Template
from cordon_server.gallery import Gallery, Reference
from cordon_server.matches.log import MatchLog
from cordon_server.recognition.analyse import Analyser
from cordon_server.recognition.enrol import Enroller
from cordon_server.recognition.models.sessions import Models
from cordon_server.sessions.deployment import TABLES
from cordon_server.store.environment import Environment, Transaction
from cordon_server.store.sealing import DeploymentSealer, PlainSealer, Sealer
from tests.bench.accuracy import shipped_models
from tests.bench.mosaic import write_mosaics

ENTRIES = 20_000
FRAMES = 6
LISTED_A_FRAME = 2
FACE_BYTES = 12_000
"""Of a reference picture, as enrolment keeps it."""
SIZE_BYTES_MAX = 2 * 2**30
QUALITY = Quality(0.9, 60.0, 200.0, 120.0, 1.0, 2.0)


class NoRecord:
    """Costs nothing, for what is compared is the sealing."""

    async def record(self, act: Act) -> int:
        return 0


def now() -> datetime:
    return datetime.now(UTC)


def main() -> None:
    rounds = int(sys.argv[1])
    models = shipped_models()
    with tempfile.TemporaryDirectory() as folder:
        result = {
            **asyncio.run(_engine(models, Path(folder), rounds)),
            **asyncio.run(_arming(models, Path(folder))),
        }
    print(json.dumps(result))


async def _engine(models: Models, folder: Path, rounds: int) -> dict[str, object]:
    write_mosaics(folder / "frames", width=1500, height=1000, columns=6, rows=4, frames=FRAMES)
    frames = [file.read_bytes() for file in sorted((folder / "frames").iterdir())]
    analyser = Analyser(models)
    gallery = _gallery(models)
    for number, jpeg in enumerate(frames):
        probes = analyser.probes(jpeg)[:LISTED_A_FRAME]
        gallery.add(
            Reference(f"s-{number}-{at}", "0", Template(probe.vector, models.pack.model_id))
            for at, probe in enumerate(probes)
        )
    rates: dict[str, list[float]] = {"sealed": [], "plain": []}
    matches = 0
    sealers: dict[str, Sealer] = {"sealed": _sealer(models), "plain": PlainSealer()}
    for _ in range(rounds):
        for name, sealer in sealers.items():
            with _opened(folder / name, sealer) as environment:
                log = _log(environment, models)
                began_s = time.process_time()
                for number, jpeg in enumerate(frames):
                    result = analyser.analyse(jpeg, gallery)
                    frame = Frame("north", number + 1, now(), 0.0, jpeg)
                    matches += len(await log.append(frame, result.sightings))
                rates[name].append(len(frames) / (time.process_time() - began_s))
                await environment.close()
    return {**rates, "matches_a_frame": matches / (2 * rounds * len(frames))}


async def _arming(models: Models, folder: Path) -> dict[str, object]:
    with _opened(folder / "list", _sealer(models)) as environment:
        environment.write_now(lambda txn: _fill(txn, models))
        rules = ListRules(
            threshold=models.pack.score_threshold,
            duplicate_score=0.8,
            entries_max=ENTRIES,
            references_per_entry_max=10,
            entry=EntryRules({"wanted": CategoryRule()}),
        )
        with ThreadPoolExecutor(1) as examining:
            watchlist = Watchlist(
                environment,
                lambda: _gallery(models),
                rules,
                examiner=Enroller(models),
                executor=examining,
                clock=now,
                record=ListRecord(NoRecord(), "bench"),
            )
            began_s = time.perf_counter()
            await watchlist.load()
            took_s = time.perf_counter() - began_s
        assert len(watchlist.gallery) == ENTRIES
        await environment.close()
    return {"arming_s": took_s}


def _fill(txn: Transaction, models: Models) -> None:
    chance = np.random.default_rng(5)
    vectors = chance.standard_normal((ENTRIES, models.pack.dimension), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    moment = now()
    for number, vector in enumerate(vectors):
        entry = EntryRecord(f"s-{number:05d}", "wanted", moment)
        digest = f"{number:064x}"
        record = ReferenceRecord(
            entry_id=entry.entry_id,
            reference_id=digest[-16:],
            image_sha256=digest,
            quality=QUALITY,
            create_time=moment,
            model_id=models.pack.model_id,
            vector=vector.astype("<f4").tobytes(),
        )
        watchlist_tables.put(txn, entry, record, os.urandom(FACE_BYTES))


def _gallery(models: Models) -> Gallery:
    pack = models.pack
    return Gallery(model_id=pack.model_id, dimension=pack.dimension, threshold=pack.score_threshold)


def _sealer(models: Models) -> DeploymentSealer:
    return DeploymentSealer(os.urandom(32), model_id=models.pack.model_id)


def _log(environment: Environment, models: Models) -> MatchLog:
    return MatchLog(
        environment,
        deployment_id="bench",
        model_id=models.pack.model_id,
        recorder=NoRecord(),
        clock=now,
    )


@contextmanager
def _opened(folder: Path, sealer: Sealer) -> Iterator[Environment]:
    """An empty database; whoever opened it closes it."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as own, ThreadPoolExecutor(1) as writer:
        yield Environment(
            Path(own), TABLES, size_bytes_max=SIZE_BYTES_MAX, sealer=sealer, writer=writer
        )


if __name__ == "__main__":
    main()
