"""`cordon control receipt|look-up`: a code for the person who was stopped, and what it leads to
(R29)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cordon.v1 import match_pb2, receipt_pb2
from cordon.v1.receipt_pb2_grpc import ReceiptServiceStub
from cordon_client.channel import call, connected, new_request_id
from cordon_client.cli import (
    DryRunOption,
    IdentityOption,
    MatchArgument,
    OutputOption,
    ServerOption,
    identity_for,
    run,
)
from cordon_client.names import short
from cordon_client.output import Format, emit, talk
from cordon_client.times import moment
from cordon_control.records import decision_word, outcome_word

if TYPE_CHECKING:
    from cordon_client.identity import ClientIdentity

_ISSUED = {"Code": "code", "Match": "name", "Complaints": "complaint_route"}
_FOUND = {
    "Match": "name",
    "Where": "location",
    "Camera": "camera_id",
    "Seen": "captured_at",
    "Receipt issued": "issue_time",
    "Decision": "decision",
    "Outcome": "outcome",
    "Complaints": "complaint_route",
    "Record held": "held",
}


def receipt(
    match: MatchArgument,
    dry_run: DryRunOption = False,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Make the code that a person takes away who was stopped on a decided match.

    Write it down for the person: it is kept nowhere. Another code for the same match takes its
    place.

    \b
    Example:
      cordon control receipt market/7
    """
    request = receipt_pb2.IssueReceiptRequest(
        name=match, request_id=new_request_id(), validate_only=dry_run
    )
    run(_receipt(identity_for("control", identity, server), request, output))


def look_up(
    code: Annotated[str, typer.Argument(metavar="CODE", help="As it was written down.")],
    dry_run: DryRunOption = False,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Show what a receipt's code stands for: when and where, what was decided, where to complain.

    The record of the match is held from then on, where it is still there.

    \b
    Example:
      cordon control look-up 7KQ2-M9XA-4RTB
    """
    request = receipt_pb2.LookUpReceiptRequest(
        code=code, request_id=new_request_id(), validate_only=dry_run
    )
    run(_look_up(identity_for("control", identity, server), request, output))


async def _receipt(
    identity: ClientIdentity, request: receipt_pb2.IssueReceiptRequest, output: Format
) -> None:
    async with connected(identity) as channel:
        response = await call(ReceiptServiceStub(channel).IssueReceipt, request)
    if request.validate_only:
        talk("A code could be made; nothing was changed.")
        return
    record = {
        "name": request.name,
        "code": response.code,
        "complaint_route": response.complaint_route,
    }
    emit([record], _ISSUED, output, single=True)


async def _look_up(
    identity: ClientIdentity, request: receipt_pb2.LookUpReceiptRequest, output: Format
) -> None:
    async with connected(identity) as channel:
        response = await call(ReceiptServiceStub(channel).LookUpReceipt, request)
    emit([_record(response)], _FOUND, output, single=True)


def _record(response: receipt_pb2.LookUpReceiptResponse) -> dict[str, Any]:
    decided = response.decision != match_pb2.DECISION_UNSPECIFIED
    return {
        "name": response.match,
        "location": response.location,
        "camera": response.camera,
        "camera_id": short(response.camera),
        "captured_at": moment(response, "captured_at"),
        "issue_time": moment(response, "issue_time"),
        "decision": decision_word(response.decision) if decided else None,
        "outcome": outcome_word(response.outcome),
        "complaint_route": response.complaint_route,
        "held": response.held,
    }
