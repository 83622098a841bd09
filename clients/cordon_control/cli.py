"""`cordon control`: looks at matches; a person's decision on them (R10) is in `decide`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from cordon.v1 import match_pb2
from cordon.v1.match_pb2_grpc import MatchServiceStub
from cordon_client.channel import call, connected, pages
from cordon_client.cli import (
    DeploymentArgument,
    IdentityOption,
    MatchArgument,
    OutputOption,
    ProfileOption,
    ServerOption,
    identity_for,
    new_app,
    run,
)
from cordon_client.lazy import Lazy, LazyGroup
from cordon_client.names import deployment_name
from cordon_client.output import Format, emit, talk
from cordon_client.workstation import WORKSTATION
from cordon_control.pictures import save_match
from cordon_control.records import MATCH_COLUMNS, MATCH_DETAILS, match_record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cordon_client.identity import ClientIdentity


class Desk(LazyGroup):
    """What every workstation can do, beside the commands below."""

    table: ClassVar[Mapping[str, Lazy]] = {
        "claim": Lazy("cordon_control.decide:claim", "Take a match and save its pictures."),
        "adjudicate": Lazy("cordon_control.decide:adjudicate", "Record your judgement on a match."),
        "halt": Lazy("cordon_control.halt:halt", "Stop recognition at once."),
        "outcome": Lazy("cordon_control.decide:outcome", "Record what came of a match."),
        "receipt": Lazy("cordon_control.receipts:receipt", "Make a code for a person stopped."),
        "look-up": Lazy("cordon_control.receipts:look_up", "Show what a receipt stands for."),
        "seed": Lazy("cordon_control.shift:seed", "Put a known case among the matches."),
        "shift-report": Lazy("cordon_control.shift:shift_report", "How people judged known cases."),
        "pass": Lazy("cordon_control.volunteers:record_pass", "Say that a volunteer passes."),
        "tpir": Lazy("cordon_control.volunteers:tpir", "How many volunteers were recognised."),
        "preflight": Lazy("cordon_control.preflight:preflight", "Test a camera on known people."),
        "drift": Lazy("cordon_control.drift:drift", "Whether cameras see as they did at first."),
        **WORKSTATION,
    }


app = new_app(
    """Look at matches and decide them. A match is a candidate; a person decides.

    \b
    Examples:
      cordon control sign-in anna
      cordon control matches market
      cordon control claim market/7
      cordon control adjudicate market/7 true --because features-agree
    """,
    cls=Desk,
)


@app.callback()
def control(profile: ProfileOption = None) -> None:
    """Takes the options that stand before the command."""


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
    match: MatchArgument,
    save: Annotated[
        Path | None, typer.Option("--save", metavar="DIR", help="Write the pictures here.")
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
    run(_show(identity_for("control", identity, server), match, save, output))


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
