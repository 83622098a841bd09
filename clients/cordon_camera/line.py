"""A camera's way to the server: a channel for each stream, the next one ready before it is needed.

The stream moves to another channel when the certificate has been renewed, and when the server takes
no new calls on this one (a connection has a maximum age). Knows channels and certificates, not
frames.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from time import monotonic

import grpc

from cordon_camera.renewing import renewed
from cordon_camera.report import in_one_line
from cordon_client.backoff import full_jitter
from cordon_client.dates import renewal_wait, validity_of
from cordon_client.errors import ClientError, ExitCode
from cordon_client.identity import ClientIdentity
from cordon_client.output import local_time
from cordon_client.transport import machine_channel

_READY_S_MAX = 10.0
_LOOK_EVERY_S = 60.0
"""A computer that slept, or whose clock was set, notices within this."""
_RETRY_BASE_S, _RETRY_CAP_S = 1.0, 60.0


class Line:
    """One camera's. `turn` is set while the stream should be left for the channel that waits."""

    def __init__(self, identity: ClientIdentity, note: Callable[[str, str], None]) -> None:
        self.identity = identity
        self.turn = asyncio.Event()
        self._note = note
        self._next: grpc.aio.Channel | None = None

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[grpc.aio.Channel]:
        """For one stream: the channel that waits, else a new one; closed after it."""
        channel, self._next = self._next or machine_channel(self.identity), None
        self.turn.clear()
        watching = asyncio.create_task(self._watch(channel))
        try:
            yield channel
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await channel.close()

    async def keep(self) -> None:
        """Renews the certificate at two thirds of its life, again and again, until cancelled."""
        waits_s = full_jitter(_RETRY_BASE_S, _RETRY_CAP_S)
        wait = self._wait(is_new=False)
        try:
            while True:
                await _sleep(wait)
                if await self._renew():
                    waits_s = full_jitter(_RETRY_BASE_S, _RETRY_CAP_S)
                    wait = self._wait(is_new=True)
                else:
                    wait = timedelta(seconds=next(waits_s))
        finally:
            if self._next is not None:
                await self._next.close()

    def _wait(self, *, is_new: bool) -> timedelta:
        try:
            return renewal_wait(self.identity.certificate_pem, datetime.now(UTC), is_new=is_new)
        except ValueError as error:
            folder = self.identity.folder
            raise ClientError(
                f"{folder}/cert.pem is not a certificate.",
                hint=f"cordon doctor --identity {folder}",
                exit_code=ExitCode.SIGN_IN,
            ) from error

    async def _renew(self) -> bool:
        try:
            self.identity = await renewed(self.identity)
        except ClientError as error:
            self._note("not renewed", in_one_line(error))
            return False
        _, end = validity_of(self.identity.certificate_pem)
        self._note("renewed", f"certificate until {local_time(end)}")
        await self._prepare()
        return True

    async def _watch(self, channel: grpc.aio.Channel) -> None:
        """Prepares the next channel when the server wants no more calls on this one."""
        state = channel.get_state()
        while state is not grpc.ChannelConnectivity.READY:
            await channel.wait_for_state_change(state)
            state = channel.get_state()
        await channel.wait_for_state_change(state)
        await self._prepare()

    async def _prepare(self) -> None:
        """Connects the next channel, then asks the stream to move; without one it stays."""
        channel = machine_channel(self.identity)
        try:
            async with asyncio.timeout(_READY_S_MAX):
                await channel.channel_ready()
        except TimeoutError:
            await channel.close()
            return
        except asyncio.CancelledError:
            await channel.close()
            raise
        before, self._next = self._next, channel
        if before is not None:
            await before.close()
        self.turn.set()


async def _sleep(wait: timedelta) -> None:
    """Until the time is over, by either clock: one stands still while a computer sleeps."""
    end, end_s = datetime.now(UTC) + wait, monotonic() + wait.total_seconds()
    while (left_s := end_s - monotonic()) > 0 and datetime.now(UTC) < end:  # noqa: ASYNC110 - a clock sets no event
        await asyncio.sleep(min(left_s, _LOOK_EVERY_S))
