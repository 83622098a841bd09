"""An officer's own key: in a file for him alone, and never replaced by accident."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from cordon_client.errors import ClientError, ExitCode
from cordon_client.signing_key import key_file, load_signing_key, make_signing_key, public_bytes


@pytest.mark.serves("R8")
def test_a_key_is_kept_for_its_owner_alone(tmp_path: Path) -> None:
    made = make_signing_key(tmp_path, "users/eve")
    make_signing_key(tmp_path, "users/otto")

    assert key_file(tmp_path, "eve").stat().st_mode & 0o777 == 0o600
    assert public_bytes(load_signing_key(tmp_path, "users/eve")) == public_bytes(made)


def test_a_key_is_not_replaced_by_accident(tmp_path: Path) -> None:
    first = make_signing_key(tmp_path, "users/eve")

    with pytest.raises(ClientError) as refused:
        make_signing_key(tmp_path, "users/eve")
    second = make_signing_key(tmp_path, "users/eve", replace=True)

    assert refused.value.exit_code == ExitCode.CONFLICT
    assert public_bytes(first) != public_bytes(second)


def test_no_key_a_shared_one_and_another_kind_are_said_with_the_next_step(tmp_path: Path) -> None:
    path = key_file(tmp_path, "users/eve")
    with pytest.raises(ClientError, match="no signing key"):
        load_signing_key(tmp_path, "users/eve")
    make_signing_key(tmp_path, "users/eve")
    path.chmod(0o644)
    with pytest.raises(ClientError, match="can be read by others"):
        load_signing_key(tmp_path, "users/eve")
    other = ec.generate_private_key(ec.SECP256R1())
    path.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    for content in (path.read_bytes(), b"no key"):
        path.write_bytes(content)
        with pytest.raises(ClientError, match="no Ed25519 key"):
            load_signing_key(tmp_path, "users/eve")
