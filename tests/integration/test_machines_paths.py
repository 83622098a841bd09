"""Odd paths and heavy headers by raw HTTP/2: a method has one name, and no other way of writing it
reaches a handler."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.certificates import a_certificate
from tests.helpers.raw_http2 import Answer, RawClient, raw_client
from tests.helpers.site import Site

CHECK = "/grpc.health.v1.Health/Check"
ENROL = "/cordon.v1.EnrolmentService/Enrol"
UNIMPLEMENTED, RESOURCE_EXHAUSTED = "12", "8"
ODD = {
    "no slash": CHECK[1:],
    "one part": "/grpc.health.v1.Health",
    "a double slash before": f"/{CHECK}",
    "a double slash within": "/grpc.health.v1.Health//Check",
    "a slash after": f"{CHECK}/",
    "capitals": CHECK.upper(),
    "another case": "/grpc.health.v1.health/check",
    "a percent sign": "/grpc.health.v1.Health%2FCheck",
    "a letter in percent": "/grpc.health.v1.Health/%43heck",
    "a percent sign doubled": "/grpc.health.v1.Health%252FCheck",
    "a dot": "/./grpc.health.v1.Health/Check",
    "dots": "/cordon.v1.MachineService/../grpc.health.v1.Health/Check",
    "dots in percent": "/cordon.v1.MachineService/%2e%2e/grpc.health.v1.Health/Check",
    "a dot after": f"{CHECK}.",
    "a query": f"{CHECK}?role=admin",
    "a fragment": f"{CHECK}#",
    "a parameter": f"{CHECK};role=admin",
    "a space after": f"{CHECK} ",
    "a back slash": "\\grpc.health.v1.Health\\Check",
    "a whole URL": f"https://localhost{CHECK}",
    "a null": f"{CHECK}\0",
    "a line": f"{CHECK}\r\nx: y",
    "nothing": "",
    "a slash": "/",
    "an asterisk": "*",
    "very long": CHECK + "k" * 4000,
    "another alphabet": "/grpc.health.v1.Health/Сheck",
}


@pytest.fixture
def client(site: Site, tmp_path: Path) -> Iterator[RawClient]:
    with raw_client(site.port, context(site, tmp_path)) as client:
        yield client


def context(site: Site, folder: Path) -> ssl.SSLContext:
    return a_certificate(site).context(folder)


def calls(site: Site) -> list[dict[str, Any]]:
    """Every call that passed the edge so far."""
    events = [json.loads(line) for line in site.log.splitlines() if line.startswith("{")]
    return [event for event in events if event["event"] == "call"]


def is_refused(answer: Answer) -> bool:
    """Whether it came to nothing: no message, and a status that is no success or none at all."""
    return not answer.data and answer.grpc_status != "0"


def test_the_name_itself_is_answered(client: RawClient) -> None:
    answer = client.call(CHECK)

    assert answer.grpc_status == "0"
    assert answer.data


@pytest.mark.parametrize("kind", ODD)
def test_no_other_way_of_writing_it_is(site: Site, tmp_path: Path, kind: str) -> None:
    path = ODD[kind]
    before = len(calls(site))
    with raw_client(site.port, context(site, tmp_path)) as client:
        answer = client.call(path)

    assert is_refused(answer), answer
    assert answer.cut or answer.grpc_status == UNIMPLEMENTED or "grpc-status" not in answer.headers
    # The edge logs every call that has a handler, refused or not: none had.
    assert [call for call in calls(site)[before:] if call["method"] == path] == []


def test_a_call_without_a_path_or_with_two_is_refused(site: Site, tmp_path: Path) -> None:
    for path, more in ((None, []), (CHECK, [(":path", "/cordon.v1.MachineService/RevokeAll")])):
        with raw_client(site.port, context(site, tmp_path)) as client:
            assert is_refused(client.call(path, more=more))


def test_a_metadata_bomb_is_refused_and_the_server_goes_on(site: Site, tmp_path: Path) -> None:
    bombs = {
        "one value": [("x-bomb", "a" * 60_000)],
        "many keys": [(f"x-{n}", "a" * 100) for n in range(400)],
        "a token": [("authorization", "Bearer " + "a" * 20_000)],
    }
    for name, bomb in bombs.items():
        # At once, before the server's settings are acknowledged: gRPC's own limit is not yet on.
        for path, port in ((CHECK, site.port), (ENROL, site.enrolment_port)):
            with raw_client(port, context(site, tmp_path)) as client:
                answer = client.call(path, more=bomb)

            assert is_refused(answer), name
            assert answer.cut or answer.grpc_status == RESOURCE_EXHAUSTED, answer
    with raw_client(site.port, context(site, tmp_path)) as client:
        assert client.call(CHECK, more=[("x-note", "a" * 1000)]).grpc_status == "0"
        # And after: now gRPC itself refuses, and the connection goes on.
        assert client.call(CHECK, more=bombs["one value"]).grpc_status == RESOURCE_EXHAUSTED
        assert client.call(CHECK).grpc_status == "0"
