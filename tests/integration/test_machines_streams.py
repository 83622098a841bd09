"""The streams that people and cameras live by end with their machine's certificate, whatever they
are doing, and what they held is free again."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc

from cordon.v1 import machine_pb2 as pb
from cordon.v1 import match_pb2, recognition_pb2, watchlist_pb2
from cordon.v1.machine_pb2_grpc import MachineServiceStub
from cordon.v1.match_pb2_grpc import MatchServiceStub
from cordon.v1.recognition_pb2_grpc import RecognitionServiceStub
from cordon.v1.watchlist_pb2_grpc import WatchlistServiceStub
from tests.data import shared_data
from tests.helpers import people
from tests.helpers.rpc import channel_of
from tests.helpers.server_log import LogFromHere
from tests.helpers.site import Site

HANGS_S = 20.0
WHY = (("cordon-justification", "the desk was left open"),)


def workstation(site: Site, role: str, user: str) -> tuple[str, Any]:
    """One of its own for a test that shuts it out, with somebody signed in: identity and folder."""
    name = site.new_name(role)
    folder = site.folder / "identities" / f"{role}-{name}"
    people.issue(site.admin, role, name, folder)
    people.sign_in(folder, user)
    return f"spiffe://test.example/{role}/{name}", folder


async def revoke(site: Site, spiffe_id: str) -> None:
    """Revokes a machine."""
    people.sign_in(site.admin, people.ADMINISTRATOR)  # a password of just now
    async with channel_of(site.admin) as channel:
        await MachineServiceStub(channel).RevokeCertificate(
            pb.RevokeCertificateRequest(spiffe_id=spiffe_id), metadata=WHY, timeout=30
        )


async def ending(call: Any) -> str:
    """How a stream ends for its client."""
    async with asyncio.timeout(HANGS_S):
        try:
            while await call.read() is not grpc.aio.EOF:
                pass
        except grpc.aio.AioRpcError as error:
            return str(error.code().name)
    return str((await call.code()).name)


async def ends_at_once(site: Site, machine: str, call: Any) -> None:
    """Revokes a machine; its one stream ends within a second, by the server's own clock."""
    log = LogFromHere(site)
    await revoke(site, machine)

    assert await ending(call) == "UNAUTHENTICATED"
    assert (await log.ended_of(machine, 1) - log.revoked()).total_seconds() < 1.0


def armed(site: Site, camera: str) -> str:
    """An armed deployment of the camera."""
    deployment = site.add_deployment(camera)
    portrait = shared_data("lfw", "deepfunneled", "Alek_Wek", "Alek_Wek_0001.jpg")
    enrol = ("admin", "watchlist", "enrol", deployment, "s-1", str(portrait))
    site.cordon(*enrol, "--category", "wanted")
    site.arm(deployment)
    return deployment


async def test_a_stream_of_frames_and_a_follower_of_matches_end_and_leave_their_places(
    site: Site,
) -> None:
    camera, identity = site.add_camera()
    deployment = armed(site, camera)
    _ = site.operator  # who is registered with his first desk
    desk, folder = workstation(site, "control", "operator")
    hello = recognition_pb2.Hello(client_version="0")
    hello.sent_at.GetCurrentTime()
    async with channel_of(identity) as camera_channel, channel_of(folder) as desk_channel:
        streaming: Any = RecognitionServiceStub(camera_channel).StreamFrames()
        await streaming.write(recognition_pb2.StreamFramesRequest(hello=hello))
        assert (await streaming.read()).HasField("welcome")
        request = match_pb2.SubscribeMatchesRequest(parent=f"deployments/{deployment}")
        following = MatchServiceStub(desk_channel).SubscribeMatches(request)
        await following.read()  # the first heartbeat at the latest

        for call, machine in (
            (streaming, f"spiffe://test.example/camera/{camera}"),
            (following, desk),
        ):
            await ends_at_once(site, machine, call)
    again = site.folder / "identities" / f"camera-{camera}-again"
    people.issue(site.admin, "camera", camera, again)
    async with channel_of(again) as channel:
        streaming = RecognitionServiceStub(channel).StreamFrames()
        await streaming.write(recognition_pb2.StreamFramesRequest(hello=hello))
        # ALREADY_EXISTS while the one before still held the camera's place.
        assert (await streaming.read()).HasField("welcome")
        streaming.cancel()


async def test_an_import_under_way_ends(site: Site) -> None:
    camera, _ = site.add_camera()
    deployment = site.add_deployment(camera)
    spiffe_id, folder = workstation(site, "admin", "officer")
    async with channel_of(folder) as channel:
        call: Any = WatchlistServiceStub(channel).ImportReferences()
        start = watchlist_pb2.ImportStart(parent=f"deployments/{deployment}")
        await call.write(watchlist_pb2.ImportReferencesRequest(start=start))
        row = watchlist_pb2.ImportRow(row=1, external_ref="a", category="wanted", image=b"none")
        await call.write(watchlist_pb2.ImportReferencesRequest(row=row))
        assert (await call.read()).row == 1

        await ends_at_once(site, spiffe_id, call)
