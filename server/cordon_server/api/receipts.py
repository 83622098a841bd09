"""ReceiptService: codes for people who were stopped, and what they stand for."""

from __future__ import annotations

from cordon.v1 import receipt_pb2, receipt_pb2_grpc
from cordon_server.api import convert, match_messages
from cordon_server.api.calls import once
from cordon_server.api.edge import Context
from cordon_server.api.matches import the_reviewer
from cordon_server.authority.deployments import Deployments
from cordon_server.authority.records import Actor
from cordon_server.matches.receipts import Receipts
from cordon_server.sessions.holds import Holds
from cordon_server.sessions.live import Live
from cordon_server.sessions.receipt_holds import hold_for_receipt
from cordon_server.store.requests import RequestLedger


class ReceiptServicer(receipt_pb2_grpc.ReceiptServiceServicer):
    """Serves receipts."""

    def __init__(
        self,
        receipts: Receipts,
        deployments: Deployments,
        live: Live,
        holds: Holds,
        ledger: RequestLedger,
        *,
        complaint_route: str,
    ) -> None:
        self._receipts = receipts
        self._deployments = deployments
        self._live = live
        self._holds = holds
        self._ledger = ledger
        self._complaint_route = complaint_route

    async def IssueReceipt(  # noqa: N802  # gRPC's name
        self, request: receipt_pb2.IssueReceiptRequest, context: Context
    ) -> receipt_pb2.IssueReceiptResponse:
        # No ledger: the answer is a secret, and the same request makes it anew.
        deployment_id = convert.deployment_of(request.name)
        deployment = await self._live.opened(deployment_id)
        match = await deployment.log.get(int(convert.last_part(request.name)))
        came = await deployment.matches.outcomes.of(match.match_id)
        code = await self._receipts.issue(
            deployment_id,
            match,
            None if came is None else came.outcome,
            the_reviewer(),
            request.request_id,
            is_seed=await deployment.matches.seeds.holds(match.match_id),
            dry_run=request.validate_only,
        )
        return receipt_pb2.IssueReceiptResponse(code=code, complaint_route=self._complaint_route)

    async def LookUpReceipt(  # noqa: N802  # gRPC's name
        self, request: receipt_pb2.LookUpReceiptRequest, context: Context
    ) -> receipt_pb2.LookUpReceiptResponse:
        reviewer = the_reviewer()

        async def act() -> receipt_pb2.LookUpReceiptResponse:
            record = await self._receipts.look_up(request.code, reviewer)
            deployment = await self._deployments.get(record.deployment_id)
            response = receipt_pb2.LookUpReceiptResponse(
                match=f"deployments/{record.deployment_id}/matches/{record.match_id}",
                location=deployment.location,
                camera=f"cameras/{record.camera_id}",
                captured_at=convert.timestamp(record.captured_at),
                issue_time=convert.timestamp(record.issue_time),
                decision=match_messages.DECISIONS_BACK[record.decision],
                complaint_route=self._complaint_route,
                held=await hold_for_receipt(
                    self._live,
                    self._holds,
                    record.deployment_id,
                    record.match_id,
                    Actor(reviewer.user_id, reviewer.machine),
                    dry_run=request.validate_only,
                ),
            )
            if record.outcome is not None:
                response.outcome = match_messages.OUTCOMES_BACK[record.outcome]
            return response

        return await once(
            self._ledger,
            request,
            receipt_pb2.LookUpReceiptResponse(),
            act,
        )
