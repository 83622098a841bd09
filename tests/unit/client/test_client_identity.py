from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from cordon_client.errors import ClientError, ExitCode
from cordon_client.identity import load_identity, make_key_and_csr, save_identity, split_address
from tests.helpers.pki import Authority

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "identity"

    save_identity(
        folder,
        server='odd"name:8443',
        spiffe_id="spiffe://site/control/anna",
        ca_pem=b"ca",
        certificate_pem=b"certificate",
        private_key_pem=b"key",
    )
    found = load_identity(folder)

    assert found.server == 'odd"name:8443'
    assert (found.role, found.name) == ("control", "anna")
    assert (found.ca_pem, found.certificate_pem, found.private_key_pem) == (
        b"ca",
        b"certificate",
        b"key",
    )


def test_only_the_owner_can_read_a_saved_identity(tmp_path: Path) -> None:
    folder = tmp_path / "identity"
    folder.mkdir(mode=0o755)

    Authority().client(folder, "127.0.0.1:1")

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


@pytest.mark.parametrize("loosened", [".", "key.pem"])
def test_an_identity_that_others_can_read_is_refused(tmp_path: Path, loosened: str) -> None:
    folder = tmp_path / "identity"
    Authority().client(folder, "127.0.0.1:1")
    (folder / loosened).chmod(0o755)

    with pytest.raises(ClientError, match="can be read by others") as refused:
        load_identity(folder)

    assert refused.value.exit_code is ExitCode.SIGN_IN
    assert refused.value.hint.startswith("chmod ")


@pytest.mark.parametrize("lost", ["identity.toml", "ca.pem", "cert.pem", "key.pem"])
def test_a_missing_part_is_named(tmp_path: Path, lost: str) -> None:
    folder = tmp_path / "identity"
    Authority().client(folder, "127.0.0.1:1")
    (folder / lost).unlink()

    with pytest.raises(ClientError) as refused:
        load_identity(folder)

    assert lost in refused.value.why


@pytest.mark.parametrize(
    "toml", ["", "server = 1\nspiffe_id = 2", 'server = "a:1"\nspiffe_id = "anna"', "\xff=", "a=="]
)
def test_a_damaged_identity_toml_is_refused_in_words(tmp_path: Path, toml: str) -> None:
    folder = tmp_path / "identity"
    Authority().client(folder, "127.0.0.1:1")
    (folder / "identity.toml").write_bytes(toml.encode("latin-1"))

    with pytest.raises(ClientError, match="cannot be used") as refused:
        load_identity(folder)

    assert refused.value.exit_code is ExitCode.SIGN_IN


def test_a_signing_request_carries_the_public_half_of_the_key() -> None:
    key_pem, csr_der = make_key_and_csr()

    key = serialization.load_pem_private_key(key_pem, password=None)
    csr = x509.load_der_x509_csr(csr_der)

    assert csr.is_signature_valid
    assert csr.public_key() == key.public_key()
    assert key_pem not in csr_der


@pytest.mark.parametrize(
    ("given", "expected"),
    [("localhost:8443", ("localhost", 8443)), ("[::1]:80", ("::1", 80))],
)
def test_an_address_has_a_host_and_a_port(given: str, expected: tuple[str, int]) -> None:
    assert split_address(given) == expected


@pytest.mark.parametrize("given", ["", "localhost", ":80", "host:", "host:0", "host:70000", "h:x"])
def test_anything_else_is_not_an_address(given: str) -> None:
    with pytest.raises(ClientError) as refused:
        split_address(given)

    assert refused.value.exit_code is ExitCode.USAGE
