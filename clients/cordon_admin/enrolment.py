"""Runs an enrolment or a check of pictures and shows how it goes."""

from __future__ import annotations

import asyncio
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cordon.v1 import watchlist_pb2
from cordon.v1.watchlist_pb2_grpc import WatchlistServiceStub
from cordon_admin.importing import Import
from cordon_admin.records import quality_record, reason_records, rounded
from cordon_admin.report import Reports, RowReport, told
from cordon_client.channel import call, connected
from cordon_client.errors import ClientError, ExitCode
from cordon_client.names import short
from cordon_client.output import Format, emit, talk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from cordon_admin.rows import Rows
    from cordon_client.identity import ClientIdentity

CHECK_COLUMNS = {
    "PICTURE": "image",
    "USABLE": "is_usable",
    "REASONS": "told",
    "EYES PX": "inter_eye_px",
    "MOST SIMILAR": "closest",
}


async def enrol_rows(
    identity: ClientIdentity,
    parent: str,
    rows: Rows,
    *,
    output: Format,
    dry_run: bool,
    give_up_after_s: float,
    report: Path | None = None,
    is_import: bool = False,
    as_proposal: bool = False,
) -> ExitCode:
    """Enrols the good rows, reports on all, and says with its exit code whether all went in.

    What was answered is reported even when the import cannot go on.
    """
    reports = Reports(output, report)
    for bad in rows.bad:
        reports.add(RowReport.refused(bad, "bad_field", f"{bad.message}."))
    try:
        with _progress(len(rows.good), shown=is_import) as advance:

            def on_report(found: RowReport) -> None:
                reports.add(found)
                advance()

            work = Import(
                identity,
                parent,
                rows.good,
                on_report=on_report,
                on_trouble=talk,
                validate_only=dry_run,
                as_proposal=as_proposal,
                give_up_after_s=give_up_after_s,
            )
            await work.run()
        if work.proposal:
            talk(
                "Nothing is on the list yet. Another person looks at it and applies it: cordon "
                f"admin watchlist proposal show {short(parent)} {short(work.proposal)}"
            )
    finally:
        reports.publish(dry_run=dry_run)
    if reports.is_clean:
        return ExitCode.OK
    nothing_went_in = reports.counts["rejected"] == len(reports.rows)
    return ExitCode.FAILED if nothing_went_in and not is_import else ExitCode.PARTLY


async def check_pictures(
    identity: ClientIdentity,
    parent: str,
    photos: Sequence[Path],
    face: tuple[float, float] | None,
    output: Format,
) -> ExitCode:
    """Prints what would become of each picture."""
    point = watchlist_pb2.ImagePoint(x=face[0], y=face[1]) if face else None
    records = []
    async with connected(identity) as channel:
        method = WatchlistServiceStub(channel).CheckReference
        for photo in photos:
            request = watchlist_pb2.CheckReferenceRequest(
                parent=parent, image=await asyncio.to_thread(_read, photo), face_point=point
            )
            records.append(_check_record(photo, await call(method, request)))
    emit(records, CHECK_COLUMNS, output)
    return ExitCode.OK if all(record["is_usable"] for record in records) else ExitCode.PARTLY


def _check_record(photo: Path, response: watchlist_pb2.CheckReferenceResponse) -> dict[str, Any]:
    similar = [
        {"reference": found.reference, "score": rounded(found.score)} for found in response.similar
    ]
    quality = quality_record(response.quality) if response.HasField("quality") else None
    reasons = reason_records(response.reasons)
    closest = f"{_subject(similar[0]['reference'])} {similar[0]['score']:.3f}" if similar else None
    record = {
        "name": str(photo),
        "image": str(photo),
        "is_usable": not reasons,
        "reasons": reasons,
        "quality": quality,
        "similar": similar,
    }
    shown = {"told": told(reasons), "closest": closest}
    return record | shown | {"inter_eye_px": quality["inter_eye_px"] if quality else None}


def _subject(reference: Any) -> str:
    """ "…/entries/A-17/references/x" -> "A-17"."""
    return short(str(reference).split("/references/")[0])


def _read(photo: Path) -> bytes:
    try:
        return photo.read_bytes()
    except OSError as error:
        raise ClientError(
            f"{photo} cannot be read.", f"{error.strerror}.", f"ls -l {photo}"
        ) from error


@contextmanager
def _progress(total: int, *, shown: bool) -> Iterator[Callable[[], None]]:
    """A bar on standard error while the block runs, where a person looks at one."""
    if not shown or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = ("Enrolling", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=total)
        yield lambda: progress.advance(task)
