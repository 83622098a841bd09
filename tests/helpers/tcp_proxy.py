"""A network between a client and a server that stops carrying when the test says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_CHUNK = 4096


class TcpProxy:
    """Carries bytes both ways, those of the client up to an allowance."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._allowance: int | None = None
        self._changed = asyncio.Condition()
        self._writers: list[asyncio.StreamWriter] = []
        self.address = ""

    async def stall_after(self, count: int) -> None:
        """Lets so many more bytes of the client through, and then none."""
        async with self._changed:
            self._allowance = count

    async def wait_until_stalled(self) -> None:
        """Returns when the allowance is used up."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._allowance == 0)

    async def go_on(self) -> None:
        """Lets everything through again."""
        async with self._changed:
            self._allowance = None
            self._changed.notify_all()

    def cut(self) -> None:
        """Both sides lose their connection, without a word."""
        for writer in self._writers:
            writer.transport.abort()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[TcpProxy]:
        """Listens for the block, on loopback."""
        server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.address = f"localhost:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            self.cut()

    async def _carry(self, up: asyncio.StreamReader, down: asyncio.StreamWriter) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers += [down, writer]
        # Cancelled when the loop ends, which asyncio's streams take for a fault.
        with suppress(OSError, asyncio.CancelledError):
            await asyncio.gather(self._client(up, writer), self._server(reader, down))
        self.cut()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            while data:
                data = data[await self._spend(data, writer) :]

    async def _spend(self, data: bytes, writer: asyncio.StreamWriter) -> int:
        """Sends what is allowed of the bytes; how many."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._allowance != 0)
            count = len(data) if self._allowance is None else min(len(data), self._allowance)
            if self._allowance is not None:
                self._allowance -= count
                self._changed.notify_all()
        writer.write(data[:count])
        await writer.drain()
        return count

    async def _server(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
