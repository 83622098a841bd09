"""Shows single pictures to the recognition that runs, one after the other, beside the cameras."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import count

from cordon_server.domain import Frame
from cordon_server.gallery import Gallery
from cordon_server.recognition.line import Outcome
from cordon_server.recognition.scheduler import Scheduler
from cordon_server.recognition.zone import Zone

Show = Callable[[bytes], Awaitable[Outcome]]
"""Takes a JPEG; what recognition made of it. The one before has been answered."""


@contextmanager
def showing(
    scheduler: Scheduler,
    name: str,
    gallery: Gallery,
    *,
    clock: Callable[[], datetime],
    zone: Zone | None = None,
) -> Iterator[Show]:
    """Shows pictures for the block; nothing counts or logs what they show. Only from the loop."""
    loop, outcomes, numbers = asyncio.get_running_loop(), asyncio.Queue[Outcome](1), count(1)

    def deliver(outcome: Outcome) -> None:
        loop.call_soon_threadsafe(outcomes.put_nowait, outcome)

    mailbox = scheduler.open_mailbox(name, gallery, deliver, stills=True, zone=zone)

    async def show(jpeg: bytes) -> Outcome:
        mailbox.put(Frame(name, next(numbers), clock(), time.monotonic(), jpeg))
        return await outcomes.get()

    try:
        yield show
    finally:
        mailbox.close()
