"""The standard health service: grpcio's, which leaves out one of its three methods."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2


class HealthServicer(health.aio.HealthServicer):  # type: ignore[misc]  # grpcio's is untyped
    """Says of every service whether it is served."""

    def __init__(self, services: Iterable[str]) -> None:
        super().__init__()
        self._services = ("", *services)

    async def List(  # noqa: N802  # gRPC's name
        self, request: health_pb2.HealthListRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> health_pb2.HealthListResponse:
        asked = {name: health_pb2.HealthCheckRequest(service=name) for name in self._services}
        return health_pb2.HealthListResponse(
            statuses={name: await self.Check(each, context) for name, each in asked.items()}
        )
