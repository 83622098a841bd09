"""The moves of a deployment as commands: submit, authorise, publish, arm, halt, resume, end."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from cordon.v1 import deployment_pb2
from cordon.v1.deployment_pb2_grpc import DeploymentServiceStub
from cordon_admin.policy import check_digest
from cordon_admin.records import DEPLOYMENT_DETAILS, deployment_record
from cordon_client.authority import authority_digest
from cordon_client.channel import call, connected, new_request_id
from cordon_client.cli import (
    ConfirmOption,
    DeploymentArgument,
    DryRunOption,
    IdentityOption,
    OutputOption,
    ServerOption,
    confirm,
    identity_for,
    run,
)
from cordon_client.errors import ClientError, ExitCode
from cordon_client.names import deployment_name, short
from cordon_client.output import Format, emit, talk
from cordon_client.person import signed_in_user
from cordon_client.signing_key import load_signing_key, sign_authority

if TYPE_CHECKING:
    from collections.abc import Callable

    from cordon_client.identity import ClientIdentity

MOVE_S_MAX = 300.0
"""Loading a long watchlist, and destroying one, takes a while."""


class MoveRequest(Protocol):
    """What every request that changes a deployment has."""

    validate_only: bool


def submit(
    deployment: DeploymentArgument,
    faces_per_hour: Annotated[
        float,
        typer.Option(
            "--faces-per-hour", metavar="N", help="People who will pass, each once: the forecast's."
        ),
    ] = 0.0,
    operators: Annotated[
        int, typer.Option("--operators", metavar="N", help="People who judge matches at once.")
    ] = 1,
    dry_run: DryRunOption = False,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Put a deployment, with its watchlist as it is, before an authorising officer.

    \b
    Example:
      cordon admin deployment submit market --faces-per-hour 1200 --operators 2
    """
    request = deployment_pb2.SubmitDeploymentRequest(
        **_request(deployment, dry_run), faces_per_hour=faces_per_hour, operators=operators
    )
    run(move(identity_for("admin", identity, server), "SubmitDeployment", request, output))


