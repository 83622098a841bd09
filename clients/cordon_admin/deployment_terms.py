"""What is asked for of a deployment, from options to the message; the server checks it."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from google.protobuf.timestamp_pb2 import Timestamp

from cordon.v1 import deployment_pb2
from cordon_client.errors import ClientError, ExitCode
from cordon_client.names import camera_name
from cordon_client.times import parse_time

if TYPE_CHECKING:
    from collections.abc import Sequence

ThresholdOption = Annotated[
    float | None, typer.Option("--threshold", help="Lowest score that is a match; 0: the model's.")
]
StartOption = Annotated[
    str | None, typer.Option("--start", metavar="TIME", help="Not before this; else now.")
]
EndOption = Annotated[str | None, typer.Option("--end", metavar="TIME", help="Not after this.")]
HoursOption = Annotated[
    float | None,
    typer.Option("--hours", help="In place of --end: how long; else as the policy allows."),
]
PurposeOption = Annotated[
    str | None, typer.Option("--purpose", metavar="NAME", help="What for: one of the policy's.")
]
JustificationOption = Annotated[
    str | None, typer.Option("--justification", metavar="TEXT", help="Why there and then.")
]
AccountableOption = Annotated[
    str | None, typer.Option("--accountable", metavar="NAME", help="Who answers for it.")
]
ZoneOption = Annotated[
    list[str] | None,
    typer.Option(
        "--zone",
        metavar="CAMERA=X,Y:X,Y…",
        help="Where faces are searched: two corners of a box or those of a polygon, from 0 to 1.",
    ),
]
AssessmentOption = Annotated[
    Path | None,
    typer.Option("--impact-assessment", metavar="FILE", help="The document; its hash is sent."),
]
AssessmentOwnerOption = Annotated[
    str | None, typer.Option("--impact-owner", metavar="NAME", help="Who is responsible for it.")
]
AssessmentReviewOption = Annotated[
    str | None,
    typer.Option("--impact-review", metavar="TIME", help="When it is due for review."),
]
ExemptionOption = Annotated[
    str | None,
    typer.Option("--notice-exemption", metavar="TEXT", help="Why the public is not told."),
]
UrgentOption = Annotated[
    bool | None,
    typer.Option("--urgent/--no-urgent", help="The authority ends by itself, within hours."),
]


def window(
    start: str | None, end: str | None, hours: float | None
) -> tuple[datetime | None, datetime | None]:
    """What was asked for; None leaves it to the server."""
    if end is not None and hours is not None:
        raise _usage("--end and --hours say the same thing twice.")
    start_time = parse_time(start) if start else None
    if end is not None:
        return start_time, parse_time(end)
    if hours is not None:
        return start_time, (start_time or datetime.now(UTC)) + timedelta(hours=hours)
    return start_time, None


def zones(given: Sequence[str]) -> list[deployment_pb2.Zone]:
    """ "north=0.1,0.2:0.9,0.8" as the contract has it."""
    return [_zone(each) for each in given]


def assessment(
    document: Path | None, owner: str | None, review: str | None
) -> deployment_pb2.ImpactAssessment | None:
    """The assessment referred to, or None where no option speaks of one."""
    if document is None and owner is None and review is None:
        return None
    if document is None or owner is None or review is None:
        raise _usage("--impact-assessment, --impact-owner and --impact-review belong together.")
    return deployment_pb2.ImpactAssessment(
        document_sha256=hashlib.sha256(document.read_bytes()).digest(),
        owner=owner,
        review_time=stamp(parse_time(review)),
    )


def wanted(
    *,
    location: str | None,
    camera: Sequence[str] | None,
    threshold: float | None,
    start_time: datetime | None,
    end_time: datetime | None,
    purpose: str | None,
    justification: str | None,
    accountable: str | None,
    zone: Sequence[str] | None,
    impact: deployment_pb2.ImpactAssessment | None,
    exemption: str | None,
    urgent: bool | None,
) -> tuple[deployment_pb2.Deployment, list[str]]:
    """The deployment as the options say, and the names of the fields that they say."""
    fields = {
        "location": location,
        "cameras": [camera_name(each) for each in camera] if camera else None,
        "threshold": threshold,
        "start_time": stamp(start_time),
        "end_time": stamp(end_time),
        "purpose": purpose,
        "justification": justification,
        "accountable_person": accountable,
        "zones": zones(zone) if zone else None,
        "impact_assessment": impact,
        "notice_exemption": exemption,
        "urgent": urgent,
    }
    said = {name: value for name, value in fields.items() if value is not None}
    return deployment_pb2.Deployment(**said), list(said)  # type: ignore[arg-type]  # by field


def stamp(time: datetime | None) -> Timestamp | None:
    """A moment as the wire has it."""
    if time is None:
        return None
    made = Timestamp()
    made.FromDatetime(time)
    return made


def _zone(given: str) -> deployment_pb2.Zone:
    camera, _, corners = given.partition("=")
    try:
        points = [
            deployment_pb2.ZonePoint(x=float(x), y=float(y))
            for x, y in (corner.split(",") for corner in corners.split(":"))
        ]
    except ValueError as error:
        raise _usage(f"{given!r} is no zone; one looks like north=0.1,0.2:0.9,0.8.") from error
    return deployment_pb2.Zone(camera=camera_name(camera), points=points)


def _usage(what: str) -> ClientError:
    return ClientError(what, hint="cordon admin deployment create --help", exit_code=ExitCode.USAGE)
