"""The gRPC server: its port, its TLS, its options, and every service on it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

# BoringSSL reads this when grpc is loaded. The server's key is ECDSA, so a cipher list for RSA keys
# leaves TLS 1.2 nothing in common, and only TLS 1.3, which ignores the list, is left.
os.environ["GRPC_SSL_CIPHER_SUITES"] = "ECDHE-RSA-AES128-GCM-SHA256"

import grpc
from google.protobuf import descriptor_pool
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from cordon.v1 import (
    camera_pb2,
    camera_pb2_grpc,
    deployment_pb2,
    deployment_pb2_grpc,
    machine_pb2,
    machine_pb2_grpc,
    match_pb2,
    match_pb2_grpc,
    recognition_pb2,
    recognition_pb2_grpc,
    watchlist_pb2,
    watchlist_pb2_grpc,
)
from cordon_server.api.edge import Edge
from cordon_server.api.reflection import V1, V1ALPHA, add_reflection
from cordon_server.config import Listen
from cordon_server.domain import ConfigInvalid
from cordon_server.identity.permissions import check_complete

SERVICES = (
    recognition_pb2.DESCRIPTOR.services_by_name["RecognitionService"].full_name,
    match_pb2.DESCRIPTOR.services_by_name["MatchService"].full_name,
    watchlist_pb2.DESCRIPTOR.services_by_name["WatchlistService"].full_name,
    deployment_pb2.DESCRIPTOR.services_by_name["DeploymentService"].full_name,
    camera_pb2.DESCRIPTOR.services_by_name["CameraService"].full_name,
    machine_pb2.DESCRIPTOR.services_by_name["MachineService"].full_name,
    health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,
)
HANDSHAKE_MS_MAX = 10_000
KEEPALIVE_MS = 20_000
KEEPALIVE_TIMEOUT_MS = 10_000
PING_INTERVAL_MS_MIN = 10_000
"""Clients ping every 20 s; half of that is taken for abuse."""


def make_server(
    listen: Listen, site: str, certificates: Path, *, clock: Callable[[], datetime]
) -> tuple[grpc.aio.Server, int]:
    """A server bound to its port but without services; the port it got.

    Raises `ConfigInvalid` when the port is taken or a certificate cannot be read.
    """
    server = grpc.aio.server(interceptors=[Edge(site=site, clock=clock)], options=_options(listen))
    address = f"{listen.host}:{listen.port}"
    try:
        port = server.add_secure_port(address, _credentials(certificates))
    except RuntimeError as error:
        raise ConfigInvalid(
            f"{address} cannot be bound: another program uses the port or the address is not this "
            f"machine's; look with: ss -ltnp 'sport = :{listen.port}', or set listen.port"
        ) from error
    return server, port


def add_services(
    server: grpc.aio.Server,
    *,
    recognition: recognition_pb2_grpc.RecognitionServiceServicer,
    matches: match_pb2_grpc.MatchServiceServicer,
    watchlist: watchlist_pb2_grpc.WatchlistServiceServicer,
    deployments: deployment_pb2_grpc.DeploymentServiceServicer,
    cameras: camera_pb2_grpc.CameraServiceServicer,
    machines: machine_pb2_grpc.MachineServiceServicer,
) -> health.aio.HealthServicer:
    """Adds every service, then compares their methods with the permission table.

    Returns the health service, which says NOT_SERVING until it is told otherwise.
    """
    recognition_pb2_grpc.add_RecognitionServiceServicer_to_server(recognition, server)
    match_pb2_grpc.add_MatchServiceServicer_to_server(matches, server)
    watchlist_pb2_grpc.add_WatchlistServiceServicer_to_server(watchlist, server)
    deployment_pb2_grpc.add_DeploymentServiceServicer_to_server(deployments, server)
    camera_pb2_grpc.add_CameraServiceServicer_to_server(cameras, server)
    machine_pb2_grpc.add_MachineServiceServicer_to_server(machines, server)
    statuses = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(statuses, server)
    add_reflection(server, SERVICES)
    check_complete(methods())
    return statuses


def methods() -> Iterator[str]:
    """Every method that is served, reflection and health included, as gRPC spells its path."""
    pool = descriptor_pool.Default()
    for service in SERVICES:
        for method in pool.FindServiceByName(service).methods:
            yield f"/{service}/{method.name}"
    yield from (f"/{name}/ServerReflectionInfo" for name in (V1ALPHA, V1))


def _options(listen: Listen) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", listen.message_bytes_max),
        ("grpc.max_send_message_length", listen.message_bytes_max),
        ("grpc.max_concurrent_streams", listen.streams_per_connection_max),
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS_MAX),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", PING_INTERVAL_MS_MIN),
    ]


def _credentials(certificates: Path) -> grpc.ServerCredentials:
    try:
        key = (certificates / "server-key.pem").read_bytes()
        chain = (certificates / "server.pem").read_bytes()
        authority = (certificates / "ca.pem").read_bytes()
    except OSError as error:
        raise ConfigInvalid(
            f"the server's certificates cannot be read: {error}; make them with: cordon server init"
        ) from error
    return grpc.ssl_server_credentials([(key, chain)], authority, require_client_auth=True)
