"""`cordon admin watchlist enrol|import|propose`: pictures for a list and what is said of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from cordon_admin.enrolment import enrol_rows
from cordon_admin.particulars import NAMES, SOURCES, Particulars, particulars
from cordon_admin.rows import Row, Rows, read_rows, rows_of
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
from cordon_client.errors import ClientError, ExitCode
from cordon_client.names import deployment_name
from cordon_client.output import Format

PhotosArgument = Annotated[list[Path], typer.Argument(metavar="PHOTO", help="JPEG, PNG or WebP.")]
GiveUpOption = Annotated[
    float,
    typer.Option(
        "--give-up-after", metavar="SECONDS", min=0, help="Without an answer from the server."
    ),
]
SourceOption = Annotated[
    str, typer.Option("--source", help=f"Where the picture is from: {', '.join(SOURCES)}.")
]
RationaleOption = Annotated[
    str, typer.Option("--rationale", metavar="TEXT", help="Why the subject has to be listed.")
]
RequesterOption = Annotated[
    str, typer.Option("--requester", metavar="TEXT", help="Who asked for the listing.")
]
BornOption = Annotated[str, typer.Option("--born", metavar="DATE", help="Date of birth.")]
AgeOption = Annotated[
    str, typer.Option("--age", metavar="GROUP", help="Where that is not known: adult or minor.")
]
ExpiresOption = Annotated[
    str, typer.Option("--expires", metavar="TIME", help="From then on it matches nobody.")
]
TakenOption = Annotated[
    str, typer.Option("--taken", metavar="DATE", help="When the picture was taken.")
]
OverrideOption = Annotated[
    str,
    typer.Option(
        "--override-reason",
        metavar="TEXT",
        help="Why a picture below the gate is wanted; a second person approves it.",
    ),
]


def enrol(
    deployment: DeploymentArgument,
    ref: RefArgument,
    photos: PhotosArgument,
    category: Annotated[str, typer.Option("--category", help="Why the subject is listed.")],
    threshold: Annotated[
        float | None, typer.Option("--threshold", help="The subject's own; else the deployment's.")
    ] = None,
    face: Annotated[
        str | None, typer.Option("--face", metavar="X,Y", help="A point in the wanted face.")
    ] = None,
    source: SourceOption = "",
    rationale: RationaleOption = "",
    requester: RequesterOption = "",
    born: BornOption = "",
    age: AgeOption = "",
    expires: ExpiresOption = "",
    taken: TakenOption = "",
    override: OverrideOption = "",
    give_up_after: GiveUpOption = 60.0,
    dry_run: DryRunOption = False,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Enrol a subject's pictures. The same picture again changes nothing.

    What has to be said beside the category is the policy's. A minor, and a picture below the gate,
    is searched only when a second person has approved it: cordon admin watchlist approve.

    The gate measures size, pose, sharpness and light. A covered face it notices by the detector's
    confidence alone: of 150 pictures it refused 43 % with half of the face covered, and none with
    covered eyes or a covered mouth. Look for glasses, masks and hands yourself.

    \b
    Examples:
      cordon admin watchlist enrol market A-17 front.jpg side.jpg --category wanted
      cordon admin watchlist enrol market A-18 face.jpg --category wanted --source custody \\
        --rationale "wanted on warrant, seen here last week" --requester unit-4 \\
        --born 1990-05-01 --taken 2026-01-31
    """
    who = identity_for("admin", identity, server)
    point = point_of(face) if face else None
    said = _said(source, rationale, requester, born, age, expires, taken, override)
    rows = [
        Row(row.number, ref, row.image, category, threshold, point, said)
        for row in rows_of(ref, photos, category)
    ]
    run(
        enrol_rows(
            who,
            deployment_name(deployment),
            Rows(rows, []),
            output=output,
            dry_run=dry_run,
            give_up_after_s=give_up_after,
        )
    )


def import_(
    deployment: DeploymentArgument,
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A folder or a CSV file.")],
    category: Annotated[
        str, typer.Option("--category", help="Why they are listed, where the CSV does not say.")
    ] = "",
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE.csv", help="Write the report here too.")
    ] = None,
    source: SourceOption = "",
    rationale: RationaleOption = "",
    requester: RequesterOption = "",
    born: BornOption = "",
    age: AgeOption = "",
    expires: ExpiresOption = "",
    taken: TakenOption = "",
    override: OverrideOption = "",
    give_up_after: GiveUpOption = 60.0,
    dry_run: DryRunOption = False,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Enrol many pictures: a folder with one folder a subject, or a CSV file.

    The CSV's columns: external_ref, image (a path from the CSV's folder), and if you like
    category, threshold, face_x, face_y, lawful_source, rationale, requester, birth_date, age_group,
    expire_time, captured_on, override_reason; an option counts where the CSV does not say. It may
    be stopped and run again: what is enrolled stays enrolled, once. Wants your password afresh.
    Exit code 3: some rows were rejected.

    \b
    Examples:
      cordon admin watchlist import market photos/ --category wanted
      cordon admin watchlist import market list.csv --report report.csv
    """
    who = identity_for("admin", identity, server)
    run(
        enrol_rows(
            who,
            deployment_name(deployment),
            _saying(
                read_rows(path, category),
                _said(source, rationale, requester, born, age, expires, taken, override),
            ),
            output=output,
            dry_run=dry_run,
            give_up_after_s=give_up_after,
            report=report,
            is_import=True,
        )
    )


def propose(
    deployment: DeploymentArgument,
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A folder or a CSV file.")],
    category: Annotated[
        str, typer.Option("--category", help="Why they are listed, where the CSV does not say.")
    ] = "",
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE.csv", help="Write the report here too.")
    ] = None,
    source: SourceOption = "",
    rationale: RationaleOption = "",
    requester: RequesterOption = "",
    born: BornOption = "",
    age: AgeOption = "",
    expires: ExpiresOption = "",
    taken: TakenOption = "",
    override: OverrideOption = "",
    give_up_after: GiveUpOption = 60.0,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Propose an import: every row is tried and kept, sealed, for another person to apply.

    A policy may want this of imports of many rows. Takes what `import` takes. Exit code 3: some
    rows are refused.

    \b
    Example:
      cordon admin watchlist propose market list.csv --source custody --requester unit-4
    """
    who = identity_for("admin", identity, server)
    run(
        enrol_rows(
            who,
            deployment_name(deployment),
            _saying(
                read_rows(path, category),
                _said(source, rationale, requester, born, age, expires, taken, override),
            ),
            output=output,
            dry_run=False,
            give_up_after_s=give_up_after,
            report=report,
            is_import=True,
            as_proposal=True,
        )
    )


def _said(*given: str) -> Particulars:
    try:
        return particulars(dict(zip(NAMES, given, strict=True)))
    except ValueError as error:
        raise ClientError(
            f"{error}.",
            hint="cordon admin watchlist enrol --help",
            exit_code=ExitCode.USAGE,
        ) from error


def _saying(rows: Rows, said: Particulars) -> Rows:
    """Rows that say what they do not say themselves."""
    return Rows([replace(row, said=row.said.over(said)) for row in rows.good], rows.bad)


def point_of(given: str) -> tuple[float, float]:
    try:
        x, y = (float(part) for part in given.split(","))
    except ValueError as error:
        raise ClientError(
            f"--face {given} is not a point.",
            why="It has to be X,Y in pixels from the top left.",
            hint="cordon admin watchlist enrol --help",
            exit_code=ExitCode.USAGE,
        ) from error
    return x, y
