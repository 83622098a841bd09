"""`cordon admin watchlist proposal`: imports that wait for a second person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cordon.v1 import watchlist_pb2
from cordon.v1.watchlist_pb2_grpc import WatchlistServiceStub
from cordon_admin.records import entry_record, enum_word, reason_records
from cordon_admin.report import told
from cordon_client.channel import call, connected, new_request_id, pages
from cordon_client.cli import (
    ConfirmOption,
    DeploymentArgument,
    DryRunOption,
    IdentityOption,
    OutputOption,
    ServerOption,
    confirm,
    identity_for,
    new_app,
    run,
)
from cordon_client.names import deployment_name, short
from cordon_client.output import Format, emit, talk
from cordon_client.times import moment

if TYPE_CHECKING:
    from cordon_client.identity import ClientIdentity

app = new_app(
    """Imports that one person proposes and another applies.

    \b
    Example:
      cordon admin watchlist proposal list market
    """
)

COLUMNS = {
    "PROPOSAL": "id",
    "STATE": "state",
    "BY": "proposer",
    "SINCE": "create_time",
    "GOOD": "accepted_count",
    "KNOWN": "known_count",
    "REFUSED": "rejected_count",
    "APPLIED BY": "applier",
}
DETAILS = {heading.capitalize(): key for heading, key in COLUMNS.items()} | {
    "Digest": "digest",
    "Of the list": "base_digest",
    "Applied": "apply_time",
}
ROW_COLUMNS = {
    "ROW": "row",
    "REF": "external_ref",
    "OUTCOME": "outcome",
    "CATEGORY": "category",
    "RATIONALE": "rationale",
    "REASONS": "told",
}

ProposalArgument = Annotated[
    str, typer.Argument(metavar="PROPOSAL", help="Its id, as `proposal list` shows it.")
]


@app.command("list")
def list_(
    deployment: DeploymentArgument,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """List the proposals for a list.

    \b
    Example:
      cordon admin watchlist proposal list market
    """
    run(_list(identity_for("admin", identity, server), deployment_name(deployment), output))


@app.command()
def show(
    deployment: DeploymentArgument,
    proposal: ProposalArgument,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Show a proposal row by row: who would be listed, why, and what is refused.

    \b
    Example:
      cordon admin watchlist proposal show market 0190c2f0-6f2e-4b0e-9a4e-2f6d1c7f3a55
    """
    name = proposal_name(deployment, proposal)
    run(_show(identity_for("admin", identity, server), name, output))


