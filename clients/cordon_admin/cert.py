"""`cordon admin cert`: who may connect as what. Private keys are made where they are used."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from google.protobuf.duration_pb2 import Duration

from cordon.v1 import machine_pb2
from cordon.v1.machine_pb2_grpc import MachineServiceStub
from cordon_admin.records import enum_word
from cordon_client.channel import call, connected, new_request_id, pages
from cordon_client.cli import (
    ConfirmOption,
    DryRunOption,
    IdentityOption,
    OutputOption,
    ReasonOption,
    ServerOption,
    confirm,
    identity_for,
    new_app,
    run,
)
from cordon_client.errors import ClientError, ExitCode
from cordon_client.identity import make_key_and_csr, save_identity, split_address
from cordon_client.machine_commands import COLUMNS, refuse_to_overwrite
from cordon_client.output import Format, emit, talk
from cordon_client.times import moment, parse_life

if TYPE_CHECKING:
    import grpc

    from cordon_client.identity import ClientIdentity

app = new_app(
    """Certificates of machines: cameras and workstations.

    \b
    Example:
      cordon admin cert token control/reading-desk
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

LIST_COLUMNS = {
    "IDENTITY": "spiffe_id",
    "STATE": "state",
    "ISSUED": "create_time",
    "UNTIL": "expire_time",
    "REVOKED": "revoke_time",
    "SHA-256": "sha256",
}

TOKEN_COLUMNS = {
    "For": "machine",
    "Token": "name",
    "Good until": "expire_time",
    "Spend it": "command",
}


def _checked(machine: str) -> str:
    """Before what follows it is looked at, so that two words in place of one are told how."""
    _machine(machine)
    return machine


MachineArgument = Annotated[
    str,
    typer.Argument(
        metavar="ROLE/NAME",
        help="Which machine: camera, control or admin, and a registered camera's name or a "
        "workstation's.",
        callback=_checked,
    ),
]


