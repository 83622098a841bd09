"""Every running call and whose it is, so that it can be ended when its caller may no longer call.

It knows who called and until when that holds, not how gRPC ends a call: that comes with each call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import structlog

from cordon_server.domain import CordonError
from cordon_server.identity.peers import Peer

log = structlog.get_logger()

SWEEP_S_MAX = 30.0
"""Every running call is judged anew at least this often, and when one is known to expire."""
STOP_S_MAX = 0.5
"""A client that reads nothing may keep its status waiting; its handler is stopped after this."""

NEVER = datetime.max.replace(tzinfo=UTC)

P = TypeVar("P")


@dataclass(eq=False, slots=True)
class Call(Generic[P]):
    """A running call."""

    method: str
    peer: Peer
    person: P | None
    """Whoever signed in at the peer; None where the certificate alone calls."""
    abort: Callable[[CordonError], Awaitable[None]]
    """Sends the error as the call's status."""
    handler: asyncio.Task[Any] | None
    """What works on the call; cancelled once the status is sent, so that it cleans up."""
    deployment_id: str = field(default="", init=False)
    """The deployment that it acts on, where the caller may not act on every one."""
    ended_by: CordonError | None = field(default=None, init=False)
    """Why it was ended from here."""
    good_until: datetime = field(default=NEVER, init=False)
    """What the judges said last."""


Judge = Callable[[Call[P]], datetime]
"""Until when a call may go on by what is known now; raises the error that it is to end with."""


class LiveCalls(Generic[P]):
    """The calls that run. Used from the event loop alone."""

    def __init__(self, judges: Sequence[Judge[P]], *, clock: Callable[[], datetime]) -> None:
        self._judges = judges
        self._clock = clock
        self._calls: set[Call[P]] = set()
        self._to_stop: list[Call[P]] = []
        self._wake_time = NEVER
        self._woken = asyncio.Event()

    def __len__(self) -> int:
        return len(self._calls)

    @contextmanager
    def running(self, call: Call[P]) -> Iterator[None]:
        """Counts the call as running for the block; raises what the judges say against it."""
        self._judge(call)
        self._calls.add(call)
        if call.good_until < self._wake_time:
            self._woken.set()
        try:
            yield
        finally:
            self._calls.discard(call)

    def end(self, which: Callable[[Call[P]], bool], error: CordonError) -> int:
        """Ends the calls that `which` names, with the error's status; how many they are.

        They end at once: `run` aborts each in a task of its own, and none waits for another.
        """
        ending = [call for call in self._calls if call.ended_by is None and which(call)]
        for call in ending:
            self._end(call, error)
        if ending:
            log.info("calls.ended", count=len(ending), why=error.reason)
        return len(ending)

    def look_again(self) -> None:
        """Has every running call judged anew now: something that its judges look at has changed."""
        self._woken.set()

    async def run(self) -> None:
        """Stops what `end` names and judges all others every now and then, until cancelled."""
        async with asyncio.TaskGroup() as stopping:
            while True:
                self._woken.clear()
                self._sweep()
                for call in self._to_stop:
                    stopping.create_task(_stop(call))
                self._to_stop.clear()
                await self._wait()

    def _judge(self, call: Call[P]) -> None:
        call.good_until = min((judge(call) for judge in self._judges), default=NEVER)

    def _sweep(self) -> None:
        for call in [each for each in self._calls if each.ended_by is None]:
            try:
                self._judge(call)
            except CordonError as error:
                self._end(call, error)
                log.info(
                    "call.ended",
                    method=call.method,
                    peer=str(call.peer.spiffe_id),
                    why=error.reason,
                )

    def _end(self, call: Call[P], error: CordonError) -> None:
        call.ended_by = error
        self._to_stop.append(call)
        self._woken.set()

    async def _wait(self) -> None:
        """Until something is to be stopped, a call expires, or it is time to look again."""
        going_on = (call.good_until for call in self._calls if call.ended_by is None)
        self._wake_time = min(going_on, default=NEVER)
        wait_s = min(SWEEP_S_MAX, (self._wake_time - self._clock()).total_seconds())
        try:
            async with asyncio.timeout(max(wait_s, 0.01)):
                await self._woken.wait()
        except TimeoutError:
            return


async def _stop(call: Call[P]) -> None:
    """Tells the client, then stops the handler; that alone would leave the client hanging."""
    assert call.ended_by is not None
    try:
        async with asyncio.timeout(STOP_S_MAX):
            await call.abort(call.ended_by)
    except TimeoutError:
        log.warning("call.stalled", method=call.method, peer=str(call.peer.spiffe_id))
    if call.handler is not None:
        call.handler.cancel()