@app.command()
def apply(
    deployment: DeploymentArgument,
    proposal: ProposalArgument,
    digest: Annotated[
        str,
        typer.Option("--digest", help="Of the proposal that you looked at; else as it is."),
    ] = "",
    dry_run: DryRunOption = False,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Put a proposal's good rows on the list. It takes another person than who proposed it.

    Refused when the list has changed since: the report that you looked at would not hold.

    \b
    Example:
      cordon admin watchlist proposal apply market 0190c2f0-6f2e-4b0e-9a4e-2f6d1c7f3a55
    """
    name = proposal_name(deployment, proposal)
    run(_apply(identity_for("admin", identity, server), name, digest, dry_run, output))


@app.command()
def discard(
    deployment: DeploymentArgument,
    proposal: ProposalArgument,
    confirmed: ConfirmOption = None,
    dry_run: DryRunOption = False,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Throw a proposal away with its pictures. Cannot be undone.

    \b
    Example:
      cordon admin watchlist proposal discard market 0190c2f0-6f2e-4b0e-9a4e-2f6d1c7f3a55
    """
    who, name = identity_for("admin", identity, server), proposal_name(deployment, proposal)
    if not dry_run:
        confirm(short(name), confirmed, "The proposal's pictures and templates will be gone.")
    run(_discard(who, name, dry_run))


def proposal_name(deployment: str, given: str) -> str:
    """A proposal's whole name."""
    if given.startswith("deployments/"):
        return given
    return f"{deployment_name(deployment)}/proposals/{given}"


def proposal_record(proposal: watchlist_pb2.Proposal) -> dict[str, Any]:
    """One proposal."""
    state = watchlist_pb2.ProposalState.Name(proposal.state)
    return {
        "name": proposal.name,
        "id": short(proposal.name),
        "state": enum_word(state, "PROPOSAL_STATE"),
        "proposer": proposal.proposer,
        "create_time": moment(proposal, "create_time"),
        "digest": proposal.digest or None,
        "base_digest": proposal.base_digest,
        "accepted_count": proposal.accepted_count,
        "known_count": proposal.known_count,
        "rejected_count": proposal.rejected_count,
        "applier": proposal.applier or None,
        "apply_time": moment(proposal, "apply_time"),
    }


def row_record(row: watchlist_pb2.ProposalRow) -> dict[str, Any]:
    """One row."""
    return {
        "name": row.external_ref,
        "row": row.row,
        "external_ref": row.external_ref,
        "outcome": enum_word(watchlist_pb2.EnrolOutcome.Name(row.outcome), "ENROL_OUTCOME"),
        "reasons": reason_records(row.reasons),
        "entry": entry_record(row.entry) if row.HasField("entry") else None,
    }


async def _list(identity: ClientIdentity, parent: str, output: Format) -> None:
    request = watchlist_pb2.ListProposalsRequest(parent=parent)
    async with connected(identity) as channel:
        response = await call(WatchlistServiceStub(channel).ListProposals, request)
    empty = f"Nothing is proposed: cordon admin watchlist propose {short(parent)} --help"
    emit([proposal_record(each) for each in response.proposals], COLUMNS, output, empty=empty)


async def _show(identity: ClientIdentity, name: str, output: Format) -> None:
    request = watchlist_pb2.ListProposalRowsRequest(parent=name, page_size=1000)
    async with connected(identity) as channel:
        stub = WatchlistServiceStub(channel)
        shown = await call(stub.GetProposal, watchlist_pb2.GetProposalRequest(name=name))
        rows = [
            row_record(row)
            async for page in pages(stub.ListProposalRows, request)
            for row in page.rows
        ]
    record = proposal_record(shown.proposal)
    if output is not Format.TABLE:
        emit([record | {"rows": rows}], DETAILS, output, single=True)
        return
    emit([record], DETAILS, output, single=True)
    print()
    emit([_shown(row) for row in rows], ROW_COLUMNS, output, empty="No rows.")


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    entry = row["entry"] or {}
    return row | {
        "category": entry.get("category"),
        "rationale": entry.get("rationale"),
        "told": told(row["reasons"]),
    }


async def _apply(
    identity: ClientIdentity, name: str, digest: str, dry_run: bool, output: Format
) -> None:
    async with connected(identity) as channel:
        stub = WatchlistServiceStub(channel)
        if not digest:
            shown = await call(stub.GetProposal, watchlist_pb2.GetProposalRequest(name=name))
            digest = shown.proposal.digest or "0" * 64
        request = watchlist_pb2.ApplyProposalRequest(
            name=name, digest=digest, request_id=new_request_id(), validate_only=dry_run
        )
        response = await call(stub.ApplyProposal, request)
    emit([proposal_record(response.proposal)], DETAILS, output, single=True)
    talk("It could be applied; nothing was changed." if dry_run else "It is on the list.")


async def _discard(identity: ClientIdentity, name: str, dry_run: bool) -> None:
    request = watchlist_pb2.DiscardProposalRequest(
        name=name, request_id=new_request_id(), validate_only=dry_run
    )
    async with connected(identity) as channel:
        await call(WatchlistServiceStub(channel).DiscardProposal, request)
    done = "could be discarded; nothing was changed" if dry_run else "is gone"
    talk(f"{short(name)} {done}.")
