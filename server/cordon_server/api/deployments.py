"""DeploymentService: the life of deployments, translated."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from cordon.v1 import deployment_pb2, deployment_pb2_grpc
from cordon_server.api import convert
from cordon_server.api.edge import Context, caller, the_person
from cordon_server.api.rules import PAGE_SIZE_DEFAULT
from cordon_server.authority.deployments import Deployments
from cordon_server.authority.records import Actor, DeploymentRecord, State
from cordon_server.sessions.live import Live
from cordon_server.store.requests import RequestLedger

Mutation = deployment_pb2.ArmDeploymentRequest | deployment_pb2.EndDeploymentRequest


class DeploymentServicer(deployment_pb2_grpc.DeploymentServiceServicer):
    """Serves deployments."""

    def __init__(
        self,
        deployments: Deployments,
        live: Live,
        ledger: RequestLedger,
        *,
        threshold_default: float,
        check_user: Callable[[str], Awaitable[object]],
        on_assigned: Callable[[], None],
    ) -> None:
        """`check_user` raises `NotFound` for a user id that is not registered; `on_assigned` is
        told when people were assigned or are not any more."""
        self._deployments = deployments
        self._live = live
        self._ledger = ledger
        self._threshold_default = threshold_default
        self._check_user = check_user
        self._on_assigned = on_assigned

    async def CreateDeployment(  # noqa: N802  # gRPC's name
        self, request: deployment_pb2.CreateDeploymentRequest, context: Context
    ) -> deployment_pb2.CreateDeploymentResponse:
        wanted = request.deployment

        async def act() -> deployment_pb2.CreateDeploymentResponse:
            record = await self._deployments.create(
                request.deployment_id,
                location=wanted.location,
                cameras=tuple(dict.fromkeys(map(convert.last_part, wanted.cameras))),
                threshold=wanted.threshold or self._threshold_default,
                start_time=convert.optional_moment(wanted, "start_time", "deployment.start_time"),
                end_time=convert.optional_moment(wanted, "end_time", "deployment.end_time"),
                creator=_actor(),
                assignees=await self._users(wanted.assignees),
                dry_run=request.validate_only,
            )
            made = convert.deployment(record, entries=0, references=0, matches=0)
            return deployment_pb2.CreateDeploymentResponse(deployment=made)

        return await self._ledger.once(
            f"{caller().spiffe_id} CreateDeployment",
            request.request_id,
            request,
            deployment_pb2.CreateDeploymentResponse(),
            act,
        )

    async def GetDeployment(  # noqa: N802  # gRPC's name
        self, request: deployment_pb2.GetDeploymentRequest, context: Context
    ) -> deployment_pb2.GetDeploymentResponse:
        record = await self._deployments.get(convert.last_part(request.name))
        return deployment_pb2.GetDeploymentResponse(deployment=await self._counted(record))

    async def ListDeployments(  # noqa: N802  # gRPC's name
        self, request: deployment_pb2.ListDeploymentsRequest, context: Context
    ) -> deployment_pb2.ListDeploymentsResponse:
        size = request.page_size or PAGE_SIZE_DEFAULT
        found = await self._deployments.page(convert.after_token(request.page_token), size + 1)
        page = found[:size]
        return deployment_pb2.ListDeploymentsResponse(
            deployments=[await self._counted(record) for record in page],
            next_page_token=(
                convert.page_token(page[-1].deployment_id) if len(found) > size else ""
            ),
        )

    async def AssignDeployment(  # noqa: N802  # gRPC's name
        self, request: deployment_pb2.AssignDeploymentRequest, context: Context
    ) -> deployment_pb2.AssignDeploymentResponse:
        async def act() -> deployment_pb2.AssignDeploymentResponse:
            record = await self._deployments.assign(
                convert.last_part(request.name),
                add=await self._users(request.add),
                remove=map(convert.last_part, request.remove),
                dry_run=request.validate_only,
            )
            self._on_assigned()
            return deployment_pb2.AssignDeploymentResponse(deployment=await self._counted(record))

        return await self._ledger.once(
            f"{caller().spiffe_id} AssignDeployment",
            request.request_id,
            request,
            deployment_pb2.AssignDeploymentResponse(),
            act,
        )

    async def ArmDeployment(  # noqa: N802  # gRPC's name
        self, request: deployment_pb2.ArmDeploymentRequest, context: Context
    ) -> deployment_pb2.ArmDeploymentResponse:
        async def act() -> deployment_pb2.ArmDeploymentResponse:
            armed = await self._move(request, self._live.arm)
            return deployment_pb2.ArmDeploymentResponse(deployment=armed)

        return await self._ledger.once(
            f"{caller().spiffe_id} ArmDeployment",
            request.request_id,
            request,
            deployment_pb2.ArmDeploymentResponse(),
            act,
        )

    async def EndDeployment(  # noqa: N802  # gRPC's name
        self, request: deployment_pb2.EndDeploymentRequest, context: Context
    ) -> deployment_pb2.EndDeploymentResponse:
        async def act() -> deployment_pb2.EndDeploymentResponse:
            ended = await self._move(request, self._live.end)
            return deployment_pb2.EndDeploymentResponse(deployment=ended)

        return await self._ledger.once(
            f"{caller().spiffe_id} EndDeployment",
            request.request_id,
            request,
            deployment_pb2.EndDeploymentResponse(),
            act,
        )

    async def _move(
        self, request: Mutation, move: Callable[..., Awaitable[DeploymentRecord]]
    ) -> deployment_pb2.Deployment:
        record = await move(convert.last_part(request.name), dry_run=request.validate_only)
        return await self._counted(record)

    async def _users(self, names: Iterable[str]) -> tuple[str, ...]:
        """The ids of registered people; raises `NotFound`."""
        user_ids = tuple(map(convert.last_part, names))
        for user_id in user_ids:
            await self._check_user(user_id)
        return user_ids

    async def _counted(self, record: DeploymentRecord) -> deployment_pb2.Deployment:
        """An open deployment's counts are read from its list and log, an ended one's are kept."""
        if record.state is State.ENDED:
            return convert.deployment(
                record,
                entries=record.entry_count,
                references=record.reference_count,
                matches=record.match_count,
            )
        deployment = await self._live.opened(record.deployment_id)
        entries, references = await deployment.watchlist.counts()
        return convert.deployment(
            record,
            entries=entries,
            references=references,
            matches=await deployment.log.count(),
        )


def _actor() -> Actor:
    """Who makes the running call, and where."""
    return Actor(the_person().user_id, str(caller().spiffe_id))
