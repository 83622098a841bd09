"""`cordon server run` and what tells beforehand how that will be: check, policy, components."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cordon_server.cli.common import (
    ConfigOption,
    HostOption,
    Level,
    PortOption,
    ProviderOption,
    errors,
    overrides,
)

if TYPE_CHECKING:
    from cordon_server.config import Settings

app = typer.Typer()


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

    with errors():
        settings = load_settings(config, overrides(host, port, provider))
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

    with errors():
        settings = load_settings(config, overrides(None, None, provider))
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
    from cordon_server.authority.ceiling import Ceiling
    from cordon_server.authority.policy import load_policy, shipped_text
    from cordon_server.authority.policy_words import explain

    with errors():
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
    limit = Ceiling(found.false_alerts.ceiling_per_face, found.false_alerts.confidence)
    within = limit.faces_until(0.95, rate=2 * limit.per_face)
    print(
        f"False alerts at twice the ceiling suspend a deployment within {within:,} faces, 19 times "
        "of 20 (R16)."
    )
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

    with errors():
        pack = load_pack(load_settings(config).recognition.model_pack)
        listed = component_list(model_components(pack))
    if as_json:
        print(listed.decode())
        return
    for each in json.loads(listed):
        print(f"{each['name']:<44} {each['version']:<14} {each['licence'][:60]}")


async def _serve(settings: Settings) -> None:
    from cordon_server.app import running

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stop.set)
    async with running(settings):
        await stop.wait()
