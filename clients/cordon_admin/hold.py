"""`cordon admin hold`: what is kept of a match beyond its deployment, and for what reason (R4)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from google.protobuf import json_format

from cordon.v1 import retention_pb2
from cordon.v1.retention_pb2_grpc import RetentionServiceStub
from cordon_client.channel import call, connected, new_request_id, pages
from cordon_client.cli import (
    ConfirmOption,
    DryRunOption,
    IdentityOption,
    MatchArgument,
    OutputOption,
    ServerOption,
    confirm,
    identity_for,
    new_app,
    run,
)
from cordon_client.identity import write_private
from cordon_client.names import hold_name, short
from cordon_client.output import Format, emit, talk
from cordon_client.times import moment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cordon_client.identity import ClientIdentity

app = new_app(
    """What is kept of a match beyond its deployment, by name and for a reason.

    A hold keeps the record of one match and its pictures. It never keeps anything of the watchlist.

    \b
    Examples:
      cordon admin hold place case-2026-14 market/7 --reason "complaint 2026-14"
      cordon admin hold list
      cordon admin hold lift case-2026-14 --reason "complaint 2026-14 is settled"
    """
)

COLUMNS = {"NAME": "name", "MATCH": "match", "SINCE": "place_time", "LIFTED": "lift_time"}
DETAILS = {
    "Name": "name",
    "Match": "match",
    "Since": "place_time",
    "Lifted": "lift_time",
    "Why": "reason",
    "Pictures": "pictures",
}

HoldArgument = Annotated[str, typer.Argument(metavar="HOLD", help="Which hold, as you name it.")]
ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is kept.")]


@app.command()
def place(
    hold: HoldArgument,
    match: MatchArgument,
    reason: ReasonOption,
    dry_run: DryRunOption = False,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Keep a match's record and pictures until the hold is lifted.

    \b
    Example:
      cordon admin hold place case-2026-14 market/7 --reason "complaint 2026-14"
    """
    request = retention_pb2.PlaceHoldRequest(
        hold_id=short(hold),
        match=match,
        reason=reason,
        request_id=new_request_id(),
        validate_only=dry_run,
    )
    run(_place(identity_for("admin", identity, server), request, output))


@app.command()
def lift(
    hold: HoldArgument,
    reason: ReasonOption,
    confirmed: ConfirmOption = None,
    dry_run: DryRunOption = False,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Destroy what a hold keeps. Cannot be undone; wants your password afresh.

    \b
    Example:
      cordon admin hold lift case-2026-14 --reason "complaint 2026-14 is settled"
    """
    who = identity_for("admin", identity, server)
    if not dry_run:
        confirm(short(hold), confirmed, f"What {short(hold)} keeps will be destroyed.")
    request = retention_pb2.LiftHoldRequest(
        name=hold_name(hold),
        reason=reason,
        request_id=new_request_id(),
        validate_only=dry_run,
    )
    run(_lift(who, request, output))


@app.command("list")
def list_(
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """List the holds, lifted ones too.

    \b
    Example:
      cordon admin hold list -o json
    """
    run(_list(identity_for("admin", identity, server), output))


@app.command()
def show(
    hold: HoldArgument,
    pictures: Annotated[
        Path | None, typer.Option("--pictures", metavar="FOLDER", help="Write its pictures there.")
    ] = None,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Show what a hold keeps, and why. That you looked is recorded.

    \b
    Example:
      cordon admin hold show case-2026-14 -o json
    """
    run(_show(identity_for("admin", identity, server), hold_name(hold), pictures, output))


async def _place(
    identity: ClientIdentity, request: retention_pb2.PlaceHoldRequest, output: Format
) -> None:
    async with connected(identity) as channel:
        response = await call(RetentionServiceStub(channel).PlaceHold, request)
    if request.validate_only:
        talk(f"{short(request.match)} could be held; nothing was changed.")
        return
    emit([_record(response.hold)], DETAILS, output, single=True)


async def _lift(
    identity: ClientIdentity, request: retention_pb2.LiftHoldRequest, output: Format
) -> None:
    async with connected(identity) as channel:
        response = await call(RetentionServiceStub(channel).LiftHold, request)
    if request.validate_only:
        talk(f"{short(request.name)} could be lifted; nothing was changed.")
        return
    emit([_record(response.hold)], DETAILS, output, single=True)


async def _list(identity: ClientIdentity, output: Format) -> None:
    request = retention_pb2.ListHoldsRequest(page_size=1000)
    async with connected(identity) as channel:
        method = RetentionServiceStub(channel).ListHolds
        records = [_record(hold) async for page in pages(method, request) for hold in page.holds]
    emit(records, COLUMNS, output, empty="No holds: cordon admin hold place --help")


async def _show(identity: ClientIdentity, name: str, pictures: Path | None, output: Format) -> None:
    async with connected(identity) as channel:
        method = RetentionServiceStub(channel).GetHold
        response = await call(method, retention_pb2.GetHoldRequest(name=name))
    if pictures is not None:
        _write(pictures, short(name), response.pictures)
    record = _record(response.hold) | {
        "reason": response.reason,
        "pictures": len(response.pictures),
        "record": json_format.MessageToDict(response.record),
    }
    emit([record], DETAILS, output, single=True)


def _write(folder: Path, name: str, pictures: Sequence[bytes]) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number, jpeg in enumerate(pictures, 1):
        write_private(folder / f"{name}-{number}.jpg", jpeg)
    talk(f"{len(pictures)} pictures are in {folder}; remove them when they have served.")


def _record(hold: retention_pb2.Hold) -> dict[str, Any]:
    return {
        "name": short(hold.name),
        "match": hold.match,
        "place_time": moment(hold, "place_time"),
        "lift_time": moment(hold, "lift_time"),
    }
