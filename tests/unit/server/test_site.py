from __future__ import annotations

import os
import stat
import tomllib
from concurrent.futures import Executor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cordon_server.authority.policy import load_policy, shipped_text
from cordon_server.config import load_settings
from cordon_server.domain import AlreadyExists, ConfigInvalid
from cordon_server.identity.certificates import LIFE_MAX, key_pem
from cordon_server.identity.hierarchy import load_authority, load_root
from cordon_server.identity.names import Role
from cordon_server.identity.peers import read_certificate
from cordon_server.identity.register import CERTIFICATE_KEYS, CERTIFICATES, CertificateRegister
from cordon_server.identity.serving import read_server_certificate
from cordon_server.site import FirstAdministrator, make_site
from cordon_server.store.lock import locked
from tests.unit.server.rooms import open_environment

PASSPHRASE = "a phrase for tests"
ADMINISTRATOR = FirstAdministrator("anna", "violet-anchor-rubble-9", must_change_password=False)


def a_site(
    folder: Path,
    hosts: tuple[str, ...] = ("lfr.north.example",),
    bind: str = "0.0.0.0",
    passphrase: str = PASSPHRASE,
    policy: str = "demo",
) -> Path:
    made = make_site(
        folder,
        site="north.example",
        hosts=hosts,
        bind=bind,
        port=7443,
        workstation="first",
        policy=policy,
        root_passphrase=passphrase,
        administrator=ADMINISTRATOR,
    )
    return made.settings


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_site_has_settings_authorities_and_a_workstation(tmp_path: Path) -> None:
    settings = load_settings(a_site(tmp_path / "site"))

    authority = load_authority(settings.storage.certificates)
    shown = read_server_certificate(settings.storage.certificates, datetime.now(UTC))
    assert shown.hosts == ("lfr.north.example",)
    admin = tmp_path / "site" / "admin"
    peer = read_certificate((admin / "cert.pem").read_bytes())
    identity = tomllib.loads((admin / "identity.toml").read_text())
    assert peer is not None
    assert (peer.spiffe_id.role, peer.spiffe_id.name) == (Role.ADMIN, "first")
    assert peer.not_after - datetime.now(UTC) < LIFE_MAX[Role.ADMIN]
    assert identity == {
        "server": "lfr.north.example:7443",
        "spiffe_id": "spiffe://north.example/admin/first",
    }
    assert (admin / "ca.pem").read_bytes() == authority.root_pem
    assert (admin / "cert.pem").read_bytes().count(b"BEGIN CERTIFICATE") == 2


def test_the_root_lies_apart_and_its_key_is_encrypted(tmp_path: Path) -> None:
    a_site(tmp_path / "site")

    root = load_root(tmp_path / "site" / "root", PASSPHRASE)

    plain = key_pem(root.key)
    inner = root.key.private_numbers().private_value.to_bytes(32, "big")
    for path in (tmp_path / "site").rglob("*"):
        if path.is_file():
            assert plain not in path.read_bytes(), path
            assert inner not in path.read_bytes(), path
    assert not list((tmp_path / "site" / "certs").glob("root*"))


async def test_the_first_certificate_is_on_record(tmp_path: Path, writer: Executor) -> None:
    a_site(tmp_path / "site")
    registry = open_environment(
        tmp_path / "site" / "data" / "registry", (CERTIFICATES, CERTIFICATE_KEYS), writer
    )
    peer = read_certificate((tmp_path / "site" / "admin" / "cert.pem").read_bytes())

    ((_, record),) = await CertificateRegister(registry, clock=lambda: datetime.now(UTC)).page(
        b"", 10
    )
    await registry.close()

    assert peer is not None
    assert (record.sha256, record.spiffe_id) == (peer.sha256, str(peer.spiffe_id))


def test_a_passphrase_that_could_be_guessed_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="16 characters"):
        a_site(tmp_path / "site", passphrase="secret")

    assert not (tmp_path / "site").exists()


def test_keys_and_folders_are_their_owners_alone(tmp_path: Path) -> None:
    site = tmp_path / "site"
    a_site(site)

    folders = [site, *(each for each in site.rglob("*") if each.is_dir())]
    keys = list(site.rglob("*key*.pem"))
    assert {mode(each) for each in folders} == {0o700}
    assert {each.name for each in keys} == {
        "key.pem",
        "issuing-key.pem",
        "root-key.pem",
        "server-key.pem",
        "audit-key.pem",
    }
    assert {mode(each) for each in keys} == {0o600}


@pytest.mark.parametrize("there", ["cordon.toml", "certs", "admin", "root"])
def test_a_site_that_is_there_is_not_touched(tmp_path: Path, there: str) -> None:
    (tmp_path / there).mkdir()

    with pytest.raises(AlreadyExists, match="choose another folder"):
        a_site(tmp_path)

    assert [each.name for each in tmp_path.iterdir()] == [there]


def test_an_address_of_six_is_written_in_brackets(tmp_path: Path) -> None:
    settings = load_settings(a_site(tmp_path / "site", ("::1",), bind="::"))

    identity = tomllib.loads((tmp_path / "site" / "admin" / "identity.toml").read_text())
    assert identity["server"] == "[::1]:7443"
    assert settings.listen.host == "::"


@pytest.mark.parametrize(
    ("hosts", "bind"), [(('a"b',), "0.0.0.0"), (("a", "two words"), "0.0.0.0"), (("a",), 'x"\n')]
)
def test_a_host_that_cannot_be_one_makes_nothing(
    tmp_path: Path, hosts: tuple[str, ...], bind: str
) -> None:
    with pytest.raises(ConfigInvalid, match="neither a host name nor"):
        a_site(tmp_path / "site", hosts, bind)

    assert not (tmp_path / "site").exists()


def test_a_folder_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigInvalid, match="choose another folder"):
        a_site(tmp_path / "file" / "site")


def test_one_server_holds_a_data_folder_at_a_time(tmp_path: Path) -> None:
    with locked(tmp_path / "data"):
        with (
            pytest.raises(ConfigInvalid, match="another server is running on"),
            locked(tmp_path / "data"),
        ):
            pass
        assert mode(tmp_path / "data") == 0o700
    with locked(tmp_path / "data"):
        assert os.path.exists(tmp_path / "data" / "lock")


@pytest.mark.serves("R25")
def test_a_site_names_its_policy_and_is_not_made_without_one(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(shipped_text("uk-police"))

    assert load_settings(a_site(tmp_path / "plain")).authority.policy == "demo"
    settings = load_settings(a_site(tmp_path / "own", policy=str(mine)))
    assert load_policy(settings.authority.policy).name == "uk-police"
    with pytest.raises(ConfigInvalid, match="there is no policy lax"):
        a_site(tmp_path / "lax", policy="lax")
    assert not (tmp_path / "lax").exists()
