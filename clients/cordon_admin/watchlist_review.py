"""`cordon admin watchlist state|review|approve`: what a second person does with a list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cordon.v1 import watchlist_pb2
from cordon.v1.watchlist_pb2_grpc import WatchlistServiceStub
from cordon_admin.records import ENTRY_DETAILS, WATCHLIST_DETAILS, entry_record, watchlist_record
from cordon_client.channel import call, connected, new_request_id
from cordon_client.cli import (
    DeploymentArgument,
    DryRunOption,
    IdentityOption,
    OutputOption,
    RefArgument,
    ServerOption,
    identity_for,
    run,
)
from cordon_client.names import deployment_name, entry_name, short
from cordon_client.output import Format, emit, talk

if TYPE_CHECKING:
    from cordon_client.identity import ClientIdentity


def state(
    deployment: DeploymentArgument,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Show the list as a whole: its digest, its counts, its review.

    \b
    Example:
      cordon admin watchlist state market
    """
    run(_state(identity_for("admin", identity, server), list_name(deployment), output))


def review(
    deployment: DeploymentArgument,
    digest: Annotated[
        str,
        typer.Option(
            "--digest", help="Of the list that you looked through; without, of the list as it is."
        ),
    ] = "",
    dry_run: DryRunOption = False,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Put on record that you looked through exactly this list: each entry current and necessary.

    It takes another person, at another workstation, than who made the deployment or enrolled
    anything. Any change of the list wants another review.

    \b
    Example:
      cordon admin watchlist review market
    """
    who = identity_for("admin", identity, server)
    run(_review(who, list_name(deployment), digest, dry_run, output))


def approve(
    deployment: DeploymentArgument,
    ref: RefArgument,
    dry_run: DryRunOption = False,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Approve what of an entry waits for a second person: a minor, a picture below the gate.

    Until then it is searched for nobody. Look first: cordon admin watchlist show.

    \b
    Example:
      cordon admin watchlist approve market A-17
    """
    request = watchlist_pb2.ApproveEntryRequest(
        name=entry_name(deployment, ref), request_id=new_request_id(), validate_only=dry_run
    )
    run(_approve(identity_for("admin", identity, server), request, output))


def list_name(deployment: str) -> str:
    """The name of a deployment's list."""
    return f"{deployment_name(deployment)}/watchlist"


async def _state(identity: ClientIdentity, name: str, output: Format) -> None:
    async with connected(identity) as channel:
        method = WatchlistServiceStub(channel).GetWatchlist
        response = await call(method, watchlist_pb2.GetWatchlistRequest(name=name))
    _emit(response.watchlist, output)


async def _review(
    identity: ClientIdentity, name: str, digest: str, dry_run: bool, output: Format
) -> None:
    async with connected(identity) as channel:
        stub = WatchlistServiceStub(channel)
        if not digest:
            shown = await call(stub.GetWatchlist, watchlist_pb2.GetWatchlistRequest(name=name))
            digest = shown.watchlist.digest
        request = watchlist_pb2.ReviewWatchlistRequest(
            name=name, digest=digest, request_id=new_request_id(), validate_only=dry_run
        )
        response = await call(stub.ReviewWatchlist, request)
    _emit(response.watchlist, output)
    if dry_run:
        talk("It could be reviewed; nothing was changed.")


async def _approve(
    identity: ClientIdentity, request: watchlist_pb2.ApproveEntryRequest, output: Format
) -> None:
    async with connected(identity) as channel:
        response = await call(WatchlistServiceStub(channel).ApproveEntry, request)
    emit([entry_record(response.entry)], ENTRY_DETAILS, output, single=True)
    done = "could be approved; nothing was changed" if request.validate_only else "was approved"
    talk(f"{short(request.name)} {done}.")


def _emit(watchlist: watchlist_pb2.Watchlist, output: Format) -> None:
    record = watchlist_record(watchlist)
    by_category = record["entries_by_category"]
    if output is Format.TABLE:
        record["told_categories"] = [f"{count} {name}" for name, count in by_category.items()]
    emit([record], WATCHLIST_DETAILS, output, single=True)
