"""Talks to a site by the generated client, where a test wants more control than the command has."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc

from cordon.v1 import camera_pb2
from cordon.v1.camera_pb2_grpc import CameraServiceStub
from cordon_client.channel import open_channel
from cordon_client.identity import load_identity
from tests.helpers.people import keep_signed_in


@asynccontextmanager
async def channel_of(identity: Path, *, fresh: bool = False) -> AsyncIterator[grpc.aio.Channel]:
    """A channel with an identity folder's certificate, and the token of whoever is signed in;
    `fresh`: who has given the password just now."""
    keep_signed_in(identity, fresh=fresh)
    async with open_channel(load_identity(identity)) as channel:
        yield channel


async def live_counts(admin: Path, camera: str) -> camera_pb2.CameraLive:
    """What the server has counted of a connected camera, asked by an administrator."""
    async with channel_of(admin) as channel:
        request = camera_pb2.GetCameraRequest(name=f"cameras/{camera}")
        answer = await CameraServiceStub(channel).GetCamera(request)
        return answer.camera.live
