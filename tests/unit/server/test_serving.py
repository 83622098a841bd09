from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from structlog.testing import capture_logs

from cordon_server.domain import ConfigInvalid
from cordon_server.identity.certificates import CertificateAuthority, KeyPair, key_pem
from cordon_server.identity.hierarchy import make_root, save_authority
from cordon_server.identity.serving import ServerCertificate, read_server_certificate

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOSTS = ("lfr.site.local", "10.0.0.7")


def new_authority() -> CertificateAuthority:
    return make_root("site.local", now=NOW).issuing("site.local", HOSTS, now=NOW)


def put(folder: Path, pair: KeyPair) -> None:
    """Puts a certificate in place as an administrator does: file by file."""
    for name, content in (("server.pem", pair.certificate_pem), ("server-key.pem", pair.key_pem)):
        (folder / f"{name}.new").write_bytes(content)
        os.replace(folder / f"{name}.new", folder / name)


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    return new_authority()


@pytest.fixture
def folder(authority: CertificateAuthority, tmp_path: Path) -> Path:
    save_authority(tmp_path, authority)
    put(tmp_path, authority.issue_server(HOSTS, now=NOW))
    return tmp_path


def test_the_server_shows_its_chain_without_the_root(
    authority: CertificateAuthority, folder: Path
) -> None:
    shown = read_server_certificate(folder, NOW)

    assert shown.chain_pem.count(b"BEGIN CERTIFICATE") == 2
    assert shown.root_pem == authority.root_pem
    assert shown.hosts == HOSTS
    assert b"PRIVATE" not in repr(shown).encode()


def test_a_new_certificate_is_shown_once_its_files_are_there(
    authority: CertificateAuthority, folder: Path
) -> None:
    certificate = ServerCertificate(folder, clock=lambda: NOW)
    before = certificate.refresh()
    pair = authority.issue_server(HOSTS, now=NOW)
    put(folder, pair)

    with capture_logs() as logs:
        after = certificate.refresh()

    assert before.chain_pem != after.chain_pem == pair.certificate_pem
    assert [each["event"] for each in logs] == ["certificates.reloaded"]
    assert certificate.reload_failures == 0
    assert certificate.refresh() is after


def test_files_that_did_not_change_are_not_read_again(folder: Path) -> None:
    certificate = ServerCertificate(folder, clock=lambda: NOW)

    with capture_logs() as logs:
        assert certificate.refresh() is certificate.refresh()

    assert logs == []


def another_key(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    (folder / "server-key.pem").write_bytes(key_pem(key))


def an_rsa_key(folder: Path) -> None:
    key = rsa.generate_private_key(65537, 2048)
    (folder / "server-key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def a_foreign_chain(folder: Path) -> None:
    put(folder, new_authority().issue_server(HOSTS, now=NOW))


def an_expired_one(folder: Path) -> None:
    root = make_root("site.local", now=NOW)
    old = root.issuing("site.local", HOSTS, now=NOW)
    (folder / "ca.pem").write_bytes(old.root_pem)
    put(folder, old.issue_server(HOSTS, now=NOW - timedelta(days=900)))


def a_host_outside_its_names(folder: Path) -> None:
    root = make_root("site.local", now=NOW)
    narrow = root.issuing("site.local", ("lfr.site.local",), now=NOW)
    (folder / "ca.pem").write_bytes(narrow.root_pem)
    put(folder, narrow.issue_server(("other.example",), now=NOW))


def nothing(folder: Path) -> None:
    (folder / "server.pem").unlink()


def half_a_file(folder: Path) -> None:
    (folder / "server.pem").write_bytes((folder / "server.pem").read_bytes()[:200])


def a_broken_root(folder: Path) -> None:
    (folder / "ca.pem").write_bytes(b"no certificate")


@pytest.mark.parametrize(
    "break_it",
    [
        another_key,
        an_rsa_key,
        a_foreign_chain,
        an_expired_one,
        a_host_outside_its_names,
        nothing,
        half_a_file,
        a_broken_root,
    ],
)
def test_a_broken_certificate_changes_nothing_and_raises_an_alarm(
    authority: CertificateAuthority, folder: Path, break_it: Callable[[Path], None]
) -> None:
    certificate = ServerCertificate(folder, clock=lambda: NOW)
    good = certificate.refresh()
    break_it(folder)

    with capture_logs() as logs:
        assert certificate.refresh() is good
        assert certificate.refresh() is good

    assert [(each["event"], each["log_level"]) for each in logs] == [
        ("certificates.reload_failed", "error")
    ]
    assert certificate.reload_failures == 1
    assert "cordon server renew" in logs[0]["why"] or "in place together" in logs[0]["why"]
    (folder / "ca.pem").write_bytes(authority.root_pem)
    put(folder, authority.issue_server(HOSTS, now=NOW))
    assert certificate.refresh() is not good


@pytest.mark.parametrize("break_it", [another_key, an_rsa_key, nothing, an_expired_one])
def test_a_server_does_not_start_on_a_broken_certificate(
    folder: Path, break_it: Callable[[Path], None]
) -> None:
    break_it(folder)

    with pytest.raises(ConfigInvalid):
        ServerCertificate(folder, clock=lambda: NOW)


@pytest.mark.parametrize(("left", "warnings"), [(31, 0), (29, 1)])
def test_the_log_warns_once_a_month_before_the_end(folder: Path, left: int, warnings: int) -> None:
    now = NOW
    certificate = ServerCertificate(folder, clock=lambda: now)
    now = certificate.shown.not_after - timedelta(days=left)

    with capture_logs() as logs:
        certificate.look()
        certificate.look()

    assert [each["event"] for each in logs] == ["certificates.end_soon"] * warnings
