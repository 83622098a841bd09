"""`cordon admin watchlist`: who may be looked for in a deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cordon.v1 import watchlist_pb2
from cordon.v1.watchlist_pb2_grpc import WatchlistServiceStub
from cordon_admin import watchlist_checks as checks
from cordon_admin import watchlist_proposal as proposal
from cordon_admin import watchlist_review as review
from cordon_admin.enrolment import check_pictures
from cordon_admin.records import (
    ENTRY_COLUMNS,
    ENTRY_DETAILS,
    REFERENCE_COLUMNS,
    entry_record,
)
from cordon_admin.watchlist_enrol import (
    PhotosArgument,
    enrol,
    import_,
    point_of,
    propose,
)
from cordon_client.channel import call, connected, new_request_id, pages
from cordon_client.cli import (
    ConfirmOption,
    DeploymentArgument,
    DryRunOption,
    IdentityOption,
    OutputOption,
    RefArgument,
    ServerOption,
    confirm,
    identity_for,
    new_app,
    run,
)
from cordon_client.names import deployment_name, entry_name, short
from cordon_client.output import Format, emit, talk

if TYPE_CHECKING:
    from cordon_client.identity import ClientIdentity

app = new_app(
    """Who may be looked for in a deployment.

    \b
    Example:
      cordon admin watchlist import market photos/ --category wanted
    """
)

app.command("enrol")(enrol)
app.command("import")(import_)
app.command("propose")(propose)
app.command("state")(review.state)
app.command("review")(review.review)
app.command("approve")(review.approve)
app.command("lint")(checks.lint)
app.command("diff")(checks.diff)
app.command("sample")(checks.sample)
app.add_typer(proposal.app, name="proposal")


@app.command("list")
def list_(
    deployment: DeploymentArgument,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """List the subjects of a watchlist.

    \b
    Example:
      cordon admin watchlist list market
    """
    run(_list(identity_for("admin", identity, server), deployment_name(deployment), output))


@app.command()
def show(
    deployment: DeploymentArgument,
    ref: RefArgument,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Show one subject's pictures and what was measured of them.

    \b
    Example:
      cordon admin watchlist show market A-17
    """
    run(_show(identity_for("admin", identity, server), entry_name(deployment, ref), output))


@app.command()
def remove(
    deployment: DeploymentArgument,
    ref: RefArgument,
    confirmed: ConfirmOption = None,
    dry_run: DryRunOption = False,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Remove a subject, from the running search too, at once. Cannot be undone.

    \b
    Example:
      cordon admin watchlist remove market A-17
    """
    who = identity_for("admin", identity, server)
    name = entry_name(deployment, ref)
    if not dry_run:
        confirm(short(name), confirmed, f"{short(name)}'s pictures and templates will be gone.")
    request = watchlist_pb2.RemoveEntryRequest(
        name=name, request_id=new_request_id(), validate_only=dry_run
    )
    run(_remove(who, request))


@app.command()
def check(
    deployment: DeploymentArgument,
    photos: PhotosArgument,
    face: Annotated[
        str | None, typer.Option("--face", metavar="X,Y", help="A point in the wanted face.")
    ] = None,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Tell what would become of pictures and whom they resemble. Writes nothing.

    Exit code 3: some could not be enrolled.

    \b
    Example:
      cordon admin watchlist check market front.jpg
    """
    who = identity_for("admin", identity, server)
    point = point_of(face) if face else None
    run(check_pictures(who, deployment_name(deployment), photos, point, output))


async def _list(identity: ClientIdentity, parent: str, output: Format) -> None:
    request = watchlist_pb2.ListEntriesRequest(parent=parent, page_size=1000)
    async with connected(identity) as channel:
        method = WatchlistServiceStub(channel).ListEntries
        records = [
            entry_record(entry) async for page in pages(method, request) for entry in page.entries
        ]
    empty = f"Nobody is listed: cordon admin watchlist enrol {short(parent)} --help"
    emit(records, ENTRY_COLUMNS, output, empty=empty)


async def _show(identity: ClientIdentity, name: str, output: Format) -> None:
    async with connected(identity) as channel:
        method = WatchlistServiceStub(channel).GetEntry
        response = await call(method, watchlist_pb2.GetEntryRequest(name=name))
    record = entry_record(response.entry)
    emit([record], ENTRY_DETAILS, output, single=True)
    if output is Format.TABLE:
        print()
        emit(record["references"], REFERENCE_COLUMNS, output, empty="No pictures.")


async def _remove(identity: ClientIdentity, request: watchlist_pb2.RemoveEntryRequest) -> None:
    async with connected(identity) as channel:
        response = await call(WatchlistServiceStub(channel).RemoveEntry, request)
    count = response.references_removed
    what = f"{short(request.name)} with {count} picture{'s' * (count != 1)}"
    if request.validate_only:
        talk(f"{what} could be removed; nothing was changed.")
    else:
        talk(f"{what} was removed.")
