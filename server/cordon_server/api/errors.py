"""One table gives every domain error its status and what the public reads; the log has the rest."""

from __future__ import annotations

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from cordon_server import domain

STATUS: dict[type[BaseException], grpc.StatusCode] = {
    domain.InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    domain.NotFound: grpc.StatusCode.NOT_FOUND,
    domain.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    domain.NotReady: grpc.StatusCode.FAILED_PRECONDITION,
    domain.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    domain.NotPermitted: grpc.StatusCode.PERMISSION_DENIED,
    domain.LimitReached: grpc.StatusCode.RESOURCE_EXHAUSTED,
    domain.NotNow: grpc.StatusCode.UNAVAILABLE,
    domain.StorageFull: grpc.StatusCode.RESOURCE_EXHAUSTED,
    domain.NotRecorded: grpc.StatusCode.RESOURCE_EXHAUSTED,
}
"""By class or the nearest base class; anything unlisted is INTERNAL with a fixed sentence."""

INTERNAL_TEXT = (
    "the server failed on this call; its log says why. Try again, and if it stays, tell whoever "
    "runs the server"
)
DETAILS_KEY = "grpc-status-details-bin"
DOMAIN = "cordon"
MESSAGE_CHARACTERS_MAX = 1500
"""Longer messages are cut: statuses travel in headers, which clients bound at 8 KiB."""
DESCRIPTION_CHARACTERS_MAX = 250
VIOLATIONS_MAX = 10


def status_of(error: BaseException) -> tuple[grpc.StatusCode, str]:
    """The status and public text of an error."""
    for kind in type(error).__mro__:
        if kind in STATUS and isinstance(error, domain.CordonError):
            return STATUS[kind], error.message[:MESSAGE_CHARACTERS_MAX]
    return grpc.StatusCode.INTERNAL, INTERNAL_TEXT


def trailing_details(error: BaseException) -> tuple[tuple[str, bytes], ...]:
    """The rich status of an error as trailing metadata."""
    code, message = status_of(error)
    if code is grpc.StatusCode.INTERNAL or not isinstance(error, domain.CordonError):
        return ()
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in _details(error):
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return ((DETAILS_KEY, status.SerializeToString()),)


def _details(error: domain.CordonError) -> list[Message]:
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN)]
    if isinstance(error, domain.InvalidInput):
        details.append(_bad_request(error))
    elif isinstance(error, domain.NotReady):
        details.append(_precondition(error))
    elif isinstance(error, domain.LimitReached) and error.retry_after_s > 0:
        wait = duration_pb2.Duration()
        wait.FromMilliseconds(round(error.retry_after_s * 1000))
        details.append(error_details_pb2.RetryInfo(retry_delay=wait))
    return details


def _bad_request(error: domain.InvalidInput) -> error_details_pb2.BadRequest:
    violation = error_details_pb2.BadRequest.FieldViolation
    return error_details_pb2.BadRequest(
        field_violations=[
            violation(
                field=field, description=rule[:DESCRIPTION_CHARACTERS_MAX], reason=error.reason
            )
            for field, rule in error.violations[:VIOLATIONS_MAX]
        ]
    )


def _precondition(error: domain.NotReady) -> error_details_pb2.PreconditionFailure:
    violation = error_details_pb2.PreconditionFailure.Violation
    return error_details_pb2.PreconditionFailure(
        violations=[
            violation(type=error.reason, description=error.message[:DESCRIPTION_CHARACTERS_MAX])
        ]
    )