@app.command()
def token(
    machine: MachineArgument,
    dry_run: DryRunOption = False,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Give out a one-time token, with which a machine makes its key itself and enrols.

    It is good for this one machine, once, for a quarter of an hour. A newer one voids it.

    \b
    Example:
      cordon admin cert token control/reading-desk
    """
    role, name = _machine(machine)
    who = identity_for("admin", identity, server)
    run(_token(who, role, name, output, dry_run=dry_run))


@app.command()
def issue(
    machine: MachineArgument,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The new identity folder.")],
    life: Annotated[
        str | None,
        typer.Option("--life", metavar="30d", help="How long it lives; else the server's rule."),
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
    """Make a key here, have the server sign a certificate for it, and write an identity folder.

    For a machine that cannot enrol by itself; the folder has to be carried there, and deleted here.

    \b
    Example:
      cordon admin cert issue control/anna --out anna-identity --life 30d
    """
    role, name = _machine(machine)
    who = identity_for("admin", identity, server)
    if address is not None:
        split_address(address)
    if not dry_run:
        refuse_to_overwrite(out, force=force)
    private_key_pem, csr_der = make_key_and_csr()
    request = machine_pb2.IssueCertificateRequest(
        role=_ROLES[role],
        id=name,
        csr_der=csr_der,
        lifetime=Duration(seconds=int(parse_life(life).total_seconds())) if life else None,
        request_id=new_request_id(),
        validate_only=dry_run,
    )
    run(_issue(who, request, private_key_pem, out, address or who.server, output))


@app.command("list")
def list_(
    of: Annotated[
        str, typer.Option("--of", metavar="ROLE/NAME", help="Of this machine alone.")
    ] = "",
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """List the certificates that were issued, the newest last.

    \b
    Example:
      cordon admin cert list --of camera/north-gate
    """
    who = identity_for("admin", identity, server)
    run(_list(who, _spiffe_id(who, of) if of else "", output))


@app.command()
def revoke(
    which: Annotated[
        str,
        typer.Argument(metavar="WHICH", help="ROLE/NAME for all of a machine, or one's SHA-256."),
    ],
    reason: ReasonOption,
    confirmed: ConfirmOption = None,
    dry_run: DryRunOption = False,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Shut certificates out for good and end what they have open. Wants your password afresh.

    \b
    Examples:
      cordon admin cert revoke camera/north-gate --reason "stolen on 12 March"
      cordon admin cert revoke 3f6c… --reason "copied"
    """
    who = identity_for("admin", identity, server)
    if not dry_run:
        confirm(which, confirmed, f"Certificates of {which} will never be accepted again.")
    is_machine = "/" in which and not which.startswith("certificates/")
    request = machine_pb2.RevokeCertificateRequest(
        name="" if is_machine else f"certificates/{which.removeprefix('certificates/').lower()}",
        spiffe_id=_spiffe_id(who, which) if is_machine else "",
        request_id=new_request_id(),
        validate_only=dry_run,
    )
    run(_revoke(who, request, reason, output))


async def _token(
    identity: ClientIdentity, role: Role, name: str, output: Format, *, dry_run: bool
) -> None:
    async with connected(identity) as channel:
        record = await new_token(channel, identity, role, name, dry_run=dry_run)
    if dry_run:
        talk(f"A token for {role}/{name} could be made; nothing was changed.")
        return
    emit([record], TOKEN_COLUMNS, output, single=True)
    talk("It is shown this once. Whoever has it is that machine: hand it over with care.")


async def new_token(
    channel: grpc.aio.Channel,
    identity: ClientIdentity,
    role: Role,
    name: str,
    *,
    dry_run: bool = False,
) -> dict[str, Any]:
    """A one-time token as a record, with the command that spends it."""
    request = machine_pb2.CreateEnrolmentTokenRequest(
        role=_ROLES[role], id=name, request_id=new_request_id(), validate_only=dry_run
    )
    response = await call(MachineServiceStub(channel).CreateEnrolmentToken, request)
    host, port = split_address(identity.server)
    command = f"cordon {role} enrol {response.token} {identity.server}"
    if response.enrolment_address and not response.enrolment_address.endswith(f":{port + 1}"):
        command += f" --enrol-at {host}:{response.enrolment_address.rpartition(':')[2]}"
    return {
        "name": response.token,  # What a script wants of it.
        "machine": f"{role}/{name}",
        "expire_time": moment(response, "expire_time"),
        "enrolment_address": response.enrolment_address,
        "command": command,
    }


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
    emit([record], COLUMNS, output, single=True)
    talk(f"Try it:\n  cordon doctor --identity {out}")


async def _list(identity: ClientIdentity, spiffe_id: str, output: Format) -> None:
    request = machine_pb2.ListCertificatesRequest(page_size=1000, spiffe_id=spiffe_id)
    async with connected(identity) as channel:
        method = MachineServiceStub(channel).ListCertificates
        records = [
            certificate_record(certificate)
            async for page in pages(method, request)
            for certificate in page.certificates
        ]
    emit(records, LIST_COLUMNS, output, empty="No such certificates were issued.")


async def _revoke(
    identity: ClientIdentity,
    request: machine_pb2.RevokeCertificateRequest,
    reason: str,
    output: Format,
) -> None:
    async with connected(identity) as channel:
        method = MachineServiceStub(channel).RevokeCertificate
        response = await call(method, request, reason=reason)
    if request.validate_only:
        talk("They could be revoked; nothing was changed.")
        return
    emit([certificate_record(each) for each in response.certificates], LIST_COLUMNS, output)


def certificate_record(certificate: machine_pb2.Certificate) -> dict[str, Any]:
    """One certificate that was issued."""
    state = machine_pb2.CertificateState.Name(certificate.state)
    return {
        "name": certificate.name,
        "sha256": certificate.name.removeprefix("certificates/"),
        "spiffe_id": certificate.spiffe_id,
        "serial": certificate.serial,
        "state": enum_word(state, "CERTIFICATE_STATE"),
        "create_time": moment(certificate, "create_time"),
        "expire_time": moment(certificate, "expire_time"),
        "revoke_time": moment(certificate, "revoke_time"),
    }


def _spiffe_id(identity: ClientIdentity, machine: str) -> str:
    """ "camera/north-gate", or the whole identity, at the administrator's own site."""
    if machine.startswith("spiffe://"):
        return machine
    role, name = _machine(machine)
    site = identity.spiffe_id.split("/")[2]
    return f"spiffe://{site}/{role}/{name}"


def _machine(given: str) -> tuple[Role, str]:
    """The two halves of "camera/north-gate"."""
    role, _, name = given.partition("/")
    if role not in list(Role) or not name or "/" in name:
        raise ClientError(
            f"{given!r} does not name a machine.",
            why="It has to be ROLE/NAME, as camera/north-gate; ROLE is camera, control or admin.",
            hint="cordon admin cert list",
            exit_code=ExitCode.USAGE,
        )
    return Role(role), name
