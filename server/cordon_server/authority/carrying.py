"""Changes that are carried through once begun; knows tasks, not what they change."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def carried_through(act: Coroutine[Any, Any, T]) -> T:
    """What `act` makes. A caller that is cancelled meanwhile waits for its end and is cancelled
    then: no change stops half way, and no lock around it is let go before."""
    work = asyncio.ensure_future(act)
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled from work.exception()
    return work.result()
