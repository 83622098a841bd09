"""The gRPC servers: their ports, their TLS, their options, and every service on them."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
from google.protobuf import descriptor_pool
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cordon.v1 import (
    audit_pb2,
    audit_pb2_grpc,
    camera_pb2,
    camera_pb2_grpc,
    deployment_pb2,
    deployment_pb2_grpc,
    identity_pb2,
    identity_pb2_grpc,
    machine_pb2,
    machine_pb2_grpc,
    match_pb2,
    match_pb2_grpc,
    measurement_pb2,
    measurement_pb2_grpc,
    receipt_pb2,
    receipt_pb2_grpc,
    recognition_pb2,
    recognition_pb2_grpc,
    retention_pb2,
    retention_pb2_grpc,
    watchlist_pb2,
    watchlist_pb2_grpc,
)
from cordon_server.api.edge import METADATA_BYTES_MAX, Edge
from cordon_server.api.enrolment import ENROL, EnrolmentEdge
from cordon_server.api.health import HealthServicer
from cordon_server.api.reflection import V1, V1ALPHA, add_reflection
from cordon_server.config.sections import Listen
from cordon_server.domain import ConfigInvalid
from cordon_server.identity.permissions import check_complete
from cordon_server.identity.serving import ServerCertificate, Shown

SERVICES = (
    recognition_pb2.DESCRIPTOR.services_by_name["RecognitionService"].full_name,
    match_pb2.DESCRIPTOR.services_by_name["MatchService"].full_name,
    receipt_pb2.DESCRIPTOR.services_by_name["ReceiptService"].full_name,
    measurement_pb2.DESCRIPTOR.services_by_name["MeasurementService"].full_name,
    watchlist_pb2.DESCRIPTOR.services_by_name["WatchlistService"].full_name,
    deployment_pb2.DESCRIPTOR.services_by_name["DeploymentService"].full_name,
    camera_pb2.DESCRIPTOR.services_by_name["CameraService"].full_name,
    retention_pb2.DESCRIPTOR.services_by_name["RetentionService"].full_name,
    machine_pb2.DESCRIPTOR.services_by_name["MachineService"].full_name,
    identity_pb2.DESCRIPTOR.services_by_name["IdentityService"].full_name,
    audit_pb2.DESCRIPTOR.services_by_name["AuditService"].full_name,
    health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,
)
RECOGNISING = (
    "",
    recognition_pb2.DESCRIPTOR.services_by_name["RecognitionService"].full_name,
    watchlist_pb2.DESCRIPTOR.services_by_name["WatchlistService"].full_name,
)
"""What serves nobody without the networks: the server as a whole, streams and enrolment."""
HANDSHAKE_MS_MAX = 10_000
KEEPALIVE_MS = 20_000
KEEPALIVE_TIMEOUT_MS = 10_000
"""Of every ping, also of those that gRPC sends to measure a connection: left at its own minute, one
of them keeps a camera whose network went silent connected for so long."""
PING_INTERVAL_MS_MIN = 10_000
"""Clients ping every 20 s; half of that is taken for abuse."""
METADATA_BYTES_SOFT = METADATA_BYTES_MAX // 2
"""A call with more metadata may be refused; with more than the whole it always is."""
CONNECTION_AGE_MS_MAX = 20 * 3600 * 1000
"""gRPC spreads it by a tenth either way. A camera's certificate lives 24 hours and is renewed at
two thirds of them, over a connection of its own: no camera's connection gets as old as this."""
CONNECTION_GRACE_MS = 3600 * 1000
"""How long the calls of a connection that is too old may take to end by themselves."""
ENROLMENT_BYTES_MAX = 16 * 2**10
ENROLMENT_STREAMS_MAX = 64
ENROLMENT_IDLE_MS_MAX = 10_000
ENROLMENT_AGE_MS_MAX = 60_000


def make_server(
    listen: Listen, certificate: ServerCertificate, edge: Edge
) -> tuple[grpc.aio.Server, int]:
    """A server for machines with certificates, bound to its port but without services; the port.

    Raises `ConfigInvalid` when the port is taken.
    """
    server = grpc.aio.server(interceptors=[edge], options=_options(listen))
    port = _bind(server, listen.host, listen.port, "listen.port", _credentials(certificate, True))
    return server, port


def make_enrolment_server(
    listen: Listen, port: int, certificate: ServerCertificate, edge: EnrolmentEdge
) -> tuple[grpc.aio.Server, int]:
    """A server for machines that have no certificate yet, on a port of its own; likewise."""
    server = grpc.aio.server(interceptors=[edge], options=_enrolment_options())
    credentials = _credentials(certificate, False)
    return server, _bind(server, listen.host, port, "listen.enrolment_port", credentials)


