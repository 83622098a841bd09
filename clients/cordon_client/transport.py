"""A connection to the server: mutual TLS and its limits; knows certificates, not people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

from cordon_client.identity import split_address

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cordon_client.identity import ClientIdentity

MESSAGE_BYTES_MAX = 16 * 1024 * 1024
"""Of one message, either way."""

_OPTIONS = [
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    # A dead peer is noticed within half a minute, on an idle stream too.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # gRPC gives its own pings a minute otherwise, whatever stands above.
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 0),
    # Whoever reconnects decides when; gRPC's own pause must not grow to minutes behind its back.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    # Calls are repeated by `call`, with the same request_id; never unseen.
    ("grpc.enable_retries", 0),
    # Site servers are reached directly (R22).
    ("grpc.enable_http_proxy", 0),
    # Channels of one process do not share connections: each shows its own certificate, and a
    # camera moves to its next one over a second channel.
    ("grpc.use_local_subchannel_pool", 1),
]


def machine_channel(
    identity: ClientIdentity,
    *,
    on_each_call: grpc.CallCredentials | None = None,
    interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
) -> grpc.aio.Channel:
    """A channel that shows the identity's certificate and believes only its site's authority."""
    split_address(identity.server)
    credentials = grpc.ssl_channel_credentials(
        root_certificates=identity.ca_pem,
        private_key=identity.private_key_pem,
        certificate_chain=identity.certificate_pem,
    )
    if on_each_call is not None:
        credentials = grpc.composite_channel_credentials(credentials, on_each_call)
    return _open(identity.server, credentials, interceptors)


def pinned_channel(server: str, ca_pem: bytes) -> grpc.aio.Channel:
    """A channel without a certificate of its own, to whoever the authority vouches for."""
    split_address(server)
    return _open(server, grpc.ssl_channel_credentials(root_certificates=ca_pem), ())


def _open(
    server: str,
    credentials: grpc.ChannelCredentials,
    interceptors: Sequence[grpc.aio.ClientInterceptor],
) -> grpc.aio.Channel:
    return grpc.aio.secure_channel(
        server, credentials, options=_OPTIONS, interceptors=list(interceptors)
    )
