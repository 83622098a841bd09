"""Signed notes and the checkpoints in them: others' read here, and ours there."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cordon_admin import verifier
from cordon_server.audit.notes import Signer, checkpoint, load_signer, read_checkpoint
from cordon_server.domain import ConfigInvalid, StorageDamaged
from cordon_server.identity.certificates import key_pem
from tests.unit.server.acts_kept import a_begun_record
from tests.unit.server.rooms import NOON


def test_a_checkpoint_has_the_form_that_other_readers_of_such_logs_know(tmp_path: Path) -> None:
    places, signer = a_begun_record(tmp_path, NOON)

    note = places.newest_file.read_text()

    origin, size, root, ours, blank, signature, end = note.split("\n")
    assert (origin, size, blank, end) == ("north.example/cordon-audit", "1", "", "")
    assert len(base64.b64decode(root)) == 32
    assert ours == "checkpoint 1 2026-06-01T12:00:00.000000Z"
    dash, name, encoded = signature.split(" ")
    assert (dash, name) == ("—", origin)
    assert base64.b64decode(encoded)[:4].hex() == signer.vkey.split("+")[1]


def test_a_note_signed_elsewhere_reads_here() -> None:
    # The example of golang.org/x/mod/sumdb/note.
    vkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"

    key = verifier.read_key(vkey)

    assert (key.name, key.key_id.hex(), key.vkey) == ("PeterNeumann", "c74f20a3", vkey)


def test_a_note_of_ours_reads_back_and_nobody_elses_does() -> None:
    signer, other = (Signer("site/log", Ed25519PrivateKey.generate()) for _ in range(2))
    made = checkpoint(7, bytes(range(32)), 3, NOON)

    note = signer.sign(made.text("site/log"))

    assert read_checkpoint(signer.opened(note)) == made
    read = verifier.read_note(note, verifier.read_key(signer.vkey))
    assert (read.origin, read.size, read.root, read.number) == ("site/log", 7, made.root, 3)
    for wrong in (note.replace("7", "8", 1), note[:-2] + "\n", "", "\n\n", note + "\n"):
        with pytest.raises(StorageDamaged):
            signer.opened(wrong)
    with pytest.raises(StorageDamaged):
        other.opened(note)


@pytest.mark.parametrize(
    "text",
    [
        "site/log\n7\n",
        "site/log\nseven\nAAAA\ncheckpoint 1 2026\n",
        "site/log\n\nAAAA\ncheckpoint 1 2026\n",
        "site/log\n7\nAAAA\nchecked 1 2026\n",
        "site/log\n7\n!\ncheckpoint 1 2026\n",
    ],
)
def test_what_is_no_checkpoint_is_said_to_be_none(text: str) -> None:
    signer = Signer("site/log", Ed25519PrivateKey.generate())

    with pytest.raises(StorageDamaged, match="cannot be read"):
        read_checkpoint(text)
    with pytest.raises(verifier.FaultError):
        verifier.read_note(signer.sign(text), verifier.read_key(signer.vkey))


@pytest.mark.parametrize(
    "content",
    [None, b"", b"no key", key_pem(ec.generate_private_key(ec.SECP256R1()))],
    ids=["missing", "empty", "junk", "of another kind"],
)
def test_a_signing_key_that_is_none_is_said_in_words(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "audit-key.pem"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(ConfigInvalid, match=r"put (it )?back"):
        load_signer(file, "north.example")


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "site/log",
        "site/log+00000000+AQ==",
        "site/log+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TX",
        "PeterNeumann+c74f20a3+" + base64.b64encode(bytes(33)).decode(),
    ],
)
def test_what_is_no_public_key_is_refused(vkey: str) -> None:
    with pytest.raises(verifier.FaultError):
        verifier.read_key(vkey)
