"""`cordon control`: looks at matches and records a person's decision on them (R10)."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cordon.v1 import match_pb2
from cordon.v1.match_pb2_grpc import MatchServiceStub
from cordon_client.channel import call, connected, new_request_id, pages
from cordon_client.cli import (
    DryRunOption,
    IdentityOption,
    OutputOption,
    ProfileOption,
    ServerOption,
    identity_for,
    new_app,
    run,
)
from cordon_client.lazy import LazyGroup
from cordon_client.names import deployment_name, match_name, parse_match
from cordon_client.output import Format, emit, talk
from cordon_client.workstation import WORKSTATION
from cordon_control.pictures import save_match
from cordon_control.records import MATCH_COLUMNS, MATCH_DETAILS, match_record

if TYPE_CHECKING:
    from cordon_client.identity import ClientIdentity


class Desk(LazyGroup):
    """What every workstation can do, beside the commands below."""

    table = WORKSTATION


app = new_app(
    """Look at matches and decide them. A match is a candidate; a person decides.

    \b
    Examples:
      cordon control sign-in anna
      cordon control matches market
    """,
    cls=Desk,
)


@app.callback()
def control(profile: ProfileOption = None) -> None:
    """Takes the options that stand before the command."""


class Verdict(StrEnum):
    """What a person may decide."""

    TRUE = "true"
    FALSE = "false"
    UNDECIDED = "undecided"


_DECISIONS = {
    Verdict.TRUE: match_pb2.DECISION_TRUE,
    Verdict.FALSE: match_pb2.DECISION_FALSE,
    Verdict.UNDECIDED: match_pb2.DECISION_UNDECIDED,
}

DeploymentArgument = Annotated[str, typer.Argument(metavar="DEPLOYMENT", help="Whose matches.")]


@app.command()
def matches(
    deployment: DeploymentArgument,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """List a deployment's matches with the decisions on them.

    \b
    Example:
      cordon control matches market -o jsonl
    """
    run(_matches(identity_for("control", identity, server), deployment_name(deployment), output))


@app.command()
def show(
    match: Annotated[str, typer.Argument(metavar="DEPLOYMENT/SEQ", help="Which match.")],
    save: Annotated[
        Path | None, typer.Option("--save", metavar="DIR", help="Write the two pictures here.")
    ] = None,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Show one match.

    \b
    Example:
      cordon control show market/7 --save matches/
    """
    run(_show(identity_for("control", identity, server), parse_match(match), save, output))


@app.command()
def adjudicate(
    deployment: DeploymentArgument,
    sequence: Annotated[int, typer.Argument(metavar="SEQ", min=1, help="Which match.")],
    verdict: Annotated[Verdict, typer.Argument(help="Is it the same person?")],
    dry_run: DryRunOption = False,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Record your decision on a match. It carries your name, and it stands.

    \b
    Example:
      cordon control adjudicate market 7 false
    """
    request = match_pb2.AdjudicateMatchRequest(
        name=match_name(deployment, sequence),
        decision=_DECISIONS[verdict],
        request_id=new_request_id(),
        validate_only=dry_run,
    )
    run(_adjudicate(identity_for("control", identity, server), request, output))


async def _matches(identity: ClientIdentity, parent: str, output: Format) -> None:
    request = match_pb2.ListMatchesRequest(parent=parent, page_size=1000)
    async with connected(identity) as channel:
        method = MatchServiceStub(channel).ListMatches
        records = [
            match_record(match) async for page in pages(method, request) for match in page.matches
        ]
    emit(records, MATCH_COLUMNS, output, empty="No matches yet.")


async def _show(identity: ClientIdentity, name: str, save: Path | None, output: Format) -> None:
    async with connected(identity) as channel:
        stub = MatchServiceStub(channel)
        response = await call(stub.GetMatch, match_pb2.GetMatchRequest(name=name))
        if save is not None:
            await save_match(stub, response.match, save)
            talk(f"The pictures are in {save}.")
    emit([match_record(response.match)], MATCH_DETAILS, output, single=True)


async def _adjudicate(
    identity: ClientIdentity, request: match_pb2.AdjudicateMatchRequest, output: Format
) -> None:
    async with connected(identity) as channel:
        response = await call(MatchServiceStub(channel).AdjudicateMatch, request)
    if request.validate_only:
        talk("The decision could be recorded; nothing was changed.")
        return
    emit([match_record(response.match)], MATCH_DETAILS, output, single=True)
