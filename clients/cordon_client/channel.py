"""Connections to the server, and calls over them; knows who asks, not what is asked."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

import grpc

from cordon_client.backoff import full_jitter
from cordon_client.errors import ClientError, from_rpc
from cordon_client.transport import machine_channel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cordon_client.identity import ClientIdentity

JUSTIFICATION_KEY = "cordon-justification-bin"
"""Of the metadata in which a person says why, UTF-8."""

Request = TypeVar("Request")
Response = TypeVar("Response")


@asynccontextmanager
async def open_channel(identity: ClientIdentity) -> AsyncIterator[grpc.aio.Channel]:
    """A channel for the block, on whose calls goes the token of whoever is signed in.

    The token is renewed in silence, however long the block takes. A camera has no person.
    """
    if identity.role == "camera":
        async with machine_channel(identity) as channel:
            yield channel
        return
    # Imported here: cameras do without it.
    from cordon_client.person import Mending, staying_signed_in

    async with staying_signed_in(identity) as token:
        mending = Mending(identity)
        async with machine_channel(identity, on_each_call=token, interceptors=[mending]) as channel:
            yield channel


@asynccontextmanager
async def connected(identity: ClientIdentity) -> AsyncIterator[grpc.aio.Channel]:
    """A channel for the block; an RPC error that leaves the block leaves as a ClientError."""
    async with explained(identity), open_channel(identity) as channel:
        yield channel


@asynccontextmanager
async def explained(identity: ClientIdentity) -> AsyncIterator[None]:
    """An RPC error that leaves the block leaves as a ClientError."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise await explain(error, identity) from error


async def explain(error: grpc.aio.AioRpcError, identity: ClientIdentity) -> ClientError:
    """`from_rpc` with its look at the connection, off the event loop."""
    return await asyncio.to_thread(from_rpc, error, identity)


async def call(
    method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
    request: Request,
    *,
    reason: str = "",
    timeout_s: float = 30.0,
    attempts_max: int = 3,
) -> Response:
    """One unary call, tried again while the server is UNAVAILABLE.

    The request, its request_id with it, stays the same: a repeated act has one effect. `reason` is
    the caller's justification, where a method asks for one.
    """
    metadata = ((JUSTIFICATION_KEY, reason.encode()),) if reason else None
    waits_s = full_jitter(0.2, 1.0)
    for attempt in range(1, attempts_max + 1):
        try:
            return await method(request, timeout=timeout_s, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            if attempt == attempts_max or error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
        await asyncio.sleep(next(waits_s))
    raise AssertionError("attempts_max is at least 1")


async def pages(
    method: grpc.aio.UnaryUnaryMultiCallable[Request, Response], request: Request
) -> AsyncIterator[Response]:
    """Every page of a list; `request` is the first page's and is moved along."""
    while True:
        page = await call(method, request)
        yield page
        request.page_token = page.next_page_token  # type: ignore[attr-defined]
        if not request.page_token:  # type: ignore[attr-defined]
            return


def new_request_id() -> str:
    """A fresh UUID for one act."""
    return str(uuid.uuid4())
