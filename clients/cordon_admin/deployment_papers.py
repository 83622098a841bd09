"""The papers of a deployment as commands: its report (R20) and its notice (R19)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cordon_admin import verifier
from cordon_client.errors import ClientError, ExitCode
from cordon_client.names import short
from cordon_client.output import Format, emit, talk, to_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The deployment's name.")]
OutOption = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Where the files go; made if it is not there.")
]

_REPORT = {
    "Deployment": "deployment",
    "Place": "place",
    "Faces seen": "faces_seen",
    "Alerts": "alerts",
    "True": "true",
    "False": "false",
    "Unresolved": "unresolved",
    "False per face": "false_per_face",
    "False per alert": "false_per_alert",
    "Files": "files",
}


def report(
    name: NameArgument,
    export: Annotated[
        Path,
        typer.Option("--export", metavar="FILE", help="The record: cordon admin audit export."),
    ],
    out: OutOption,
    key: Annotated[
        str,
        typer.Option("--key", metavar="VKEY", help="The record's public key, or a file with it."),
    ] = "",
    checkpoint: Annotated[
        Path | None,
        typer.Option("--checkpoint", metavar="FILE", help="One kept: the record must hold it."),
    ] = None,
    output: Annotated[
        Format, typer.Option("--output", "-o", help="How to print the answer.")
    ] = Format.TABLE,
) -> None:
    """Write a deployment's report from the exported record, as JSON, web page and PDF.

    The record is verified first, and every number comes from it: no server is asked. Whoever has
    both can check one by the other: python verifier.py FILE --report REPORT.

    \b
    Example:
      cordon admin audit export record.jsonl
      cordon admin deployment report market --export record.jsonl --out reports
    """
    from cordon_admin import account

    found = _computed(short(name), export, key, checkpoint)
    files = {
        "report.json": to_json(found, indent=2).encode() + b"\n",
        "report.html": account.to_page(found).encode(),
        "report.pdf": account.to_pdf(found),
    }
    written = _write(out, short(name), files)
    rates, alerts = found["rates"], found["alerts"]
    record = {
        **found,
        "name": found["deployment"],
        "files": written,
        "faces_seen": found["faces"]["seen"],
        "alerts": alerts["raised"],
        "true": alerts["true"],
        "false": alerts["false"],
        "unresolved": alerts["unresolved"],
        "false_per_face": account.one_in(rates["false_per_face"]),
        "false_per_alert": account.one_in(rates["false_per_alert"]),
    }
    emit([record if output is Format.TABLE else found], _REPORT, output, single=True)
    if not key:
        talk("The key was the export's own; --key VKEY would show whose record it is.")


def _computed(name: str, export: Path, key: str, checkpoint: Path | None) -> Mapping[str, Any]:
    """The report, from a record that is whole; raises `ClientError`."""
    try:
        kept = checkpoint.read_text("utf-8") if checkpoint else ""
        verdict = verifier.verify_file(export, verifier.key_text(key), kept)
    except (OSError, UnicodeDecodeError) as error:
        raise ClientError(f"The record cannot be read: {error}") from error
    if not verdict.is_whole:
        raise ClientError(
            f"The record in {export} is not whole: {verdict.fault}.",
            why="A report of it would say nothing.",
            hint="cordon admin audit export FILE",
        )
    try:
        return verifier.report_of(export, name, verdict)
    except verifier.FaultError as error:
        raise ClientError(
            f"The record {error}.",
            hint="cordon admin deployment list",
            exit_code=ExitCode.NOT_FOUND,
        ) from error


def _write(folder: Path, name: str, files: Mapping[str, bytes]) -> list[str]:
    """Writes files into a folder, under the deployment's name; their paths."""
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for suffix, content in files.items():
            path = folder / f"{name}-{suffix}"
            path.write_bytes(content)
            written.append(str(path))
    except OSError as error:
        raise ClientError(f"{folder} cannot be written to: {error}") from error
    return written


COMMANDS = (report,)
"""For `cordon admin deployment`."""
