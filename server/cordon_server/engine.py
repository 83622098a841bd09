"""The recognition engine, put together: networks, workers, scheduler, and who examines pictures."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass

from cordon_server.config import Settings
from cordon_server.parts import (
    analyser_settings,
    calibration,
    decoder,
    load_rules,
    open_pack,
    open_pictures,
)
from cordon_server.recognition.analyse import Analyser
from cordon_server.recognition.enrol import Enroller
from cordon_server.recognition.gpu_decode import GpuPictures
from cordon_server.recognition.load import Load
from cordon_server.recognition.models.sessions import Models
from cordon_server.recognition.scheduler import Scheduler
from cordon_server.sessions.load_watch import LoadWatch

SWITCH_S = 0.0005
"""How long a thread may keep the interpreter from another where a GPU's thread is one of them.
Python's own 5 ms are several batches."""


@dataclass(frozen=True, slots=True)
class Engine:
    """What recognises. The scheduler is stopped by whoever drains the server."""

    models: Models
    pictures: GpuPictures | None
    """None where the CPU decodes."""
    scheduler: Scheduler
    load: LoadWatch
    enroller: Enroller
    examining: Executor
    workers: int


async def open_engine(stack: AsyncExitStack, settings: Settings) -> Engine:
    """Loads the models and measures what they cost; leaving the stack closes them.

    Raises `ModelRefused` or `ProviderUnavailable`.
    """
    models = await asyncio.to_thread(open_pack, settings)
    stack.push_async_callback(asyncio.to_thread, models.close)
    if models.provider != "cpu":
        stack.callback(sys.setswitchinterval, sys.getswitchinterval())
        sys.setswitchinterval(SWITCH_S)
    pictures = await asyncio.to_thread(open_pictures, models)
    if pictures is not None:
        stack.push_async_callback(asyncio.to_thread, pictures.close)
    measured = await asyncio.to_thread(calibration, models, settings, pictures)
    models.limit_batch(measured.batch)
    workers = settings.recognition.workers or measured.workers
    analysers = [
        Analyser(models, analyser_settings(settings), decoder(settings, pictures))
        for _ in range(workers)
    ]
    load = Load(workers, load_rules(settings), measured.typical_s)
    return Engine(
        models,
        pictures,
        Scheduler(analysers, age_s_max=settings.recognition.frame_age_s_max),
        LoadWatch(load, settings.recognition.weights),
        Enroller(models),
        stack.enter_context(ThreadPoolExecutor(workers, thread_name_prefix="examining")),
        workers,
    )
