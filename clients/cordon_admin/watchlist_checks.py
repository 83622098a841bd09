"""`cordon admin watchlist lint|diff|sample`: what to look at before a list is used."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cordon.v1 import watchlist_pb2
from cordon.v1.watchlist_pb2_grpc import WatchlistServiceStub
from cordon_admin.records import ENTRY_COLUMNS, entry_record, enum_word, rounded, said
from cordon_admin.watchlist_review import list_name
from cordon_client.channel import call, connected
from cordon_client.cli import (
    DeploymentArgument,
    IdentityOption,
    OutputOption,
    ServerOption,
    identity_for,
    run,
)
from cordon_client.errors import ExitCode
from cordon_client.names import short
from cordon_client.output import Format, emit, talk

if TYPE_CHECKING:
    from cordon_client.identity import ClientIdentity

FINDING_COLUMNS = {
    "SEVERITY": "severity",
    "KIND": "kind",
    "REF": "entry_ref",
    "OTHER": "other_ref",
    "SCORE": "score",
    "WHAT TO DO": "message",
}
DIFFERENCE_COLUMNS = {
    "DIFFERENCE": "kind",
    "REF": "external_ref",
    "CATEGORY": "category",
    "CHANGED": "changed_fields",
}


def lint(
    deployment: DeploymentArgument,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Check the list: doubles, look-alikes, hubs, stale pictures, minors, what breaks the policy.

    Every entry is compared with every other, and with the site's cohort of strangers if it has one.
    Writes nothing. Exit code 3: there is something to look at before the list is used.

    \b
    Example:
      cordon admin watchlist lint market
    """
    run(_lint(identity_for("admin", identity, server), list_name(deployment), output))


def diff(
    deployment: DeploymentArgument,
    other: Annotated[
        str, typer.Argument(metavar="OTHER", help="The deployment whose list came before.")
    ],
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Show who came, who went and what changed since another deployment's list.

    Of a deployment that has ended only who was listed is on record, and in which category. Exit
    code 3: the lists differ.

    \b
    Example:
      cordon admin watchlist diff market-friday market-thursday
    """
    request = watchlist_pb2.CheckDifferenceRequest(
        name=list_name(deployment), other=list_name(other)
    )
    run(_diff(identity_for("admin", identity, server), request, output))


def sample(
    deployment: DeploymentArgument,
    count: Annotated[int, typer.Option("--count", min=1, max=100, help="How many entries.")] = 10,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Draw entries at random, for whoever judges whether each is necessary. Each draw is on record.

    \b
    Example:
      cordon admin watchlist sample market --count 20 -o json
    """
    request = watchlist_pb2.GetEntrySampleRequest(name=list_name(deployment), count=count)
    run(_sample(identity_for("admin", identity, server), request, output))


def finding_record(finding: watchlist_pb2.Finding) -> dict[str, Any]:
    """One thing to look at."""
    severity = watchlist_pb2.FindingSeverity.Name(finding.severity)
    return {
        "name": finding.reference or finding.entry,
        "kind": enum_word(watchlist_pb2.FindingKind.Name(finding.kind), "FINDING_KIND"),
        "severity": enum_word(severity, "FINDING_SEVERITY"),
        "entry": finding.entry,
        "reference": finding.reference or None,
        "other_entry": finding.other_entry or None,
        "other_reference": finding.other_reference or None,
        "score": rounded(finding.score) if finding.score else None,
        "code": said(watchlist_pb2.ReasonCode.Name(finding.code), "REASON_CODE"),
        "message": finding.message,
    }


async def _lint(identity: ClientIdentity, name: str, output: Format) -> ExitCode:
    async with connected(identity) as channel:
        method = WatchlistServiceStub(channel).CheckWatchlist
        response = await call(method, watchlist_pb2.CheckWatchlistRequest(name=name))
    records = [finding_record(each) for each in response.findings]
    shown = [
        record | {"entry_ref": short(record["entry"]), "other_ref": _short(record["other_entry"])}
        for record in records
    ]
    emit(
        shown if output is Format.TABLE else records,
        FINDING_COLUMNS,
        output,
        empty="Nothing to look at.",
    )
    strangers = response.cohort_count or "no"
    talk(
        f"{response.entry_count} entries checked, compared with {strangers} strangers: "
        f"{_told(response.counts) or 'nothing found'}"
    )
    matters = any(record["severity"] != "notice" for record in records)
    return ExitCode.PARTLY if matters else ExitCode.OK


async def _diff(
    identity: ClientIdentity, request: watchlist_pb2.CheckDifferenceRequest, output: Format
) -> ExitCode:
    async with connected(identity) as channel:
        response = await call(WatchlistServiceStub(channel).CheckDifference, request)
    records = [
        {
            "name": each.external_ref,
            "kind": enum_word(watchlist_pb2.DifferenceKind.Name(each.kind), "DIFFERENCE_KIND"),
            "external_ref": each.external_ref,
            "category": each.category,
            "changed_fields": list(each.changed_fields),
        }
        for each in response.differences
    ]
    emit(records, DIFFERENCE_COLUMNS, output, empty="The lists are the same.")
    kinds = Counter(str(record["kind"]) for record in records)
    talk(f"{response.unchanged_count} unchanged, {_told(kinds) or 'nothing else'}")
    if response.from_record:
        talk(
            f"{short(request.other.removesuffix('/watchlist'))} has ended: only who was on its "
            "list, and in which category, could be compared"
        )
    return ExitCode.PARTLY if records else ExitCode.OK


async def _sample(
    identity: ClientIdentity, request: watchlist_pb2.GetEntrySampleRequest, output: Format
) -> None:
    async with connected(identity) as channel:
        response = await call(WatchlistServiceStub(channel).GetEntrySample, request)
    columns = ENTRY_COLUMNS | {"RATIONALE": "rationale", "SOURCE": "lawful_source"}
    emit([entry_record(each) for each in response.entries], columns, output, empty="Nobody.")
    talk(
        f"{len(response.entries)} of {response.entry_count} entries, drawn from the list "
        f"{response.digest}"
    )


def _told(counts: Any) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))


def _short(name: str | None) -> str | None:
    return short(name) if name else None
