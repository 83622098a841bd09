"""`cordon control halt`: the stop button (R13)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cordon.v1 import deployment_pb2
from cordon.v1.deployment_pb2_grpc import DeploymentServiceStub
from cordon_client.channel import call, connected, new_request_id
from cordon_client.cli import (
    DeploymentArgument,
    DryRunOption,
    IdentityOption,
    ServerOption,
    identity_for,
    run,
)
from cordon_client.names import deployment_name, short
from cordon_client.output import talk

if TYPE_CHECKING:
    from cordon_client.identity import ClientIdentity


def halt(
    deployment: DeploymentArgument,
    dry_run: DryRunOption = False,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Stop recognition at once, on every camera of a deployment. Only its authoriser resumes it.

    \b
    Example:
      cordon control halt market
    """
    request = deployment_pb2.HaltDeploymentRequest(
        name=deployment_name(deployment), request_id=new_request_id(), validate_only=dry_run
    )
    run(_halt(identity_for("control", identity, server), request))


async def _halt(identity: ClientIdentity, request: deployment_pb2.HaltDeploymentRequest) -> None:
    async with connected(identity) as channel:
        await call(DeploymentServiceStub(channel).HaltDeployment, request)
    if request.validate_only:
        talk(f"Deployment {short(request.name)} could be halted; nothing was changed.")
        return
    talk(f"{short(request.name)} is halted. To go on, its authoriser runs:")
    talk(f"  cordon admin deployment resume {short(request.name)}")
