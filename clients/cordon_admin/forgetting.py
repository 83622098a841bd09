"""`cordon admin prove-forgetting`: shows on the installation that nothing stays (R1, R2)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cordon.v1 import retention_pb2
from cordon.v1.retention_pb2_grpc import RetentionServiceStub
from cordon_client.channel import call, connected, new_request_id
from cordon_client.cli import DryRunOption, IdentityOption, ServerOption, identity_for, run
from cordon_client.errors import ClientError, ExitCode
from cordon_client.output import talk

if TYPE_CHECKING:
    from cordon_client.identity import ClientIdentity

PICTURES_MAX = 50
ENDINGS = (".jpg", ".jpeg")


def prove_forgetting(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="JPEG pictures of people who have agreed to it."),
    ],
    note: Annotated[
        Path | None, typer.Option("--note", metavar="FILE", help="Write the signed note there.")
    ] = None,
    dry_run: DryRunOption = False,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Prove that strangers leave nothing here and that what ended is gone.

    Half of the people are listed in a throw-away deployment, the others pass by. Every file of the
    server's data is searched for them while it is armed and after its end, with a backup from
    before. Prints what was found as JSON; the note is that, signed by the key of the audit record.
    Exits with 0 where nothing was found.

    \b
    Example:
      cordon admin prove-forgetting volunteers/ --note proof.note
    """
    request = retention_pb2.ProveForgettingRequest(
        pictures=[file.read_bytes() for file in _pictures(folder)],
        request_id=new_request_id(),
        validate_only=dry_run,
    )
    run(_prove(identity_for("admin", identity, server), request, note))


def _pictures(folder: Path) -> list[Path]:
    found = sorted(
        file for file in folder.rglob("*") if file.suffix.lower() in ENDINGS and file.is_file()
    )
    if not 2 <= len(found) <= PICTURES_MAX:
        raise ClientError(
            f"{folder} holds {len(found)} JPEG pictures.",
            why=f"A proof takes 2 to {PICTURES_MAX}, each of one person who has agreed to it.",
            hint="cordon admin prove-forgetting --help",
            exit_code=ExitCode.USAGE,
        )
    return found


def _write(file: Path, note: str) -> None:
    file.write_text(note)


async def _prove(
    identity: ClientIdentity, request: retention_pb2.ProveForgettingRequest, file: Path | None
) -> None:
    async with connected(identity) as channel:
        method = RetentionServiceStub(channel).ProveForgetting
        response = await call(method, request, timeout_s=600)
    if request.validate_only:
        talk("It could be proven with these pictures; nothing was changed.")
        return
    findings = json.loads(response.note.splitlines()[1])
    print(json.dumps({**findings, "note": response.note}, indent=2))
    if file is not None:
        _write(file, response.note)
    if not response.is_forgotten:
        raise ClientError(
            "Something was found that should not be there, or could not be shown to be gone.",
            why="The findings above say where and how many pieces.",
            hint="Stop the server, keep its data as they are, and report this.",
            exit_code=ExitCode.FAILED,
        )
