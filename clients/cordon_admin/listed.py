"""`cordon admin deployment was-listed`: what can be told a person when the list is gone (R3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cordon.v1 import retention_pb2
from cordon.v1.retention_pb2_grpc import RetentionServiceStub
from cordon_client.channel import call, connected
from cordon_client.cli import (
    DeploymentArgument,
    IdentityOption,
    OutputOption,
    RefArgument,
    ServerOption,
    identity_for,
    run,
)
from cordon_client.names import deployment_name, short
from cordon_client.output import Format, emit
from cordon_client.times import moment

if TYPE_CHECKING:
    from cordon_client.identity import ClientIdentity

DETAILS = {
    "Deployment": "deployment",
    "Reference": "external_ref",
    "Was listed": "was_listed",
    "Category": "category",
    "Enrolled": "enrol_time",
    "Window from": "start_time",
    "Window to": "end_time",
    "Destroyed": "erase_time",
    "Told until": "answer_until",
}
TIMES = ("enrol_time", "start_time", "end_time", "erase_time", "answer_until")


def was_listed(
    deployment: DeploymentArgument,
    ref: RefArgument,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Tell whether somebody was on a deployment's list, also when the list is destroyed.

    \b
    Example:
      cordon admin deployment was-listed market A-17
    """
    request = retention_pb2.CheckListedRequest(parent=deployment_name(deployment), external_ref=ref)
    run(_was_listed(identity_for("admin", identity, server), request, output))


async def _was_listed(
    identity: ClientIdentity, request: retention_pb2.CheckListedRequest, output: Format
) -> None:
    async with connected(identity) as channel:
        answer = await call(RetentionServiceStub(channel).CheckListed, request)
    record = {
        "name": request.external_ref,
        "deployment": short(request.parent),
        "external_ref": request.external_ref,
        "was_listed": answer.was_listed,
        "category": answer.category,
        **{name: moment(answer, name) for name in TIMES},
    }
    emit([record], DETAILS, output, single=True)
