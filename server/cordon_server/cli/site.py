"""`cordon server init`: a new site."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated

import typer

from cordon_server.cli.common import errors, secret
from cordon_server.domain import ConfigInvalid
from cordon_server.identity.names import NAME_PATTERN

app = typer.Typer()


@app.command(
    epilog="Example: cordon server init ./site --site north.example --host lfr.north.example"
)
def init(
    folder: Annotated[Path, typer.Argument(help="A new folder for the site.")],
    site: Annotated[
        str, typer.Option(help="The site's name: the trust domain of every identity.")
    ] = "site.local",
    host: Annotated[
        list[str] | None,
        typer.Option(help="Name or address that clients reach the server by. Repeatable."),
    ] = None,
    bind: Annotated[str, typer.Option(help="Address to bind.")] = "0.0.0.0",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 7443,
    workstation: Annotated[
        str, typer.Option(help="Name of the workstation that is certified for administration.")
    ] = "first",
    root_passphrase_file: Annotated[
        Path | None,
        typer.Option(help="File with the passphrase of the root key; without, one is made."),
    ] = None,
    admin: Annotated[str, typer.Option(help="User name of the first administrator.")] = "first",
    policy: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE",
            help="What bounds deployments: uk-police, eu-ai-act, private-venue, demo or a file.",
        ),
    ] = "demo",
    admin_password_file: Annotated[
        Path | None,
        typer.Option(help="File with his password; without, one for his first sign-in is made."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Make a new site: authorities, server certificate, first workstation and administrator."""
    from cordon_server.identity.hierarchy import new_passphrase
    from cordon_server.identity.passwords import make_password
    from cordon_server.site import FirstAdministrator, make_site

    passphrase, password = new_passphrase(), make_password()
    with errors():
        if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?", site):
            raise ConfigInvalid("--site must be lower-case letters, digits, dots and hyphens")
        if not re.fullmatch(NAME_PATTERN, workstation):
            raise ConfigInvalid("--workstation must be lower-case letters, digits and hyphens")
        if not re.fullmatch(NAME_PATTERN, admin):
            raise ConfigInvalid("--admin must be lower-case letters, digits and hyphens")
        made = make_site(
            folder,
            site=site,
            hosts=tuple(host or ("localhost", "127.0.0.1")),
            bind=bind,
            port=port,
            workstation=workstation,
            policy=policy,
            root_passphrase=(secret(root_passphrase_file) if root_passphrase_file else passphrase),
            administrator=FirstAdministrator(
                admin,
                secret(admin_password_file) if admin_password_file else password,
                must_change_password=admin_password_file is None,
            ),
        )
    if as_json:
        facts = {
            "site": site,
            "settings": str(made.settings),
            "certificates": str(folder / "certs"),
            "workstation": str(made.identity),
            "site_passphrase_file": str(made.passphrase),
            "root": str(made.root),
            "root_passphrase": None if root_passphrase_file else passphrase,
            "audit_key": made.audit_key,
            "administrator": admin,
            "administrator_password": None if admin_password_file else password,
        }
        print(json.dumps(facts))
        return
    print(f"site {site} is made in {folder}")
    print(f"  settings        {made.settings}")
    print(f"  certificates    {folder / 'certs'}")
    print(f"  workstation     {made.identity}")
    print(f"  its passphrase  {made.passphrase}")
    print(
        "                  The server needs it at every start. Never in one backup with the data."
    )
    print(f"  root authority  {made.root}")
    if root_passphrase_file is None:
        print(f"  its passphrase  {passphrase}")
        print("                  Shown this once: write it down, apart from the key.")
    print(f"  audit key       {made.audit_key}")
    print("                  Public: with it anyone verifies the record. Keep a copy elsewhere.")
    print(f"  administrator   {admin}")
    if admin_password_file is None:
        print(f"  his password    {password}")
        print("                  Shown this once, and good for one sign-in, which changes it.")
    print("now move the root authority off this server, to two places that are kept locked:")
    print(f"  {made.root}  (needed when the issuing authority is renewed, and by nothing before)")
    print("next:")
    print(f"  cordon server run --config {made.settings}")
    print(f"  cordon admin sign-in {admin} --identity {made.identity}")
