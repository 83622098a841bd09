"""The papers of a deployment as commands: its forecast (R17), notice (R19) and report (R20)."""

from __future__ import annotations

import json
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cordon.v1 import deployment_pb2
from cordon.v1.deployment_pb2_grpc import DeploymentServiceStub
from cordon_admin import audit, verifier
from cordon_client.channel import call, connected
from cordon_client.cli import (
    DeploymentArgument,
    IdentityOption,
    OutputOption,
    ServerOption,
    identity_for,
    run,
)
from cordon_client.errors import ClientError, ExitCode
from cordon_client.names import deployment_name, short
from cordon_client.output import Format, emit, talk, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from cordon_client.identity import ClientIdentity

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


_FORECAST = {
    "Deployment": "id",
    "Subjects": "subjects",
    "Threshold": "threshold",
    "Lowest allowed": "threshold_floor",
    "Rests on": "rests_on",
    "Strangers matched": "strangers_matched",
    "False matches in all": "in_all",
    "False matches an hour": "an_hour",
    "Per operator in 10 minutes": "an_operator",
}
FORECAST_S_MAX = 120.0
"""A long list is compared with itself."""


def forecast(
    deployment: DeploymentArgument,
    faces_per_hour: Annotated[
        float,
        typer.Option("--faces-per-hour", metavar="N", help="People who will pass, each once."),
    ],
    operators: Annotated[
        int, typer.Option("--operators", metavar="N", help="People who judge matches at once.")
    ] = 1,
    threshold: Annotated[
        float | None, typer.Option("--threshold", help="Another than the deployment's.")
    ] = None,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Forecast the false matches of a deployment's list as it is now, with bounds at 95 %.

    What it says becomes part of what is signed when the deployment is submitted with the same
    footfall. Below the lowest threshold allowed an authorising officer has to sign for it.

    \b
    Example:
      cordon admin deployment forecast market --faces-per-hour 1200 --operators 2
    """
    request = deployment_pb2.ForecastDeploymentRequest(
        name=deployment_name(deployment),
        faces_per_hour=faces_per_hour,
        operators=operators,
        threshold=threshold,
    )
    run(_forecast(identity_for("admin", identity, server), request, output))


async def _forecast(
    identity: ClientIdentity, request: deployment_pb2.ForecastDeploymentRequest, output: Format
) -> None:
    async with connected(identity) as channel:
        method = DeploymentServiceStub(channel).ForecastDeployment
        response = await call(method, request, timeout_s=FORECAST_S_MAX)
    told = json.loads(response.forecast)
    record = {"name": request.name, "id": short(request.name), **told}
    if output is Format.TABLE:
        record |= {
            "rests_on": f"{told['basis']}, {told['probes']} strangers' scores",
            "strangers_matched": _ranged(told, "fpir"),
            "in_all": _ranged(told, "false_matches"),
            "an_hour": _ranged(told, "per_hour"),
            "an_operator": _ranged(told, "per_operator_10_min"),
        }
    emit([record], _FORECAST, output, single=True)
    if told["threshold"] < told["threshold_floor"]:
        talk("The threshold is below the lowest allowed: an officer would have to sign for it.")


def _ranged(told: Mapping[str, Any], name: str) -> str:
    low, high = told[f"{name}_low"], told[f"{name}_high"]
    return f"{told[name]:.3g} ({low:.3g} to {high:.3g})"


def report(
    deployment: DeploymentArgument,
    out: OutOption,
    export: Annotated[
        Path | None,
        typer.Option(
            "--export",
            metavar="FILE",
            help="The record, exported before; without it the server is asked for it.",
        ),
    ] = None,
    key: Annotated[
        str,
        typer.Option("--key", metavar="VKEY", help="The record's public key, or a file with it."),
    ] = "",
    checkpoint: Annotated[
        Path | None,
        typer.Option("--checkpoint", metavar="FILE", help="One kept: the record must hold it."),
    ] = None,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Write a deployment's report from the record, as JSON, web page and PDF.

    Where no exported record is given, the server is asked for the whole of it, as an auditor may,
    and it is kept beside the report. It is verified first, and every number comes from it. Whoever
    has both can check one by the other: python verifier.py FILE --report REPORT.

    \b
    Examples:
      cordon admin deployment report market --out reports --key audit.vkey
      cordon admin deployment report market --out reports --export record.jsonl
    """
    from cordon_admin import account

    if export is None:
        export = _fetched(identity_for("admin", identity, server), short(deployment), out)
    found = _computed(short(deployment), export, key, checkpoint)
    files = {
        "report.json": to_json(found, indent=2).encode() + b"\n",
        "report.html": account.to_page(found).encode(),
        "report.pdf": account.to_pdf(found),
    }
    written = _write(out, short(deployment), files)
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


def notice(
    deployment: DeploymentArgument,
    out: OutOption,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Make the sign, the leaflet and the web page of an authorised deployment.

    Signs in A3 and A4 and a leaflet in A5 as tagged PDF, a page as HTML, and the same as JSON, each
    with where the record is published, as a QR code too. Put them up, then say where: cordon admin
    deployment publish.

    \b
    Example:
      cordon admin deployment notice market --out signs
    """
    run(_notice(identity_for("admin", identity, server), deployment_name(deployment), out, output))


async def _notice(identity: ClientIdentity, name: str, out: Path, output: Format) -> None:
    from cordon_admin.notice import PAPERS, Notice, to_leaflet, to_page, to_sign

    async with connected(identity) as channel:
        method = DeploymentServiceStub(channel).GetNotice
        said = await call(method, deployment_pb2.GetNoticeRequest(name=name))
    made = Notice(
        deployment=short(name),
        place=said.place,
        start_time=said.start_time.ToDatetime(UTC),
        end_time=said.end_time.ToDatetime(UTC),
        purpose=said.purpose,
        categories=tuple(said.categories),
        responsible=said.responsible,
        lawful_basis=said.lawful_basis,
        complaints=said.complaints,
        record_url=said.record_url,
        policy=said.policy,
        policy_digest=said.policy_digest.hex(),
        authority_digest=said.authority_digest.hex(),
        match_hours_max=said.match_hours_max,
    )
    files = {
        **{f"sign-{paper}.pdf": to_sign(made, paper) for paper in PAPERS},
        "leaflet.pdf": to_leaflet(made),
        "notice.html": to_page(made).encode(),
        "notice.json": to_json(made.record, indent=2).encode() + b"\n",
    }
    written = _write(out, short(name), files)
    emit([{"name": path, "file": path} for path in written], {"FILE": "file"}, output)
    talk(f"Next, when they are up:\n  cordon admin deployment publish {short(name)} --at WHERE")


def _fetched(identity: ClientIdentity, name: str, folder: Path) -> Path:
    """Where the record lies that the server was asked for."""
    file = folder / f"{name}-record.jsonl"
    another = f"cordon admin deployment report {name} --out {folder} --export {file}"
    audit.refuse_to_replace(file, hint=another)
    _make(folder)
    run(audit.fetch(identity, file))
    talk(f"The record is in {file}: keep it with the report.")
    return file


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
    _make(folder)
    written = []
    try:
        for suffix, content in files.items():
            path = folder / f"{name}-{suffix}"
            path.write_bytes(content)
            written.append(str(path))
    except OSError as error:
        raise ClientError(f"{folder} cannot be written to: {error}") from error
    return written


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ClientError(f"{folder} cannot be made: {error}") from error


COMMANDS: tuple[Callable[..., None], ...] = (forecast, notice, report)
"""For `cordon admin deployment`."""
