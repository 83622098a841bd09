"""The pictures of a match, written where only their owner can read them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from typing import TYPE_CHECKING

from cordon.v1 import match_pb2
from cordon_client.channel import call
from cordon_client.errors import ClientError
from cordon_client.names import short
from cordon_client.output import to_json
from cordon_control.records import match_record

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from cordon.v1.match_pb2_grpc import MatchServiceAsyncStub


async def save_match(stub: MatchServiceAsyncStub, match: match_pb2.Match, folder: Path) -> None:
    """Writes `<match>-probe.jpg`, `<match>-reference.jpg` and `<match>.json`, the last one last;
    further views are `<match>-probe-2.jpg` and so on.

    The folder is 0700, the files 0600; what is there of the match is replaced whole, as a better
    view of it does.
    """
    request = match_pb2.GetMatchImagesRequest(name=match.name)
    number = short(match.name)
    images = await call(stub.GetMatchImages, request)
    record = to_json(match_record(match), indent=2) + "\n"
    files = {
        **_named(f"{number}-probe", images.probes),
        **_named(f"{number}-reference", images.references),
        f"{number}.json": record.encode(),
    }
    await asyncio.to_thread(_write, folder, number, files)


def saved_pictures(name: str, folder: Path) -> list[str]:
    """The ids of the match's pictures as they lie in the folder: what was looked at.

    Raises ClientError when `save_match` wrote none of this match there.
    """
    number = short(name)
    try:
        saved = json.loads((folder / f"{number}.json").read_text())
        if saved["name"] == name:
            return [hashlib.sha256(path.read_bytes()).hexdigest() for path in _of(folder, number)]
    except (OSError, ValueError, LookupError, TypeError):
        pass
    raise ClientError(
        f"No pictures of {name} are in {folder}.",
        "A judgement names the pictures that it was made on.",
        f"cordon control claim {name.split('/')[1]}/{number} --save {folder}",
    )


def _named(stem: str, pictures: Iterable[match_pb2.MatchPicture]) -> dict[str, bytes]:
    return {
        f"{stem}.jpg" if number == 1 else f"{stem}-{number}.jpg": picture.jpeg
        for number, picture in enumerate(pictures, 1)
    }


def _of(folder: Path, number: str) -> list[Path]:
    return [*folder.glob(f"{number}-probe*.jpg"), *folder.glob(f"{number}-reference*.jpg")]


def _write(folder: Path, number: str, files: dict[str, bytes]) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        for path in _of(folder, number):
            if path.name not in files:
                path.unlink()
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
