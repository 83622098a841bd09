"""The command line of the server: `cordon server init|run|check|renew|token`."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cordon_server.domain import CallerFault, ConfigInvalid, CordonError
from cordon_server.identity.names import NAME_PATTERN, Role

app = typer.Typer(
    name="server",
    help="Run the recognition server.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog="Example: cordon server run --config site/cordon.toml",
)

cohort = typer.Typer(
    help="Strangers that watchlists are compared with.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog="Example: cordon server cohort make ./faces",
)
app.add_typer(cohort, name="cohort")

EXIT_FAILED = 1
EXIT_CONFLICT = 7


class Provider(StrEnum):
    """Where models run."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Level(StrEnum):
    """How much is logged."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", help="The settings file.", envvar="CORDON_CONFIG")
]
PortOption = Annotated[
    int | None,
    typer.Option(help="Port instead of the settings'; 0 takes a free one.", min=0, max=65535),
]
HostOption = Annotated[str | None, typer.Option(help="Address to bind instead of the settings'.")]
ProviderOption = Annotated[
    Provider | None,
    typer.Option(help="Where models run instead of the settings'. What is not there is an error."),
]


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
    with _errors():
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
            root_passphrase=(_secret(root_passphrase_file) if root_passphrase_file else passphrase),
            administrator=FirstAdministrator(
                admin,
                _secret(admin_password_file) if admin_password_file else password,
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


@app.command(epilog="Example: cordon server run --config ./site/cordon.toml")
def run(
    config: ConfigOption = Path("cordon.toml"),
    host: HostOption = None,
    port: PortOption = None,
    provider: ProviderOption = None,
    log_level: Annotated[Level, typer.Option(help="How much is logged.")] = Level.INFO,
) -> None:
    """Run the server until SIGTERM or Ctrl-C, then drain it. Logs are JSON lines on stderr."""
    from cordon_server.config import load_settings
    from cordon_server.operations.hardening import keep_memory_private
    from cordon_server.operations.logs import configure_logs

    with _errors():
        settings = load_settings(config, _overrides(host, port, provider))
        os.umask(0o077)  # whatever is written here is for this account alone
        configure_logs(log_level.value)
        keep_memory_private()
        asyncio.run(_serve(settings))


@app.command(epilog="Example: cordon server check --config ./site/cordon.toml")
def check(
    config: ConfigOption = Path("cordon.toml"),
    provider: ProviderOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Check settings, certificates, models and provider without opening a port."""
    from cordon_server.audit.notes import load_signer
    from cordon_server.config import load_settings
    from cordon_server.identity.hierarchy import load_authority
    from cordon_server.identity.serving import read_server_certificate
    from cordon_server.parts import calibration, open_pack, open_pictures

    with _errors():
        settings = load_settings(config, _overrides(None, None, provider))
        authority = load_authority(settings.storage.certificates)
        shown = read_server_certificate(settings.storage.certificates, datetime.now(UTC))
        models = open_pack(settings)
        pictures = open_pictures(models)
        measured = calibration(models, settings, pictures)
        for each in (models, pictures):
            if each is not None:
                each.close()
        facts: dict[str, object] = {
            "site": settings.site,
            "listen": f"{settings.listen.host}:{settings.listen.port}",
            "enrolment_port": settings.listen.port_of_enrolment(settings.listen.port),
            "hosts": ", ".join(shown.hosts),
            "server_not_after": shown.not_after.isoformat(),
            "authority_not_after": authority.certificate.not_valid_after_utc.isoformat(),
            "audit_key": load_signer(settings.audit_places.key_file, settings.site).vkey,
            "root_not_after": authority.root.not_valid_after_utc.isoformat(),
            "model": models.pack.model_id,
            "threshold": models.pack.score_threshold,
            "provider": models.provider,
            "decoding": "cpu" if pictures is None else "gpu",
            "workers": settings.recognition.workers or measured.workers,
            "embedding_batch": measured.batch,
            "faces_per_s": measured.faces_per_s,
            "frame_ms": round(measured.frame_s * 1000, 1),
            "face_ms": round(measured.face_s * 1000, 1),
        }
    sections: dict[str, dict[str, object]] = settings.model_dump(mode="json", exclude={"site"})
    if as_json:
        print(json.dumps(facts | {"settings": sections}))
        return
    for name, value in facts.items():
        print(f"{name:<20} {value}")
    for section, values in sections.items():
        for field, value in values.items():
            print(f"{section + '.' + field:<40} {value}")
    print("ok")


