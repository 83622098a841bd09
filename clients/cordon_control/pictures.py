"""The pictures of a match, written where only their owner can read them."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from cordon.v1 import match_pb2
from cordon_client.channel import call
from cordon_client.errors import ClientError
from cordon_client.names import short
from cordon_client.output import to_json
from cordon_control.records import match_record

if TYPE_CHECKING:
    from pathlib import Path

    from cordon.v1.match_pb2_grpc import MatchServiceAsyncStub


async def save_match(stub: MatchServiceAsyncStub, match: match_pb2.Match, folder: Path) -> None:
    """Writes `<match>-probe.jpg`, `<match>-reference.jpg` and `<match>.json`, the last one last.

    The folder is 0700, the files 0600; a file that is there is replaced whole, as a better view of
    the same match does.
    """
    request = match_pb2.GetMatchImagesRequest(name=match.name)
    number = short(match.name)
    images = await call(stub.GetMatchImages, request)
    record = to_json(match_record(match), indent=2) + "\n"
    files = {
        f"{number}-probe.jpg": images.probe_jpeg,
        f"{number}-reference.jpg": images.reference_jpeg,
        f"{number}.json": record.encode(),
    }
    await asyncio.to_thread(_write, folder, files)


def _write(folder: Path, files: dict[str, bytes]) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        for name, content in files.items():
            _replace(folder / name, content)
    except OSError as error:
        raise ClientError(
            f"The pictures cannot be written to {folder}.",
            f"{error.strerror}.",
            f"df -h {folder}",
        ) from error


def _replace(path: Path, content: bytes) -> None:
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    new.replace(path)
