"""Connections to the server, and calls over them; knows certificates, not what is asked."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

import grpc

from cordon_client.backoff import full_jitter
from cordon_client.errors import ClientError, from_rpc
from cordon_client.identity import split_address

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cordon_client.identity import ClientIdentity

MESSAGE_BYTES_MAX = 16 * 1024 * 1024
"""Of one message, either way."""

_OPTIONS = [
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    # A dead peer is noticed within half a minute, on an idle stream too.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 0),
    # Whoever reconnects decides when; gRPC's own pause must not grow to minutes behind its back.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    # Calls are repeated by `call`, with the same request_id; never unseen.
    ("grpc.enable_retries", 0),
    # Site servers are reached directly (R22).
    ("grpc.enable_http_proxy", 0),
]

Request = TypeVar("Request")
Response = TypeVar("Response")


def open_channel(identity: ClientIdentity) -> grpc.aio.Channel:
    """A channel that shows the identity's certificate and believes only its site's authority."""
    split_address(identity.server)
    credentials = grpc.ssl_channel_credentials(
        root_certificates=identity.ca_pem,
        private_key=identity.private_key_pem,
        certificate_chain=identity.certificate_pem,
    )
    return grpc.aio.secure_channel(identity.server, credentials, options=_OPTIONS)


@asynccontextmanager
async def connected(identity: ClientIdentity) -> AsyncIterator[grpc.aio.Channel]:
    """A channel for the block; an RPC error that leaves the block leaves as a ClientError."""
    async with open_channel(identity) as channel:
        try:
            yield channel
        except grpc.aio.AioRpcError as error:
            raise await explain(error, identity) from error


async def explain(error: grpc.aio.AioRpcError, identity: ClientIdentity) -> ClientError:
    """`from_rpc` with its look at the connection, off the event loop."""
    return await asyncio.to_thread(from_rpc, error, identity)


async def call(
    method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
    request: Request,
    *,
    timeout_s: float = 30.0,
    attempts_max: int = 3,
) -> Response:
    """One unary call, tried again while the server is UNAVAILABLE.

    The request, its request_id with it, stays the same: a repeated act has one effect.
    """
    waits_s = full_jitter(0.2, 1.0)
    for attempt in range(1, attempts_max + 1):
        try:
            return await method(request, timeout=timeout_s)
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