def authorise(
    deployment: DeploymentArgument,
    below_floor: Annotated[
        bool,
        typer.Option(
            "--below-floor", help="Sign for a threshold below the floor that was forecast."
        ),
    ] = False,
    confirmed: ConfirmOption = None,
    dry_run: DryRunOption = False,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Look at what is asked for, and sign it with your own key.

    Whoever asked for it cannot, nor can anybody at his workstation. What changes afterwards makes
    the signature void.

    \b
    Example:
      cordon admin deployment authorise market
    """
    who = identity_for("admin", identity, server)
    request = deployment_pb2.AuthoriseDeploymentRequest(
        **_request(deployment, dry_run), below_floor=below_floor
    )
    run(_authorise(who, request, confirmed, output))


def publish(
    deployment: DeploymentArgument,
    place: Annotated[
        str, typer.Option("--at", metavar="TEXT", help="Where: an address of the web, a place.")
    ],
    dry_run: DryRunOption = False,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Note that the public was told, and where.

    \b
    Example:
      cordon admin deployment publish market --at https://www.north.example/market
    """
    request = deployment_pb2.PublishNoticeRequest(**_request(deployment, dry_run), place=place)
    run(move(identity_for("admin", identity, server), "PublishNotice", request, output))


def arm(
    deployment: DeploymentArgument,
    dry_run: DryRunOption = False,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Load the watchlist and let the cameras in, once it is authorised.

    \b
    Example:
      cordon admin deployment arm market
    """
    request = deployment_pb2.ArmDeploymentRequest(**_request(deployment, dry_run))
    run(move(identity_for("admin", identity, server), "ArmDeployment", request, output))


def halt(
    deployment: DeploymentArgument,
    dry_run: DryRunOption = False,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Stop recognition at once, on every camera. Only the authoriser resumes it.

    \b
    Example:
      cordon admin deployment halt market
    """
    request = deployment_pb2.HaltDeploymentRequest(**_request(deployment, dry_run))
    run(move(identity_for("admin", identity, server), "HaltDeployment", request, output))


def resume(
    deployment: DeploymentArgument,
    dry_run: DryRunOption = False,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Let recognition go on that was halted; for the officer who authorised it.

    \b
    Example:
      cordon admin deployment resume market
    """
    request = deployment_pb2.ResumeDeploymentRequest(**_request(deployment, dry_run))
    run(move(identity_for("admin", identity, server), "ResumeDeployment", request, output))


def end(
    deployment: DeploymentArgument,
    confirmed: ConfirmOption = None,
    dry_run: DryRunOption = False,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Stop recognition and destroy the watchlist and the match log. Cannot be undone.

    \b
    Example:
      cordon admin deployment end market
    """
    who = identity_for("admin", identity, server)
    if not dry_run:
        consequence = f"The watchlist and the match log of {short(deployment)} will be destroyed."
        confirm(short(deployment), confirmed, consequence)
    request = deployment_pb2.EndDeploymentRequest(**_request(deployment, dry_run))
    run(move(who, "EndDeployment", request, output))


COMMANDS: tuple[Callable[..., None], ...] = (submit, authorise, publish, arm, halt, resume, end)

_DONE = {
    "CreateDeployment": "made",
    "UpdateDeployment": "changed so",
    "AssignDeployment": "assigned so",
    "SubmitDeployment": "submitted",
    "AuthoriseDeployment": "authorised",
    "PublishNotice": "published",
    "ArmDeployment": "armed",
    "HaltDeployment": "halted",
    "ResumeDeployment": "resumed",
    "EndDeployment": "ended",
}
_NEXT = {
    "CreateDeployment": "Next: its watchlist, then put it before an authorising officer.\n"
    "  cordon admin watchlist import {name} FOLDER --category CATEGORY\n"
    "  cordon admin deployment submit {name}",
    "SubmitDeployment": "Next, an authorising officer at another workstation:\n"
    "  cordon admin deployment authorise {name}",
    "AuthoriseDeployment": "Next, within its window:\n  cordon admin deployment arm {name}",
}


def _request(name: str, dry_run: bool) -> dict[str, Any]:
    return {
        "name": deployment_name(name),
        "request_id": new_request_id(),
        "validate_only": dry_run,
    }


async def move(identity: ClientIdentity, method: str, request: MoveRequest, output: Format) -> None:
    """Asks for a change of a deployment and says what became of it."""
    async with connected(identity) as channel:
        stub: Any = DeploymentServiceStub(channel)
        response = await call(getattr(stub, method), request, timeout_s=MOVE_S_MAX)
    _said(method, request, response.deployment, output)


async def _authorise(
    identity: ClientIdentity,
    request: deployment_pb2.AuthoriseDeploymentRequest,
    confirmed: str | None,
    output: Format,
) -> None:
    name, user = request.name, signed_in_user(identity)
    key = load_signing_key(identity.folder, user)
    async with connected(identity) as channel:
        stub = DeploymentServiceStub(channel)
        shown = await call(stub.GetDeployment, deployment_pb2.GetDeploymentRequest(name=name))
        policy = await call(stub.GetPolicy, deployment_pb2.GetPolicyRequest())
        deployment = shown.deployment
        _check_signable(deployment, policy.policy)
        if not request.validate_only:
            _show(deployment)
            confirm(
                short(name),
                confirmed,
                f"You authorise {short(name)} as it is shown, in your name.",
                warning="Whatever changes afterwards makes your signature void.",
            )
        request.digest = authority_digest(deployment)
        request.signature = sign_authority(key, request.digest)
        response = await call(stub.AuthoriseDeployment, request)
    _said("AuthoriseDeployment", request, response.deployment, output)


def _show(deployment: deployment_pb2.Deployment) -> None:
    """What is about to be signed, where nobody has seen it yet."""
    if sys.stdin.isatty():
        emit([deployment_record(deployment)], DEPLOYMENT_DETAILS, Format.TABLE, single=True)


def _check_signable(deployment: deployment_pb2.Deployment, policy: deployment_pb2.Policy) -> None:
    """Refuses what was not submitted, or under another policy than the server shows."""
    if not deployment.HasField("submission"):
        raise ClientError(
            f"{short(deployment.name)} was not submitted.",
            why="What is signed is fixed when its requester submits it.",
            hint=f"cordon admin deployment submit {short(deployment.name)}",
            exit_code=ExitCode.CONFLICT,
        )
    check_digest(policy)
    if policy.digest != deployment.submission.policy_digest:
        raise ClientError(
            f"{short(deployment.name)} was submitted under another policy than the server has.",
            why=f"The server keeps to {policy.name}, version {policy.version}.",
            hint=f"cordon admin deployment submit {short(deployment.name)}",
            exit_code=ExitCode.CONFLICT,
        )


def _said(
    method: str, request: MoveRequest, deployment: deployment_pb2.Deployment, output: Format
) -> None:
    name = short(deployment.name)
    if request.validate_only:
        talk(f"Deployment {name} could be {_DONE[method]}; nothing was changed.")
        return
    emit([deployment_record(deployment)], DEPLOYMENT_DETAILS, output, single=True)
    if method in _NEXT:
        talk(_NEXT[method].format(name=name))
