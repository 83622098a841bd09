"""A deployment's match log, followed without a gap or a repetition across lost connections.

Knows the stream and its positions, not what is done with a match.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from cordon.v1 import match_pb2
from cordon.v1.match_pb2_grpc import MatchServiceStub
from cordon_client.backoff import full_jitter
from cordon_client.channel import explain, open_channel
from cordon_client.errors import ClientError, ExitCode
from cordon_client.person import mend

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cordon.v1.match_pb2_grpc import MatchServiceAsyncStub
    from cordon_client.identity import ClientIdentity

_BASE_S, _CAP_S = 0.2, 5.0


class Enough(Exception):  # noqa: N818 - not an error: how a consumer says that it has what it wants
    """Raised by `on_match` to end the following."""


@dataclass(slots=True)
class Follower:
    """Hands over each match after position `last`, once, in order.

    `last` moves on only when `on_match` has returned: what it could not finish because the
    connection broke comes again.
    """

    identity: ClientIdentity
    deployment: str
    """Its resource name."""
    last: int
    """The last sequence already had; 0 from the beginning."""
    on_match: Callable[[MatchServiceAsyncStub, match_pb2.Match], Awaitable[None]]
    on_trouble: Callable[[str], None]
    """Is told in words when the connection is lost, and when it is back."""

    _told: str = ""
    """The trouble that was told last; empty while connected."""
    _is_mended: bool = False
    """A person signed in again since the last answer."""

    async def run(self) -> None:
        """Returns when `on_match` has enough; a ClientError where trying again cannot help."""
        async with open_channel(self.identity) as channel:
            stub = MatchServiceStub(channel)
            waits_s = full_jitter(_BASE_S, _CAP_S)
            while True:
                try:
                    await self._subscribe(stub)
                    trouble = _unavailable("The server ended the stream.")
                except Enough:
                    return
                except grpc.aio.AioRpcError as error:
                    trouble = await self._weigh(error)
                if not self._told:
                    waits_s = full_jitter(_BASE_S, _CAP_S)
                if self._told != trouble.what:
                    self._told = trouble.what
                    self.on_trouble(f"{trouble.what} Trying again from #{self.last + 1}.")
                await asyncio.sleep(next(waits_s))

    async def _subscribe(self, stub: MatchServiceAsyncStub) -> None:
        request = match_pb2.SubscribeMatchesRequest(
            parent=self.deployment, after_sequence=self.last
        )
        stream = stub.SubscribeMatches(request)
        try:
            async for response in stream:
                self._is_mended = False
                if self._told:
                    self._told = ""
                    self.on_trouble("Connected again.")
                if response.HasField("match"):
                    await self._take(stub, response.match)
                elif response.HasField("deletion"):
                    self._pass_over(response.deletion)
        finally:
            stream.cancel()

    async def _take(self, stub: MatchServiceAsyncStub, match: match_pb2.Match) -> None:
        if match.sequence <= self.last:
            return  # Had already.
        if match.sequence != self.last + 1:
            raise self._gap(match.sequence)
        await self.on_match(stub, match)
        self.last = match.sequence

    def _pass_over(self, deletion: match_pb2.Deletion) -> None:
        """What stood there is gone because its time was over, and the log goes on after it."""
        self.last = max(self.last, deletion.through_sequence)

    def _gap(self, arrived: int) -> ClientError:
        return ClientError(
            f"The stream jumped from #{self.last} to #{arrived}: matches are missing.",
            why="The log has no gaps, so the server's log is damaged.",
            hint=f"cordon control matches {self.deployment}",
        )

    async def _weigh(self, error: grpc.aio.AioRpcError) -> ClientError:
        """Why the connection was lost; raised where trying again cannot help."""
        if error.code() is grpc.StatusCode.CANCELLED:
            return _unavailable("The server cut the stream.")
        if not self._is_mended and await mend(error, self.identity):
            self._is_mended = True
            return _unavailable("The session was over.")
        reason = await explain(error, self.identity)
        if reason.exit_code is not ExitCode.UNAVAILABLE:
            raise reason
        return reason


def _unavailable(what: str) -> ClientError:
    return ClientError(what, exit_code=ExitCode.UNAVAILABLE)
