"""CameraService: the cameras a server knows, translated."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from cordon.v1 import camera_pb2, camera_pb2_grpc
from cordon_server.api import convert
from cordon_server.api.calls import once
from cordon_server.api.edge import Context
from cordon_server.api.rules import PAGE_SIZE_DEFAULT
from cordon_server.authority.cameras import Cameras
from cordon_server.sessions.live import Live
from cordon_server.store.requests import RequestLedger

FAREWELL_LOOK_S, FAREWELL_LOOKS_MAX = 0.02, 25
"""A revoked camera's stream has half a second to tell it so, before it is cut."""


class CameraServicer(camera_pb2_grpc.CameraServiceServicer):
    """Serves cameras."""

    def __init__(
        self,
        cameras: Cameras,
        live: Live,
        ledger: RequestLedger,
        *,
        shut_out: Callable[[str], Awaitable[object]],
    ) -> None:
        """`shut_out` takes a camera's name and puts its certificates on the deny list."""
        self._cameras = cameras
        self._live = live
        self._ledger = ledger
        self._deny = shut_out

    async def CreateCamera(  # noqa: N802  # gRPC's name
        self, request: camera_pb2.CreateCameraRequest, context: Context
    ) -> camera_pb2.CreateCameraResponse:
        async def act() -> camera_pb2.CreateCameraResponse:
            record = await self._cameras.create(
                request.camera_id, request.camera.display_name, dry_run=request.validate_only
            )
            return camera_pb2.CreateCameraResponse(camera=convert.camera(record, None))

        return await once(
            self._ledger,
            request,
            camera_pb2.CreateCameraResponse(),
            act,
        )

    async def GetCamera(  # noqa: N802  # gRPC's name
        self, request: camera_pb2.GetCameraRequest, context: Context
    ) -> camera_pb2.GetCameraResponse:
        record = await self._cameras.get(convert.last_part(request.name))
        session = self._live.session(record.camera_id)
        return camera_pb2.GetCameraResponse(camera=convert.camera(record, session))

    async def ListCameras(  # noqa: N802  # gRPC's name
        self, request: camera_pb2.ListCamerasRequest, context: Context
    ) -> camera_pb2.ListCamerasResponse:
        size = request.page_size or PAGE_SIZE_DEFAULT
        found = await self._cameras.page(convert.after_token(request.page_token), size + 1)
        page = found[:size]
        return camera_pb2.ListCamerasResponse(
            cameras=[convert.camera(each, self._live.session(each.camera_id)) for each in page],
            next_page_token=convert.page_token(page[-1].camera_id) if len(found) > size else "",
        )

    async def RevokeCamera(  # noqa: N802  # gRPC's name
        self, request: camera_pb2.RevokeCameraRequest, context: Context
    ) -> camera_pb2.RevokeCameraResponse:
        camera_id = convert.last_part(request.name)

        async def act() -> camera_pb2.RevokeCameraResponse:
            record = await self._cameras.revoke(camera_id, dry_run=request.validate_only)
            if not request.validate_only:
                await self._shut_out(camera_id)
            return camera_pb2.RevokeCameraResponse(camera=convert.camera(record, None))

        return await once(
            self._ledger,
            request,
            camera_pb2.RevokeCameraResponse(),
            act,
        )

    async def _shut_out(self, camera_id: str) -> None:
        """Sends the camera away in words, then denies whatever its certificates still have open."""
        self._live.revoke(camera_id)
        for _ in range(FAREWELL_LOOKS_MAX):
            if self._live.session(camera_id) is None:
                break
            await asyncio.sleep(FAREWELL_LOOK_S)
        await self._deny(camera_id)
