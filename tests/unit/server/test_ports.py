"""What both ports promise by their options."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cordon_server.api.edge import METADATA_BYTES_MAX
from cordon_server.api.server import _enrolment_options, _options
from cordon_server.config.sections import Listen
from cordon_server.identity.certificates import LIFE_MAX
from cordon_server.identity.names import Role

OPTIONS = {"main": dict(_options(Listen())), "enrolment": dict(_enrolment_options())}
JITTER = 0.1
"""gRPC spreads the age of connections by so much either way."""


def test_a_camera_renews_before_its_connection_is_too_old() -> None:
    renewed_after = LIFE_MAX[Role.CAMERA] * 2 / 3
    age = timedelta(milliseconds=OPTIONS["main"]["grpc.max_connection_age_ms"])

    assert age * (1 - JITTER) > renewed_after


@pytest.mark.parametrize("port", OPTIONS)
def test_connections_have_an_age_and_a_port_one_owner(port: str) -> None:
    options = OPTIONS[port]

    assert 0 < options["grpc.max_connection_age_ms"] <= 24 * 3600 * 1000
    assert options["grpc.max_connection_age_grace_ms"] > 0
    assert options["grpc.so_reuseport"] == 0
    assert options["grpc.server_handshake_timeout_ms"] <= 10_000
    assert options["grpc.absolute_max_metadata_size"] == METADATA_BYTES_MAX
    assert options["grpc.max_metadata_size"] < METADATA_BYTES_MAX


def test_strangers_get_little() -> None:
    main, enrolment = OPTIONS["main"], OPTIONS["enrolment"]

    assert enrolment["grpc.max_receive_message_length"] <= 16 * 1024
    assert enrolment["grpc.max_connection_age_ms"] <= 60_000 < main["grpc.max_connection_age_ms"]
    assert enrolment["grpc.max_connection_idle_ms"] <= 10_000


@pytest.mark.parametrize(
    ("port", "enrolment_port", "got", "expected"),
    [
        (7443, None, 7443, 7444),
        (7443, 9000, 7443, 9000),
        (7443, 0, 7443, 0),
        (0, None, 40000, 0),
        (65535, None, 65535, 0),
    ],
)
def test_the_enrolment_port_is_the_next_one_unless_said_otherwise(
    port: int, enrolment_port: int | None, got: int, expected: int
) -> None:
    assert Listen(port=port, enrolment_port=enrolment_port).port_of_enrolment(got) == expected
