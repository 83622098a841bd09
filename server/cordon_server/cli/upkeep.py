"""`cordon server renew|token|accept-record` and `cohort make`: what is done to a site on its own
machine."""

from __future__ import annotations

import asyncio
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from cordon_server.cli.common import ConfigOption, errors, secret
from cordon_server.domain import ConfigInvalid
from cordon_server.identity.names import NAME_PATTERN, Role

app = typer.Typer()
cohort = typer.Typer(
    help="Strangers that watchlists are compared with.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog="Example: cordon server cohort make ./faces",
)


@app.command(epilog="Example: cordon server renew --config ./site/cordon.toml")
def renew(
    config: ConfigOption = Path("cordon.toml"),
    host: Annotated[
        list[str] | None,
        typer.Option(help="Name or address it is for; repeatable. Without, those it has."),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(help="The root authority's folder, brought back: renews the issuing one too."),
    ] = None,
    root_passphrase_file: Annotated[
        Path | None, typer.Option(help="File with the root key's passphrase.")
    ] = None,
) -> None:
    """Renew the server's certificate. A running server shows it at the next connection.

    Host names that the issuing authority was not made for need the root: it makes a new one.
    """
    from cordon_server.config import load_settings
    from cordon_server.upkeep import renew_server

    with errors():
        if (root is None) != (root_passphrase_file is None):
            raise ConfigInvalid("--root and --root-passphrase-file belong together")
        not_after = renew_server(
            load_settings(config),
            hosts=tuple(host or ()),
            root=root,
            root_passphrase=secret(root_passphrase_file) if root_passphrase_file else "",
            now=datetime.now(UTC),
        )
    print(f"the server's certificate is good until {not_after:%Y-%m-%d %H:%M} UTC")
    if root is not None:
        print(f"the issuing authority is new too: restart the server, and take {root} away again")


@app.command(epilog="Example: cordon server token admin office-2 --config ./site/cordon.toml")
def token(
    role: Annotated[Role, typer.Argument(help="What the machine is.")],
    name: Annotated[str, typer.Argument(help="Its name.")],
    config: ConfigOption = Path("cordon.toml"),
) -> None:
    """Make a one-time token on the server itself, where no workstation is left that could."""
    from cordon_server.config import load_settings
    from cordon_server.upkeep import make_token

    with errors():
        if not re.fullmatch(NAME_PATTERN, name):
            raise ConfigInvalid("NAME must be lower-case letters, digits and hyphens")
        settings = load_settings(config)
        made = asyncio.run(make_token(settings, role, name, clock=lambda: datetime.now(UTC)))
    print(made.text)
    print(f"good once, until {made.expire_time:%Y-%m-%d %H:%M} UTC", file=sys.stderr)


@app.command(epilog="Example: cordon server accept-record --config ./site/cordon.toml")
def accept_record(config: ConfigOption = Path("cordon.toml")) -> None:
    """Go on from an audit record that is not what was signed last, after a backup was put back.

    The server does not start before. That it was accepted becomes a leaf of the record, and whoever
    kept a newer checkpoint still sees that leaves are missing.
    """
    from cordon_server.config import load_settings
    from cordon_server.upkeep import accept_record

    with errors():
        there, signed = accept_record(load_settings(config), now=datetime.now(UTC))
    before = "nobody knows how many" if signed is None else str(signed)
    print(f"the audit record goes on after {there} leaves; {before} had been signed")


@cohort.command(epilog="Example: cordon server cohort make ./faces --out ./site/cohort.bin")
def make(
    folder: Annotated[Path, typer.Argument(help="Pictures with one face each.")],
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("cohort.bin"),
    config: ConfigOption = Path("cordon.toml"),
) -> None:
    """Make a cohort: templates of strangers that lists are compared with, without names.

    Take faces of people who consented or of a public set, some hundreds and as mixed as your
    public; then name the file in the settings: [watchlist] cohort. It belongs to the model.
    """
    from cordon_server.authority.watchlist_cohort import write_cohort
    from cordon_server.config import load_settings
    from cordon_server.parts import open_pack
    from cordon_server.upkeep import cohort_faces

    with errors():
        models = open_pack(load_settings(config))
        vectors, passed_over = cohort_faces(models, folder)
        write_cohort(out, vectors, models.pack.model_id)
        models.close()
    for path, why in passed_over:
        print(f"passed over {path}: {why}", file=sys.stderr)
    print(f"{len(vectors)} faces in {out}, {len(passed_over)} pictures passed over")
