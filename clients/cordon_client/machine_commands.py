"""`enrol` and `renew`, of cameras and of workstations alike: a machine gets its certificate."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cordon_client import machine
from cordon_client.channel import explained
from cordon_client.cli import (
    IdentityOption,
    OutputOption,
    ServerOption,
    again,
    folder_for,
    group_name,
    identity_for,
    run,
)
from cordon_client.errors import ClientError, ExitCode
from cordon_client.identity import check_private_file, split_address
from cordon_client.output import Format, emit, talk
from cordon_client.probe import validity

if TYPE_CHECKING:
    from cordon_client.identity import ClientIdentity

COLUMNS = {
    "Identity": "name",
    "Valid until": "not_after",
    "Server": "server",
    "Folder": "folder",
}


def enrol(
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="The one-time token, cordon1.…")],
    server: Annotated[str, typer.Argument(metavar="SERVER", help="HOST:PORT of the server.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="The identity folder; else the usual one."),
    ] = None,
    enrol_at: Annotated[
        str | None,
        typer.Option(
            "--enrol-at", metavar="HOST:PORT", help="Where tokens are spent; else one port above."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is in DIR.")] = False,
    output: OutputOption = Format.TABLE,
) -> None:
    """Make a key on this machine and get its first certificate for a one-time token.

    An administrator gives out tokens, each for one machine, once, for a quarter of an hour:
    `cordon admin camera add`, `cordon admin cert token`. The key never leaves this machine.

    \b
    Examples:
      cordon camera enrol cordon1.… cordon.example.org:7443 --out north-gate-identity
      cordon control enrol cordon1.… cordon.example.org:7443
      cordon admin enrol cordon1.… cordon.example.org:7443
    """
    folder = out or folder_for(group_name(), None)
    refuse_to_overwrite(folder, force=force)
    run(_enrol(token, server, enrol_at or _one_above(server), folder, output))


def renew(
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Replace this machine's certificate by its next one, for a new key, before it ends.

    A running `cordon camera run` does it by itself, at two thirds of the certificate's life. At a
    workstation whoever is signed in has to sign in again: a session is bound to the certificate.

    \b
    Examples:
      cordon camera renew --identity north-gate-identity
      cordon control renew
      cordon admin renew
    """
    run(_renew(identity_for(group_name(), identity, server), output))


async def _enrol(token: str, server: str, at: str, folder: Path, output: Format) -> None:
    enrolled = await machine.enrol(token, server, at, folder)
    _emit(enrolled.identity, enrolled.not_after, output)
    talk(f"Try it:\n  cordon doctor --identity {folder}")


async def _renew(identity: ClientIdentity, output: Format) -> None:
    async with explained(identity):
        renewed = await machine.renew(identity)
    await asyncio.to_thread(machine.keep, renewed)
    _emit(renewed, validity(renewed)[1], output)


def _emit(identity: ClientIdentity, not_after: datetime, output: Format) -> None:
    record = {
        "name": identity.spiffe_id,
        "not_after": not_after,
        "server": identity.server,
        "folder": str(identity.folder),
    }
    emit([record], COLUMNS, output, single=True)


def refuse_to_overwrite(folder: Path, *, force: bool = False) -> None:
    """A folder that holds something is left alone, one that others may read too."""
    if not folder.exists():
        return
    if folder.is_dir():
        check_private_file(folder)
    if force and folder.is_dir():
        return
    if not folder.is_dir() or any(folder.iterdir()):
        raise ClientError(
            f"{folder} is there already.",
            why="What is in it would be lost: a key cannot be made again.",
            hint=again("--force"),
            exit_code=ExitCode.CONFLICT,
        )


def _one_above(server: str) -> str:
    host, port = split_address(server)
    return f"[{host}]:{port + 1}" if ":" in host else f"{host}:{port + 1}"
