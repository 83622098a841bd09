from __future__ import annotations

import asyncio
import stat
from concurrent.futures import Executor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from cordon_server.audit.room import open_audit
from cordon_server.config import Settings, load_settings
from cordon_server.domain import ConfigInvalid, NotFound, StorageDamaged
from cordon_server.identity.certificates import SERVER_LIFE
from cordon_server.identity.hierarchy import load_authority, make_root, save_root
from cordon_server.identity.names import Role
from cordon_server.identity.peers import read_certificate
from cordon_server.identity.serving import ServerCertificate, read_server_certificate
from cordon_server.site import FirstAdministrator, make_site
from cordon_server.store.keyring import Keyring
from cordon_server.store.lock import locked
from cordon_server.upkeep import accept_record, make_token, renew_server
from tests.unit.server.machines import MachineRoom, a_public_key
from tests.unit.server.rooms import Clock, open_keyring

NOW = datetime.now(UTC).replace(microsecond=0)
LATER = NOW + timedelta(days=400)
HOSTS = ("lfr.north.example", "10.0.0.7")
PASSPHRASE = "a phrase for tests"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = make_site(
        tmp_path / "site",
        site="site.local",
        hosts=HOSTS,
        bind="127.0.0.1",
        port=7443,
        workstation="first",
        root_passphrase=PASSPHRASE,
        administrator=FirstAdministrator("anna", "violet-anchor-rubble-9", False),
    )
    return load_settings(made.settings)


def renew(
    settings: Settings, *hosts: str, root: Path | None = None, passphrase: str = PASSPHRASE
) -> datetime:
    return renew_server(settings, hosts=hosts, root=root, root_passphrase=passphrase, now=LATER)


def test_a_renewed_server_certificate_is_for_the_same_hosts_and_shown_at_once(
    settings: Settings,
) -> None:
    certs = settings.storage.certificates
    certificate = ServerCertificate(certs, clock=lambda: LATER)

    not_after = renew(settings)

    shown = certificate.refresh()
    assert not_after == shown.not_after == LATER + SERVER_LIFE
    assert shown.hosts == HOSTS
    assert certificate.reload_failures == 0
    keys = [path for path in certs.iterdir() if path.name.endswith("key.pem")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys} == {0o600}
    assert sorted(path.name for path in certs.iterdir()) == [
        "audit-key.pem",
        "audit.vkey",
        "ca.pem",
        "issuing-key.pem",
        "issuing.pem",
        "server-key.pem",
        "server.pem",
    ]


def test_an_expired_server_certificate_can_be_renewed(settings: Settings) -> None:
    certs = settings.storage.certificates
    late = NOW + SERVER_LIFE + timedelta(days=1)
    with pytest.raises(ConfigInvalid):
        read_server_certificate(certs, late)

    renew_server(settings, hosts=(), root=None, root_passphrase="", now=late)

    assert read_server_certificate(certs, late).hosts == HOSTS


def test_other_hosts_need_the_root(settings: Settings) -> None:
    certs = settings.storage.certificates
    before = (certs / "server.pem").read_bytes()
    with pytest.raises(ConfigInvalid, match=r"not made for new\.north\.example; bring the root"):
        renew(settings, "new.north.example")
    assert (certs / "server.pem").read_bytes() == before
    old = load_authority(certs)

    renew(settings, "new.north.example", root=certs.parent / "root")

    new = load_authority(certs)
    assert new.root == old.root
    assert new.certificate != old.certificate
    assert read_server_certificate(certs, LATER).hosts == ("new.north.example",)


def test_an_address_more_needs_no_root_where_there_was_one(settings: Settings) -> None:
    renew(settings, "lfr.north.example", "10.0.0.8")

    shown = read_server_certificate(settings.storage.certificates, LATER)
    assert shown.hosts == ("lfr.north.example", "10.0.0.8")


def test_clients_of_the_old_issuing_authority_go_on(settings: Settings) -> None:
    certs = settings.storage.certificates
    chain = (certs.parent / "admin" / "cert.pem").read_bytes()

    renew(settings, root=certs.parent / "root")

    root = x509.load_pem_x509_certificate((certs / "ca.pem").read_bytes())
    leaf, issuing = x509.load_pem_x509_certificates(chain)
    leaf.verify_directly_issued_by(issuing)
    issuing.verify_directly_issued_by(root)


@pytest.mark.parametrize("wrong", ["passphrase", "root"])
def test_a_root_that_does_not_open_or_belong_changes_nothing(
    settings: Settings, tmp_path: Path, wrong: str
) -> None:
    certs = settings.storage.certificates
    before = {path.name: path.read_bytes() for path in certs.iterdir()}
    root = certs.parent / "root"
    if wrong == "root":
        root = tmp_path / "other"
        save_root(root, make_root("site.local", now=NOW), PASSPHRASE)

    with pytest.raises(ConfigInvalid):
        renew(settings, root=root, passphrase="not the phrase" if wrong != "root" else PASSPHRASE)

    assert {path.name: path.read_bytes() for path in certs.iterdir()} == before


async def test_a_token_of_the_servers_own_command_line_is_spent_like_any(
    settings: Settings, writer: Executor, clock: Clock
) -> None:
    clock.now = NOW
    token = await make_token(settings, Role.ADMIN, "office-2", clock=clock)
    authority = load_authority(settings.storage.certificates)
    room = MachineRoom(settings.registry_folder, writer, clock, authority)

    issued = await room.enrolments.spend(token.text, a_public_key())
    await room.registry.close()

    peer = read_certificate(issued.chain_pem)
    assert peer is not None
    assert str(peer.spiffe_id) == "spiffe://site.local/admin/office-2"


async def test_a_camera_that_is_not_registered_gets_no_token_there_either(
    settings: Settings,
) -> None:
    with pytest.raises(NotFound):
        await make_token(settings, Role.CAMERA, "nowhere", clock=lambda: NOW)


def test_a_record_that_was_put_back_is_gone_on_from_only_when_it_is_said(
    settings: Settings,
) -> None:
    places = settings.audit_places
    places.newest_file.unlink()
    with pytest.raises(StorageDamaged, match="cordon server accept-record"):
        asyncio.run(_opened(settings))

    assert accept_record(settings, now=NOW) == (1, None)

    asyncio.run(_opened(settings))


def test_a_record_is_not_accepted_beside_a_server_that_runs(settings: Settings) -> None:
    with locked(settings.storage.data), pytest.raises(ConfigInvalid, match="another server"):
        accept_record(settings, now=NOW)


async def test_what_is_done_on_the_server_itself_is_on_record(settings: Settings) -> None:
    renew(settings)
    await make_token(settings, Role.ADMIN, "office", clock=lambda: LATER)

    async with open_audit(settings.audit_places, ring(settings), clock=lambda: LATER) as audit:
        leaves = await audit.page(0, 10)

    assert [leaf.action for leaf in leaves] == ["record.begun", "certificate.renewed", "token.made"]
    assert leaves[2].resource == "spiffe://site.local/admin/office"


def ring(settings: Settings) -> Keyring:
    return open_keyring(settings.storage.data)


async def _opened(settings: Settings) -> None:
    async with open_audit(settings.audit_places, ring(settings), clock=lambda: NOW):
        pass
