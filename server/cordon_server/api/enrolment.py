"""EnrolmentService: all that a machine without a certificate may ask, on a port of its own.

Nobody here is anyone yet: a caller is known by its address, and its token is its right.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import structlog

from cordon.v1 import machine_pb2, machine_pb2_grpc
from cordon_server.acts import Act, Recorder
from cordon_server.api import convert, rules
from cordon_server.api.edge import Context, Tell, Who, answering, check_metadata
from cordon_server.api.recording import recorded
from cordon_server.identity.certificates import read_csr
from cordon_server.identity.enrolment import Enrolments
from cordon_server.identity.issuance import Issuer
from cordon_server.identity.permissions import permission
from cordon_server.identity.rates import RateLimit, address_of

log = structlog.get_logger()

ENROL = "/cordon.v1.EnrolmentService/Enrol"


class EnrolmentServicer(machine_pb2_grpc.EnrolmentServiceServicer):
    """Spends tokens."""

    def __init__(self, issuer: Issuer, enrolments: Enrolments, rate: RateLimit) -> None:
        self._issuer = issuer
        self._enrolments = enrolments
        self._rate = rate

    async def Enrol(  # noqa: N802  # gRPC's name
        self, request: machine_pb2.EnrolRequest, context: Context
    ) -> machine_pb2.EnrolResponse:
        issued = await self._enrolments.spend(request.token, read_csr(request.csr_der))
        self._rate.refund(address_of(context.peer()))
        log.info(
            "machine.enrolled",
            machine=str(issued.spiffe_id),
            certificate=issued.sha256,
            address=address_of(context.peer()),
        )
        return machine_pb2.EnrolResponse(
            certificate_pem=issued.chain_pem.decode(),
            ca_pem=self._issuer.authority.root_pem.decode(),
            spiffe_id=str(issued.spiffe_id),
            not_after=convert.timestamp(issued.not_after),
        )


class EnrolmentEdge(grpc.aio.ServerInterceptor):
    """What every call on the enrolment port passes: rate, field rules, record, error table."""

    def __init__(self, rate: RateLimit, recorder: Recorder, tell: Tell) -> None:
        self._rate = rate
        self._recorder = recorder
        self._tell = tell

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler: Any = await continuation(handler_call_details)
        if handler is None or handler_call_details.method != ENROL:
            return None  # grpcio answers UNIMPLEMENTED

        async def answer(request: Any, context: Context) -> Any:
            address = address_of(context.peer())
            async with answering(ENROL, context, Who(peer=address), self._tell):
                self._rate.check(address)
                check_metadata(context)
                rules.check(request)
                async with recorded(self._recorder, _act(address)):
                    return await handler.unary_unary(request, context)

        return grpc.unary_unary_rpc_method_handler(
            answer,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )


def _act(address: str) -> Act:
    """Somebody spends a token; which machine that is, its certificate's record says."""
    return Act(permission(ENROL).audit, ENROL, personal={"address": address})
