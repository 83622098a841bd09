"""RetentionService: lists that were, records that are held, proofs of forgetting, translated."""

from __future__ import annotations

from google.protobuf import json_format

from cordon.v1 import retention_pb2, retention_pb2_grpc
from cordon_server.api import convert
from cordon_server.api.calls import acting, once
from cordon_server.api.edge import Context
from cordon_server.api.rules import PAGE_SIZE_DEFAULT
from cordon_server.authority.deployments import Deployments
from cordon_server.authority.manifest import Manifest
from cordon_server.sessions.holds import HoldRecord, Holds
from cordon_server.sessions.live import Live
from cordon_server.sessions.proof import Prover
from cordon_server.store.requests import RequestLedger


class RetentionServicer(retention_pb2_grpc.RetentionServiceServicer):
    """Serves what stays, and the proof that nothing else does."""

    def __init__(
        self,
        deployments: Deployments,
        live: Live,
        manifest: Manifest,
        holds: Holds,
        prover: Prover,
        ledger: RequestLedger,
    ) -> None:
        self._deployments = deployments
        self._live = live
        self._manifest = manifest
        self._holds = holds
        self._prover = prover
        self._ledger = ledger

    async def CheckListed(  # noqa: N802  # gRPC's name
        self, request: retention_pb2.CheckListedRequest, context: Context
    ) -> retention_pb2.CheckListedResponse:
        record = await self._deployments.get(convert.last_part(request.parent))
        answer = retention_pb2.CheckListedResponse(
            start_time=convert.timestamp(record.start_time),
            end_time=convert.timestamp(record.end_time),
        )
        if record.erase_time is not None:
            answer.erase_time.CopyFrom(convert.timestamp(record.erase_time))
        listed = await self._manifest.find(record.deployment_id, request.external_ref)
        if listed is not None:
            answer.was_listed = True
            answer.category = listed.category
            answer.enrol_time.CopyFrom(convert.timestamp(listed.enrol_time))
            until = listed.keep_time + self._manifest.kept_for
            answer.answer_until.CopyFrom(convert.timestamp(until))
        return answer

    async def PlaceHold(  # noqa: N802  # gRPC's name
        self, request: retention_pb2.PlaceHoldRequest, context: Context
    ) -> retention_pb2.PlaceHoldResponse:
        async def act() -> retention_pb2.PlaceHoldResponse:
            deployment = await self._live.opened(convert.deployment_of(request.match))
            record = await self._holds.place(
                request.hold_id,
                deployment,
                int(convert.last_part(request.match)),
                request.reason,
                acting(),
                dry_run=request.validate_only,
            )
            return retention_pb2.PlaceHoldResponse(hold=_hold(record))

        return await once(self._ledger, request, retention_pb2.PlaceHoldResponse(), act)

    async def LiftHold(  # noqa: N802  # gRPC's name
        self, request: retention_pb2.LiftHoldRequest, context: Context
    ) -> retention_pb2.LiftHoldResponse:
        async def act() -> retention_pb2.LiftHoldResponse:
            record = await self._holds.lift(
                convert.last_part(request.name),
                request.reason,
                acting(),
                dry_run=request.validate_only,
            )
            return retention_pb2.LiftHoldResponse(hold=_hold(record))

        return await once(self._ledger, request, retention_pb2.LiftHoldResponse(), act)

    async def GetHold(  # noqa: N802  # gRPC's name
        self, request: retention_pb2.GetHoldRequest, context: Context
    ) -> retention_pb2.GetHoldResponse:
        hold_id = convert.last_part(request.name)
        held = await self._holds.held(hold_id)
        answer = retention_pb2.GetHoldResponse(
            hold=_hold(await self._holds.get(hold_id)),
            reason=held.reason,
            pictures=held.pictures,
        )
        json_format.ParseDict(held.record, answer.record)
        return answer

    async def ListHolds(  # noqa: N802  # gRPC's name
        self, request: retention_pb2.ListHoldsRequest, context: Context
    ) -> retention_pb2.ListHoldsResponse:
        size = request.page_size or PAGE_SIZE_DEFAULT
        found = await self._holds.page(convert.after_token(request.page_token), size + 1)
        page = found[:size]
        return retention_pb2.ListHoldsResponse(
            holds=[_hold(each) for each in page],
            next_page_token=convert.page_token(page[-1].hold_id) if len(found) > size else "",
        )

    async def ProveForgetting(  # noqa: N802  # gRPC's name
        self, request: retention_pb2.ProveForgettingRequest, context: Context
    ) -> retention_pb2.ProveForgettingResponse:
        async def act() -> retention_pb2.ProveForgettingResponse:
            if request.validate_only:
                await self._prover.examine(request.pictures)
                return retention_pb2.ProveForgettingResponse()
            proof = await self._prover.prove(request.pictures)
            return retention_pb2.ProveForgettingResponse(
                note=proof.note, is_forgotten=proof.is_forgotten
            )

        return await once(self._ledger, request, retention_pb2.ProveForgettingResponse(), act)


def _hold(record: HoldRecord) -> retention_pb2.Hold:
    hold = retention_pb2.Hold(
        name=f"holds/{record.hold_id}",
        match=f"deployments/{record.deployment_id}/matches/{record.match_id}",
        place_time=convert.timestamp(record.place_time),
    )
    if record.lift_time is not None:
        hold.lift_time.CopyFrom(convert.timestamp(record.lift_time))
    return hold
