"""`cordon admin cert`: certificates for clients. The private key is made here and never leaves."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from google.protobuf.duration_pb2 import Duration

from cordon.v1 import machine_pb2
from cordon.v1.machine_pb2_grpc import MachineServiceStub
from cordon_client.channel import call, connected, new_request_id
from cordon_client.cli import (
    DryRunOption,
    IdentityOption,
    OutputOption,
    ServerOption,
    again,
    identity_for,
    new_app,
    run,
)
from cordon_client.errors import ClientError, ExitCode
from cordon_client.identity import make_key_and_csr, save_identity, split_address
from cordon_client.output import Format, emit, talk
from cordon_client.times import moment

if TYPE_CHECKING:
    from cordon_client.identity import ClientIdentity

app = new_app(
    """Certificates for clients.

    \b
    Example:
      cordon admin cert issue camera north-gate --out north-gate-identity
    """
)


class Role(StrEnum):
    """What a client is."""

    CAMERA = "camera"
    CONTROL = "control"
    ADMIN = "admin"


_ROLES = {
    Role.CAMERA: machine_pb2.ROLE_CAMERA,
    Role.CONTROL: machine_pb2.ROLE_CONTROL,
    Role.ADMIN: machine_pb2.ROLE_ADMIN,
}

_COLUMNS = {
    "Identity": "name",
    "Valid until": "not_after",
    "Server": "server",
    "Folder": "folder",
}


@app.callback()
def cert() -> None:
    """Keeps the group a group."""


@app.command()
def issue(
    role: Annotated[Role, typer.Argument(help="What the client is.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="A camera's name, or a person's.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The new identity folder.")],
    days: Annotated[
        int | None, typer.Option("--days", min=1, help="How long it lives; else the server's rule.")
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            "--address", metavar="HOST:PORT", help="Where the client finds the server; else as you."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is in DIR.")] = False,
    dry_run: DryRunOption = False,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Make a key, have the server sign a certificate for it, and write an identity folder.

    The folder is all that a client needs: copy it to the client's computer, and delete it here.

    \b
    Example:
      cordon admin cert issue control anna --out anna-identity --days 30
    """
    who = identity_for("admin", identity, server)
    if address is not None:
        split_address(address)
    if not force and not dry_run:
        _refuse_to_overwrite(out)
    private_key_pem, csr_der = make_key_and_csr()
    request = machine_pb2.IssueCertificateRequest(
        role=_ROLES[role],
        id=name,
        csr_der=csr_der,
        lifetime=Duration(seconds=days * 86_400) if days else None,
        request_id=new_request_id(),
        validate_only=dry_run,
    )
    run(_issue(who, request, private_key_pem, out, address or who.server, output))


async def _issue(
    identity: ClientIdentity,
    request: machine_pb2.IssueCertificateRequest,
    private_key_pem: bytes,
    out: Path,
    address: str,
    output: Format,
) -> None:
    async with connected(identity) as channel:
        response = await call(MachineServiceStub(channel).IssueCertificate, request)
    if request.validate_only:
        talk(f"A certificate for {request.id} could be issued; nothing was written.")
        return
    save_identity(
        out,
        server=address,
        spiffe_id=response.spiffe_id,
        ca_pem=response.ca_pem.encode(),
        certificate_pem=response.certificate_pem.encode(),
        private_key_pem=private_key_pem,
    )
    record = {
        "name": response.spiffe_id,
        "not_after": moment(response, "not_after"),
        "server": address,
        "folder": str(out),
    }
    emit([record], _COLUMNS, output, single=True)
    talk(f"Try it:\n  cordon doctor --identity {out}")


def _refuse_to_overwrite(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ClientError(
            f"{folder} is there already.",
            why="What is in it would be lost: a key cannot be made again.",
            hint=again("--force"),
            exit_code=ExitCode.CONFLICT,
        )