@app.command(epilog="Example: cordon server policy uk-police")
def policy(
    which: Annotated[
        str, typer.Argument(metavar="NAME|FILE", help="One that comes with Cordon, or a TOML file.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    text: Annotated[
        bool, typer.Option("--text", help="Its file, to be copied for one of your own.")
    ] = False,
) -> None:
    """Explain a policy profile before a server uses it: every rule, what it means and serves."""
    from cordon_server.authority.policy import load_policy, shipped_text
    from cordon_server.authority.policy_words import explain

    with _errors():
        found = load_policy(which)
    if text:
        print(shipped_text(which) if which == found.name else Path(which).read_text(), end="")
        return
    if as_json:
        print(json.dumps({"digest": found.digest.hex(), "policy": json.loads(found.canonical)}))
        return
    print(f"{found.name}, version {found.version}: {found.title}")
    for line in explain(found):
        print(f"  {line.key:<34} {line.value:<24} {line.meaning} ({line.requirements})")
    print(found.digest.hex())


@app.command(epilog="Example: cordon server components --config ./site/cordon.toml --json")
def components(
    config: ConfigOption = Path("cordon.toml"),
    as_json: Annotated[bool, typer.Option("--json", help="The list as it is kept.")] = False,
) -> None:
    """List what the server is made of: packages and networks, with licence and hash (R30)."""
    from cordon_server.config import load_settings
    from cordon_server.operations.components import component_list
    from cordon_server.parts import model_components
    from cordon_server.recognition.models.pack import load_pack

    with _errors():
        pack = load_pack(load_settings(config).recognition.model_pack)
        listed = component_list(model_components(pack))
    if as_json:
        print(listed.decode())
        return
    for each in json.loads(listed):
        print(f"{each['name']:<44} {each['version']:<14} {each['licence'][:60]}")


def _secret(path: Path) -> str:
    """The first line of a file."""
    try:
        return path.read_text().splitlines()[0]
    except (OSError, UnicodeDecodeError, IndexError) as error:
        raise ConfigInvalid(f"{path} cannot be read as a line of text ({error})") from error


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

    with _errors():
        if (root is None) != (root_passphrase_file is None):
            raise ConfigInvalid("--root and --root-passphrase-file belong together")
        not_after = renew_server(
            load_settings(config),
            hosts=tuple(host or ()),
            root=root,
            root_passphrase=_secret(root_passphrase_file) if root_passphrase_file else "",
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

    with _errors():
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

    with _errors():
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

    with _errors():
        models = open_pack(load_settings(config))
        vectors, passed_over = cohort_faces(models, folder)
        write_cohort(out, vectors, models.pack.model_id)
        models.close()
    for path, why in passed_over:
        print(f"passed over {path}: {why}", file=sys.stderr)
    print(f"{len(vectors)} faces in {out}, {len(passed_over)} pictures passed over")


async def _serve(settings: object) -> None:
    from cordon_server.app import running
    from cordon_server.config import Settings

    assert isinstance(settings, Settings)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stop.set)
    async with running(settings):
        await stop.wait()


def _overrides(
    host: str | None, port: int | None, provider: Provider | None
) -> dict[str, dict[str, object]]:
    sections: dict[str, dict[str, object]] = {
        "listen": {"host": host, "port": port},
        "recognition": {"provider": provider.value if provider else None},
    }
    return {
        name: {field: value for field, value in values.items() if value is not None}
        for name, values in sections.items()
    }


@contextmanager
def _errors() -> Iterator[None]:
    """Prints what went wrong in words and exits; a traceback is for what nobody foresaw."""
    try:
        yield
    except (CordonError, ExceptionGroup) as raised:
        error = _innermost(raised)
        if not isinstance(error, CordonError):
            raise
        print(f"error: {error.message}", file=sys.stderr)
        raise typer.Exit(EXIT_CONFLICT if isinstance(error, CallerFault) else EXIT_FAILED) from None


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
