from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Any

import pytest

from cordon_server.domain import CordonError, Unauthenticated
from cordon_server.identity import calls
from cordon_server.identity.calls import NEVER, Call, LiveCalls
from tests.unit.server.machines import DESK, NORTH, a_peer
from tests.unit.server.rooms import Clock

WHY = Unauthenticated("it was revoked", reason="CERTIFICATE_REVOKED")


class Client:
    """The other end of one call, and the handler that works on it here."""

    def __init__(self, live: LiveCalls[str], sha256: str = "aa", *, reads: bool = True) -> None:
        self.heard: list[CordonError] = []
        self._reads = reads
        self.call: Call[str] | None = None
        self._live = live
        self._sha256 = sha256
        self.cleaned_up = False
        self.began = asyncio.Event()
        self.handler = asyncio.create_task(self._work())

    async def _work(self) -> None:
        peer = a_peer(NORTH, sha256=self._sha256)
        self.call = Call("/a/B", peer, None, self._abort, asyncio.current_task())
        try:
            with self._live.running(self.call):
                self.began.set()
                await asyncio.Event().wait()
        finally:
            self.cleaned_up = True

    async def _abort(self, error: CordonError) -> None:
        if not self._reads:
            await asyncio.Event().wait()
        assert not self.handler.done()
        self.heard.append(error)


@asynccontextmanager
async def running(live: LiveCalls[str]) -> AsyncIterator[None]:
    task = asyncio.create_task(live.run())
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def begun(*clients: Client) -> None:
    for client in clients:
        await asyncio.wait_for(client.began.wait(), 5)


async def ended(*clients: Client) -> None:
    done, pending = await asyncio.wait([client.handler for client in clients], timeout=10)
    assert not pending
    assert all(task.cancelled() for task in done)


def until(moment: datetime, clock: Clock) -> Callable[[Call[Any]], datetime]:
    """A judge that honours calls up to a moment."""

    def judge(call: Call[Any]) -> datetime:
        if clock() >= moment:
            raise WHY
        return moment

    return judge


async def test_a_revoked_peers_calls_end_and_no_others(clock: Clock) -> None:
    live: LiveCalls[str] = LiveCalls([], clock=clock)
    async with running(live):
        revoked = [Client(live, "aa") for _ in range(20)]
        others = [Client(live, "bb") for _ in range(3)]
        await begun(*revoked, *others)

        count = live.end(lambda call: call.peer.sha256 == "aa", WHY)
        await ended(*revoked)

        assert count == 20
        assert all(client.heard == [WHY] for client in revoked)
        assert all(client.cleaned_up for client in revoked)
        assert len(live) == 3
        assert not any(client.heard or client.handler.done() for client in others)
        for client in others:
            client.handler.cancel()
        await ended(*others)
        assert len(live) == 0


async def test_the_status_is_sent_before_the_handler_is_stopped(clock: Clock) -> None:
    live: LiveCalls[str] = LiveCalls([], clock=clock)
    async with running(live):
        client = Client(live)
        await begun(client)

        live.end(lambda _: True, WHY)
        await ended(client)

    # Its abort asserts that the handler was still at work when it ran.
    assert client.heard == [WHY]
    assert client.call is not None
    assert client.call.ended_by is WHY


async def test_one_that_reads_nothing_holds_up_nobody_and_is_stopped(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "STOP_S_MAX", 0.05)
    live: LiveCalls[str] = LiveCalls([], clock=clock)
    async with running(live):
        stalled, reading = Client(live, reads=False), Client(live)
        await begun(stalled, reading)

        live.end(lambda _: True, WHY)
        await ended(stalled, reading)

    assert reading.heard == [WHY]
    assert stalled.heard == []
    assert stalled.cleaned_up


async def test_a_call_is_ended_once(clock: Clock) -> None:
    live: LiveCalls[str] = LiveCalls([], clock=clock)
    async with running(live):
        client = Client(live)
        await begun(client)

        assert live.end(lambda _: True, WHY) == 1
        assert live.end(lambda _: True, WHY) == 0
        await ended(client)

    assert client.heard == [WHY]


async def test_a_call_ends_when_what_it_rests_on_does(clock: Clock) -> None:
    soon = clock() + timedelta(milliseconds=50)
    live: LiveCalls[str] = LiveCalls([until(soon, clock)], clock=clock)
    async with running(live):
        client = Client(live)
        await begun(client)
        clock.now = soon

        await ended(client)

    assert client.heard == [WHY]


async def test_every_call_is_judged_anew_every_now_and_then(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert calls.SWEEP_S_MAX <= 30
    monkeypatch.setattr(calls, "SWEEP_S_MAX", 0.02)
    locked: set[str] = set()

    def judge(call: Call[str]) -> datetime:
        if call.peer.sha256 in locked:
            raise WHY
        return NEVER

    live: LiveCalls[str] = LiveCalls([judge], clock=clock)
    async with running(live):
        client, other = Client(live, "aa"), Client(live, "bb")
        await begun(client, other)
        locked.add("aa")

        await ended(client)

        assert not other.handler.done()
        other.handler.cancel()


async def test_a_call_that_may_not_begin_does_not_run(clock: Clock) -> None:
    live: LiveCalls[str] = LiveCalls([until(clock(), clock)], clock=clock)
    call: Call[str] = Call("/a/B", a_peer(DESK), None, _unheard, None)

    with pytest.raises(Unauthenticated), live.running(call):
        raise AssertionError("it ran")

    assert len(live) == 0


async def test_the_first_to_end_decides(clock: Clock) -> None:
    near, far = clock() + timedelta(hours=1), clock() + timedelta(hours=2)
    live: LiveCalls[str] = LiveCalls([until(far, clock), until(near, clock)], clock=clock)
    call: Call[str] = Call("/a/B", a_peer(DESK), None, _unheard, None)

    with live.running(call):
        assert call.good_until == near


async def _unheard(error: CordonError) -> None:
    raise AssertionError(f"nobody asked for {error}")
