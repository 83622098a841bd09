"""`cordon admin signing-key`: the key with which an authorising officer signs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cordon.v1 import deployment_pb2
from cordon.v1.deployment_pb2_grpc import DeploymentServiceStub
from cordon_client.channel import call, connected, new_request_id
from cordon_client.cli import IdentityOption, OutputOption, ServerOption, identity_for, new_app, run
from cordon_client.names import short
from cordon_client.output import Format, emit, talk
from cordon_client.person import signed_in_user
from cordon_client.signing_key import (
    key_file,
    load_signing_key,
    make_signing_key,
    possession,
    public_bytes,
)

if TYPE_CHECKING:
    from cordon_client.identity import ClientIdentity

app = new_app(
    """Your own key, with which you authorise deployments. It never leaves this machine.

    \b
    Example:
      cordon admin signing-key make
    """
)

_COLUMNS = {"Whose": "name", "File": "file", "Public key": "public_key"}


@app.command()
def make(
    replace: Annotated[
        bool,
        typer.Option(
            "--replace", help="In the place of the key there is: what it signed arms nothing more."
        ),
    ] = False,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Make your key and put its public half on record. Asks for your password again.

    A key that was made and is not on record yet is put there.

    \b
    Example:
      cordon admin signing-key make
    """
    run(_make(identity_for("admin", identity, server), output, replace=replace))


@app.command()
def show(
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Show the public half of your key.

    \b
    Example:
      cordon admin signing-key show -o json
    """
    who = identity_for("admin", identity, server)
    user = signed_in_user(who)
    _emit(who, user, public_bytes(load_signing_key(who.folder, user)), output)


async def _make(identity: ClientIdentity, output: Format, *, replace: bool) -> None:
    user = signed_in_user(identity)
    if replace or not key_file(identity.folder, user).exists():
        key = make_signing_key(identity.folder, user, replace=replace)
    else:
        key = load_signing_key(identity.folder, user)
    request = deployment_pb2.RegisterSigningKeyRequest(
        public_key=public_bytes(key),
        signature=possession(key, user),
        request_id=new_request_id(),
    )
    async with connected(identity) as channel:
        await call(DeploymentServiceStub(channel).RegisterSigningKey, request)
    _emit(identity, user, request.public_key, output)
    talk("Keep the file to yourself: who has it signs in your name.")


def _emit(identity: ClientIdentity, user: str, public_key: bytes, output: Format) -> None:
    record = {
        "name": user,
        "file": str(key_file(identity.folder, user)),
        "public_key": public_key.hex(),
    }
    if output is Format.NAME:
        record["name"] = short(user)
    emit([record], _COLUMNS, output, single=True)