def add_services(
    server: grpc.aio.Server,
    *,
    recognition: recognition_pb2_grpc.RecognitionServiceServicer,
    matches: match_pb2_grpc.MatchServiceServicer,
    receipts: receipt_pb2_grpc.ReceiptServiceServicer,
    measurement: measurement_pb2_grpc.MeasurementServiceServicer,
    watchlist: watchlist_pb2_grpc.WatchlistServiceServicer,
    deployments: deployment_pb2_grpc.DeploymentServiceServicer,
    cameras: camera_pb2_grpc.CameraServiceServicer,
    retention: retention_pb2_grpc.RetentionServiceServicer,
    machines: machine_pb2_grpc.MachineServiceServicer,
    people: identity_pb2_grpc.IdentityServiceServicer,
    audit: audit_pb2_grpc.AuditServiceServicer,
) -> HealthServicer:
    """Adds every service, then compares their methods with the permission table.

    Returns the health service, which says NOT_SERVING until it is told otherwise.
    """
    recognition_pb2_grpc.add_RecognitionServiceServicer_to_server(recognition, server)
    match_pb2_grpc.add_MatchServiceServicer_to_server(matches, server)
    receipt_pb2_grpc.add_ReceiptServiceServicer_to_server(receipts, server)
    measurement_pb2_grpc.add_MeasurementServiceServicer_to_server(measurement, server)
    watchlist_pb2_grpc.add_WatchlistServiceServicer_to_server(watchlist, server)
    deployment_pb2_grpc.add_DeploymentServiceServicer_to_server(deployments, server)
    camera_pb2_grpc.add_CameraServiceServicer_to_server(cameras, server)
    retention_pb2_grpc.add_RetentionServiceServicer_to_server(retention, server)
    machine_pb2_grpc.add_MachineServiceServicer_to_server(machines, server)
    identity_pb2_grpc.add_IdentityServiceServicer_to_server(people, server)
    audit_pb2_grpc.add_AuditServiceServicer_to_server(audit, server)
    statuses = HealthServicer(SERVICES)
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
    yield ENROL


def _options(listen: Listen) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", listen.message_bytes_max),
        ("grpc.max_send_message_length", listen.message_bytes_max),
        ("grpc.max_concurrent_streams", listen.streams_per_connection_max),
        ("grpc.max_metadata_size", METADATA_BYTES_SOFT),
        ("grpc.absolute_max_metadata_size", METADATA_BYTES_MAX),
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS_MAX),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.http2.ping_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", PING_INTERVAL_MS_MIN),
        ("grpc.max_connection_age_ms", CONNECTION_AGE_MS_MAX),
        ("grpc.max_connection_age_grace_ms", CONNECTION_GRACE_MS),
    ]


def _enrolment_options() -> list[tuple[str, int]]:
    """Of a port that anybody may talk to: small messages, few calls, short connections."""
    return [
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", ENROLMENT_BYTES_MAX),
        ("grpc.max_concurrent_streams", ENROLMENT_STREAMS_MAX),
        ("grpc.max_metadata_size", METADATA_BYTES_SOFT),
        ("grpc.absolute_max_metadata_size", METADATA_BYTES_MAX),
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS_MAX),
        ("grpc.max_connection_idle_ms", ENROLMENT_IDLE_MS_MAX),
        ("grpc.max_connection_age_ms", ENROLMENT_AGE_MS_MAX),
        ("grpc.max_connection_age_grace_ms", HANDSHAKE_MS_MAX),
    ]


def _bind(
    server: grpc.aio.Server,
    host: str,
    port: int,
    setting: str,
    credentials: grpc.ServerCredentials,
) -> int:
    address = f"{host}:{port}"
    try:
        return server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise ConfigInvalid(
            f"{address} cannot be bound: another program uses the port or the address is not this "
            f"machine's; look with: ss -ltnp 'sport = :{port}', or set {setting}"
        ) from error


def _credentials(certificate: ServerCertificate, with_client: bool) -> grpc.ServerCredentials:
    """TLS by the files as they are at each new connection.

    A client without a certificate knows the root by its fingerprint alone, so it is shown that too.
    """
    last = certificate.shown

    def changed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal last
        shown = certificate.refresh()
        if shown is last:
            return None
        last = shown
        return _configuration(shown, with_root=not with_client)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(last, with_root=not with_client),
        changed,  # type: ignore[arg-type]  # grpcio takes None for no change; its stub does not
        require_client_authentication=with_client,
    )


def _configuration(shown: Shown, *, with_root: bool) -> grpc.ServerCertificateConfiguration:
    pair = (shown.key_pem, shown.chain_pem + (shown.root_pem if with_root else b""))
    return grpc.ssl_server_certificate_configuration([pair], shown.root_pem)
