from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path

import pytest
from cryptography import x509

from cordon_server.config import load_settings
from cordon_server.domain import AlreadyExists, ConfigInvalid
from cordon_server.identity.certificates import load_authority
from cordon_server.identity.names import Role
from cordon_server.identity.peers import read_certificate
from cordon_server.site import make_site
from cordon_server.store.lock import locked


def a_site(
    folder: Path, hosts: tuple[str, ...] = ("lfr.north.example",), bind: str = "0.0.0.0"
) -> Path:
    return make_site(folder, site="north.example", hosts=hosts, bind=bind, port=7443, admin="first")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_site_has_settings_an_authority_and_an_administrator(tmp_path: Path) -> None:
    settings = load_settings(a_site(tmp_path / "site"))

    authority = load_authority(settings.storage.certificates)
    server = (settings.storage.certificates / "server.pem").read_bytes()
    x509.load_pem_x509_certificate(server).verify_directly_issued_by(authority.certificate)
    admin = tmp_path / "site" / "admin"
    peer = read_certificate((admin / "cert.pem").read_bytes())
    identity = tomllib.loads((admin / "identity.toml").read_text())
    assert peer is not None
    assert (peer.spiffe_id.role, peer.spiffe_id.name) == (Role.ADMIN, "first")
    assert identity == {
        "server": "lfr.north.example:7443",
        "spiffe_id": "spiffe://north.example/admin/first",
    }
    assert (admin / "ca.pem").read_bytes() == authority.pem


def test_keys_and_folders_are_their_owners_alone(tmp_path: Path) -> None:
    site = tmp_path / "site"
    a_site(site)

    folders = [site, *(each for each in site.rglob("*") if each.is_dir())]
    keys = list(site.rglob("*key*.pem"))
    assert {mode(each) for each in folders} == {0o700}
    assert len(keys) == 3
    assert {mode(each) for each in keys} == {0o600}


@pytest.mark.parametrize("there", ["cordon.toml", "certs", "admin"])
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
