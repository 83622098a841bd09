"""`cordon admin policy`: what bounds every deployment of the server."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cordon.v1 import deployment_pb2
from cordon.v1.deployment_pb2_grpc import DeploymentServiceStub
from cordon_client.channel import call, connected
from cordon_client.cli import IdentityOption, OutputOption, ServerOption, identity_for, new_app, run
from cordon_client.errors import ClientError, ExitCode
from cordon_client.output import Format, emit, talk

if TYPE_CHECKING:
    from cordon_client.identity import ClientIdentity

app = new_app(
    """The policy: purposes, categories, caps and rules, in one file that the server keeps to.

    \b
    Example:
      cordon admin policy check
    """
)

_COLUMNS = {"RULE": "name", "VALUE": "value", "MEANING": "meaning", "SERVES": "requirements"}


@app.command()
def check(
    digest: Annotated[
        str | None,
        typer.Option("--digest", metavar="SHA256", help="Refuse any policy but this one."),
    ] = None,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Explain the server's policy, and check that its digest is of what it says.

    A file that no server uses yet is explained by: cordon server policy FILE

    \b
    Example:
      cordon admin policy check -o json
    """
    run(_check(identity_for("admin", identity, server), digest, output))


async def _check(identity: ClientIdentity, digest: str | None, output: Format) -> None:
    async with connected(identity) as channel:
        response = await call(
            DeploymentServiceStub(channel).GetPolicy, deployment_pb2.GetPolicyRequest()
        )
    policy = response.policy
    check_digest(policy)
    if digest is not None and digest.lower() != policy.digest.hex():
        raise ClientError(
            f"The server's policy is {policy.name} with digest {policy.digest.hex()}.",
            why=f"Another one was expected: {digest}.",
            exit_code=ExitCode.CONFLICT,
        )
    if output is Format.JSON:
        emit([_record(policy)], {}, output, single=True)
        return
    emit([_rule(rule) for rule in policy.rules], _COLUMNS, output)
    talk(f"{policy.name}, version {policy.version}: {policy.title}\n{policy.digest.hex()}")


def check_digest(policy: deployment_pb2.Policy) -> None:
    """Raises a ClientError where the digest is not of what the policy says."""
    if hashlib.sha256(policy.canonical.encode()).digest() != policy.digest:
        raise ClientError(
            f"The digest of policy {policy.name} is not of what it says.",
            why="Every authority names this digest; the server shows another policy than it has.",
            exit_code=ExitCode.FAILED,
        )


def _record(policy: deployment_pb2.Policy) -> dict[str, Any]:
    return {
        "name": policy.name,
        "version": policy.version,
        "title": policy.title,
        "digest": policy.digest.hex(),
        "policy": json.loads(policy.canonical),
        "rules": [_rule(rule) for rule in policy.rules],
    }


def _rule(rule: deployment_pb2.PolicyRule) -> dict[str, Any]:
    return {
        "name": rule.key,
        "value": rule.value,
        "meaning": rule.meaning,
        "requirements": rule.requirements,
    }
