"""The server from a camera's side: reachable, ours, clocks together, ready for this camera."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import grpc

from cordon.v1.recognition_pb2_grpc import RecognitionServiceStub
from cordon_camera.messages import clock_offset_s, hello_message
from cordon_client.channel import explain
from cordon_client.errors import ClientError, ExitCode
from cordon_client.probe import check_certificate, check_tcp, check_tls
from cordon_client.transport import machine_channel

if TYPE_CHECKING:
    from cordon.v1 import recognition_pb2 as pb
    from cordon_client.identity import ClientIdentity

_WELCOME_S_MAX = 10.0
_CLOCK_OFF_S = 5.0
_READY_BUT = {
    grpc.StatusCode.FAILED_PRECONDITION: "it waits",
    grpc.StatusCode.ALREADY_EXISTS: "this camera is streaming now",
}
"""Statuses that show that all is well between camera and server."""


async def check_server(identity: ClientIdentity) -> AsyncIterator[tuple[str, ClientError | str]]:
    """Each step with its error, or a word on what is well; ends after the first error."""
    steps: tuple[tuple[str, Callable[[], None]], ...] = (
        ("certificate", lambda: check_certificate(identity, datetime.now(UTC))),
        ("server", lambda: check_tcp(identity)),
        ("secure connection", lambda: check_tls(identity)),
    )
    for name, look in steps:
        try:
            await asyncio.to_thread(look)
        except ClientError as error:
            yield name, error
            return
        yield name, identity.server if name == "server" else ""
    try:
        welcome = await _welcome(identity)
    except grpc.aio.AioRpcError as error:
        yield "stream", await _stream_verdict(error, identity)
        return
    yield "clock", _clock_verdict(clock_offset_s(welcome))
    yield "stream", f"as {welcome.camera}, for {welcome.deployment}"


async def _welcome(identity: ClientIdentity) -> pb.Welcome:
    """Says Hello, hears Welcome, leaves; no frame is sent."""
    async with machine_channel(identity) as channel:
        call = RecognitionServiceStub(channel).StreamFrames(timeout=_WELCOME_S_MAX)
        await call.write(hello_message(stills=False))
        first: Any = await call.read()
        call.cancel()
        welcome: pb.Welcome = first.welcome
        return welcome


async def _stream_verdict(
    error: grpc.aio.AioRpcError, identity: ClientIdentity
) -> ClientError | str:
    well = _READY_BUT.get(error.code())
    if well is not None:
        return f"{well}: {error.details()}"
    return await explain(error, identity)


def _clock_verdict(offset_s: float) -> ClientError | str:
    if abs(offset_s) <= _CLOCK_OFF_S:
        return f"{abs(offset_s):.1f} s apart"
    direction = "ahead of" if offset_s > 0 else "behind"
    return ClientError(
        f"This machine's clock is {abs(offset_s):.0f} s {direction} the server's.",
        "Matches would carry the wrong time.",
        "sudo timedatectl set-ntp true",
        exit_code=ExitCode.FAILED,
        reason="CLOCK_OFF",
    )
