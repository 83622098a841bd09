"""`cordon control preflight`: tests a camera on pictures of volunteers (R28)."""

from __future__ import annotations

import asyncio
import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cordon.v1 import measurement_pb2
from cordon.v1.measurement_pb2_grpc import MeasurementServiceStub
from cordon_client.channel import connected, new_request_id
from cordon_client.cli import (
    CameraOption,
    DeploymentArgument,
    DryRunOption,
    IdentityOption,
    OutputOption,
    ServerOption,
    identity_for,
    run,
)
from cordon_client.errors import ClientError, ExitCode
from cordon_client.names import camera_name, deployment_name, short
from cordon_client.output import Format, emit, talk
from cordon_client.transport import MESSAGE_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from cordon_client.identity import ClientIdentity

LIST = "known.csv"
COLUMNS = ["file", "reference"]
PICTURE_BYTES_MAX = MESSAGE_BYTES_MAX - 64 * 1024
"""What fits into a message beside the reference."""
START_S_MAX, PICTURE_S_MAX = 60.0, 5.0
"""How long a test may take by itself, and for each picture."""

_ROWS = {
    "Camera": "camera_id",
    "Pictures": "pictures",
    "Recognised": "recognised",
    "TPIR": "tpir",
    "From": "tpir_low",
    "To": "tpir_high",
    "Volunteers": "volunteers",
    "Of them recognised": "volunteers_recognised",
    "No face": "no_face",
    "Outside the zone": "outside_zone",
    "Too small": "too_small",
    "Too poor": "too_poor",
    "Below the threshold": "below_threshold",
    "Threshold": "threshold",
}


@dataclass(frozen=True, slots=True)
class Known:
    """A picture, and the volunteer that it shows."""

    file: Path
    reference: str


def preflight(
    deployment: DeploymentArgument,
    camera: CameraOption,
    known: Annotated[
        Path,
        typer.Option("--known", metavar="DIR", help=f"JPEG frames of that camera and {LIST}."),
    ],
    dry_run: DryRunOption = False,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Test whether a camera recognises volunteers, before it has to.

    In DIR lie frames that were taken at the camera, and known.csv with a line "file,reference" for
    each: which volunteer it shows. They go through recognition as the camera's own frames would,
    with its zone and the deployment's threshold. Told is in how many the volunteer was found, and
    nothing of anybody else; nothing of the pictures is kept.

    \b
    Example:
      cordon control preflight market --camera north --known north-frames/
    """
    start = measurement_pb2.PreflightStart(
        parent=deployment_name(deployment),
        camera=camera_name(camera),
        request_id=new_request_id(),
        validate_only=dry_run,
    )
    pictures = read_known(known)
    run(_preflight(identity_for("control", identity, server), start, pictures, output))


def read_known(folder: Path) -> list[Known]:
    """The pictures that a folder's list names; a ClientError says what is wrong with it."""
    path = folder / LIST
    try:
        # utf-8-sig: spreadsheets put a byte order mark in front.
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            if list(reader.fieldnames or ()) != COLUMNS:
                raise _unusable(path, f"Its first line has to be {','.join(COLUMNS)}.")
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _unusable(path, f"It cannot be read: {error}.") from error
    found = [_known(path, *row) for row in rows]
    if not found:
        raise _unusable(path, "It names no picture.")
    return found


def _known(path: Path, line: int, row: dict[str, Any]) -> Known:
    name, reference = row["file"], row["reference"]
    if not name or not reference or None in row:
        raise _unusable(path, f"Line {line} is not a file and a reference.")
    file = path.parent / name
    if not file.is_file():
        raise _unusable(path, f"Line {line} names {name}, which is not in {path.parent}.")
    if file.stat().st_size > PICTURE_BYTES_MAX:
        raise _unusable(path, f"Line {line}: {name} is larger than any frame may be.")
    return Known(file, reference)


def _unusable(path: Path, why: str) -> ClientError:
    return ClientError(
        f"{path} is not a list of known pictures.",
        why=why,
        hint="cordon control preflight --help",
        exit_code=ExitCode.USAGE,
    )


async def _preflight(
    identity: ClientIdentity,
    start: measurement_pb2.PreflightStart,
    pictures: Sequence[Known],
    output: Format,
) -> None:
    timeout_s = START_S_MAX + PICTURE_S_MAX * len(pictures)
    async with connected(identity) as channel:
        stub = MeasurementServiceStub(channel)
        response = await stub.PreflightCamera(_requests(start, pictures), timeout=timeout_s)
    if start.validate_only:
        talk("The camera could be tested with these pictures; nothing was changed.")
        return
    emit([record(start.camera, response)], _ROWS, output, single=True)


async def _requests(
    start: measurement_pb2.PreflightStart, pictures: Sequence[Known]
) -> AsyncIterator[measurement_pb2.PreflightCameraRequest]:
    yield measurement_pb2.PreflightCameraRequest(start=start)
    for each in pictures:
        jpeg = await asyncio.to_thread(each.file.read_bytes)
        picture = measurement_pb2.PreflightPicture(external_ref=each.reference, jpeg=jpeg)
        yield measurement_pb2.PreflightCameraRequest(picture=picture)


def record(camera: str, found: measurement_pb2.PreflightCameraResponse) -> dict[str, Any]:
    """What a test came to, as it is shown."""
    rate = found.recognised
    return {
        "name": camera,
        "camera_id": short(camera),
        "pictures": rate.total,
        "recognised": rate.count,
        "tpir": rate.count / rate.total if rate.total else None,
        "tpir_low": rate.low,
        "tpir_high": rate.high,
        "volunteers": found.volunteers.total,
        "volunteers_recognised": found.volunteers.count,
        "no_face": found.no_face,
        "outside_zone": found.outside_zone,
        "too_small": found.too_small,
        "too_poor": found.too_poor,
        "below_threshold": found.below_threshold,
        "threshold": round(found.threshold, 4),
    }
