"""A stream ends when its certificate does: revoked or expired, its client hears so, none hangs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from cordon.v1 import machine_pb2 as pb
from cordon.v1.machine_pb2_grpc import MachineServiceStub
from tests.helpers import people
from tests.helpers.certificates import NAME, Shown, a_certificate, channel
from tests.helpers.rpc import channel_of
from tests.helpers.server_log import LogFromHere
from tests.helpers.site import Site

STREAMS = 20
ENDS_S_MAX = 1.0
"""From the revocation's answer to the end of the last stream, both by the server's log: this
process follows some forty streams and may be late to hear of it."""
HANGS_S = 20.0
WHY = (("cordon-justification", "stolen from its pole"),)


@dataclass
class Heard:
    """How one stream ended."""

    began: asyncio.Event
    status: str = ""
    words: str = ""


async def watch(connection: grpc.aio.Channel, heard: Heard) -> None:
    """Follows the server's health: a stream that only its end ends."""
    call = health_pb2_grpc.HealthStub(connection).Watch(health_pb2.HealthCheckRequest())
    await _until_the_end(call, heard)


async def ask(connection: grpc.aio.Channel, heard: Heard) -> None:
    """Asks for the services and keeps the stream open, both ways."""
    await _asking(connection, heard, questions=2)


async def chat(connection: grpc.aio.Channel, heard: Heard) -> None:
    """Asks again and again, so that something is being written when the end comes."""
    await _asking(connection, heard, questions=1_000_000)


async def _asking(connection: grpc.aio.Channel, heard: Heard, questions: int) -> None:
    async def asked() -> AsyncIterator[Any]:
        for _ in range(questions):
            yield reflection_pb2.ServerReflectionRequest(list_services="")
            await asyncio.sleep(0.005)
        await asyncio.Event().wait()

    stub = reflection_pb2_grpc.ServerReflectionStub(connection)
    await _until_the_end(stub.ServerReflectionInfo(asked()), heard)


async def _until_the_end(call: Any, heard: Heard) -> None:
    try:
        async for _ in call:
            heard.began.set()
    except grpc.aio.AioRpcError as error:
        heard.status, heard.words = error.code().name, str(error.details())


@asynccontextmanager
async def live_streams(
    site: Site, shown: Shown
) -> AsyncIterator[tuple[list[Heard], list[asyncio.Task[None]]]]:
    """Twenty streams of one machine over several connections, all of them begun."""
    async with (
        channel(site, shown) as one,
        channel(site, shown) as two,
        channel(site, shown) as three,
    ):
        heard = [Heard(asyncio.Event()) for _ in range(STREAMS)]
        follow = (watch, ask)
        tasks = [
            asyncio.create_task(follow[n % 2]((one, two, three)[n % 3], each))
            for n, each in enumerate(heard)
        ]
        async with asyncio.timeout(30):
            for each in heard:
                await each.began.wait()
        yield heard, tasks
        for task in tasks:
            task.cancel()


async def test_a_revoked_machines_streams_end_within_a_second(site: Site) -> None:
    name, identity = site.add_camera()
    people.sign_in(site.admin, people.ADMINISTRATOR)  # a password of just now
    certificate = (identity / "cert.pem").read_bytes()
    shown = Shown(
        certificate, (identity / "key.pem").read_bytes(), (identity / "ca.pem").read_bytes(), ""
    )
    talk = Heard(asyncio.Event())
    log, peer = LogFromHere(site), f"spiffe://test.example/camera/{name}"
    async with (
        live_streams(site, shown) as (heard, tasks),
        live_streams(site, a_certificate(site)) as (_, others),
        channel(site, shown) as talking,
        channel_of(site.admin) as channel_to_admin,
    ):
        talker = asyncio.create_task(chat(talking, talk))
        await talk.began.wait()
        await MachineServiceStub(channel_to_admin).RevokeCertificate(
            pb.RevokeCertificateRequest(spiffe_id=peer),
            metadata=WHY,
            timeout=30,
        )
        _, hanging = await asyncio.wait([*tasks, talker], timeout=HANGS_S)

        assert not hanging
        assert {each.status for each in heard} == {"UNAUTHENTICATED"}
        # grpc.aio puts this over the status that arrives while it is writing; the next call tells.
        assert talk.status == "UNAUTHENTICATED" or talk.words == "Internal error from Core"
        assert all("was revoked while it ran" in each.words for each in heard)
        last = await log.ended_of(peer, len(tasks) + 1)
        slowest_s = (last - log.revoked()).total_seconds()
        print(f"{STREAMS} streams: the last ended {slowest_s * 1000:.0f} ms after the revocation")
        assert slowest_s <= ENDS_S_MAX
        assert not any(task.done() for task in others)
    async with channel(site, shown) as connection:
        again = Heard(asyncio.Event())
        await watch(connection, again)
        assert again.status == "UNAUTHENTICATED"


async def test_an_expired_certificates_streams_end_when_it_does(site: Site) -> None:
    began_s = time.monotonic()
    async with live_streams(site, a_certificate(site)):
        life = timedelta(seconds=6 + 4 * (time.monotonic() - began_s))  # enough to begin in, here
    log, ends = LogFromHere(site), datetime.now(UTC) + life
    async with live_streams(site, a_certificate(site, end=life)) as (heard, tasks):
        assert datetime.now(UTC) < ends
        left_s = (ends - datetime.now(UTC)).total_seconds()

        _, hanging = await asyncio.wait(tasks, timeout=left_s + HANGS_S)

        assert not hanging
        assert {each.status for each in heard} == {"UNAUTHENTICATED"}
        assert all("is valid from" in each.words for each in heard)
        late_s = (await log.ended_of(NAME, len(tasks)) - ends).total_seconds()
        print(f"{STREAMS} streams: the last ended {late_s:.2f} s after the certificate's end")
        # Its dates are whole seconds, so it may end up to one before.
        assert -1.0 <= late_s <= ENDS_S_MAX
