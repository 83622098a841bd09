from __future__ import annotations

import io
import json
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from cordon_server.domain import ConfigInvalid, StorageDamaged, StorageFull
from cordon_server.store import keyring as keyring_module
from cordon_server.store.keyring import Keyring, Label
from cordon_server.store.site_key import site_passphrase
from cordon_server.store.wrapping import SLOT_STRIDE, WrappingSecrets
from tests.unit.server.rooms import open_keyring

D, A = Label.DEPLOYMENT, Label.AUDIT
KEYRING, SECRETS = "keyring", "never-backed-up"


@pytest.fixture
def ring(tmp_path: Path) -> Keyring:
    return open_keyring(tmp_path)


def test_a_key_is_made_once_and_is_there_at_the_next_start(ring: Keyring, tmp_path: Path) -> None:
    made = ring.get_or_make(D, "market")

    assert ring.get_or_make(D, "market") == made == open_keyring(tmp_path).get(D, "market")
    assert ring.get(A, "market") is None
    assert ring.get_or_make(A, "market") != made
    assert (ring.names(D), ring.names(Label.HOLD)) == (["market"], [])


def test_keys_asked_for_at_once_are_one(ring: Keyring) -> None:
    got: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: got.append(ring.get_or_make(D, "market"))) for _ in range(8)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(got)) == 1


@pytest.mark.serves("R2")
def test_a_destroyed_key_is_gone_here_and_in_every_older_copy(
    ring: Keyring, tmp_path: Path
) -> None:
    kept = ring.get_or_make(D, "kept")
    ring.get_or_make(D, "market")
    backup = (tmp_path / KEYRING).read_bytes()

    assert ring.destroy(D, ["market", "unheard-of"]) == ["market"]

    assert open_keyring(tmp_path).get(D, "market") is None
    assert open_keyring(tmp_path).get(D, "kept") == kept
    (tmp_path / KEYRING).write_bytes(backup)
    with capture_logs() as logs:
        restored = open_keyring(tmp_path)
    assert (restored.names(D), logs[0]["event"]) == ([], "keyring.lost")
    assert open_keyring(tmp_path).names(D) == []  # and what took its place is a keyring


@pytest.mark.serves("R2")
def test_a_destruction_that_failed_at_its_last_step_is_finished_by_the_next(
    ring: Keyring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring.get_or_make(D, "market")
    backup = (tmp_path / KEYRING).read_bytes()

    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(WrappingSecrets, "forget_all_but", broken)
        with pytest.raises(OSError, match="Input/output"):
            ring.destroy(D, ["market"])
    ring.destroy(D, ["market"])

    (tmp_path / KEYRING).write_bytes(backup)
    assert open_keyring(tmp_path).names(D) == []


@pytest.mark.serves("R2")
def test_the_secrets_file_holds_one_secret_and_none_of_those_before(
    ring: Keyring, tmp_path: Path
) -> None:
    secrets = tmp_path / SECRETS / "wrapping-secret"
    seen: set[bytes] = set()

    for number in range(4):
        ring.get_or_make(D, str(number))
        content = secrets.read_bytes()
        slots = [slot for at in (0, SLOT_STRIDE) if any(slot := content[at : at + 56])]
        assert len(slots) == 1
        assert not any(value in content for value in seen)
        seen.add(slots[0][8:40])
        ring.destroy(D, [str(number)])

    assert len(seen) == 4


def test_backup_programs_are_told_to_leave_the_secret_out(ring: Keyring, tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    tar = shutil.which("tar")
    if tar is None:
        pytest.skip("tar is not installed here: no other backup program is asked")

    listed = subprocess.run(
        [tar, "-C", tmp_path, "--exclude-caches", "-cvf", "/dev/null", "."],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert "./keyring" in listed.stdout
    assert "wrapping-secret" not in listed.stdout


def test_nothing_of_a_key_is_in_the_files_and_only_their_owner_reads_them(
    ring: Keyring, tmp_path: Path
) -> None:
    key = ring.get_or_make(D, "market")

    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.name for path in files} == {KEYRING, "wrapping-secret", "CACHEDIR.TAG"}
    for path in files:
        assert key not in path.read_bytes()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.serves("R2")
@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_a_keyring_that_opens_and_can_be_changed(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.server.keyring_kills", tmp_path],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    runs = json.loads(done.stdout)

    assert all(run["kept"] for run in runs)
    for change, before, after in (
        ("make", ["old"], ["new", "old"]),
        ("destroy", ["old"], []),
    ):
        names = [run["names"] for run in runs if run["change"] == change]
        assert len(names) > 6
        turned = names.index(after)
        assert turned > 0, "no kill came early enough to see the keyring as it was"
        assert names == [before] * turned + [after] * (len(names) - turned)


def test_another_passphrase_opens_nothing_and_destroys_nothing(
    ring: Keyring, tmp_path: Path
) -> None:
    key = ring.get_or_make(D, "market")

    with pytest.raises(ConfigInvalid, match="passphrase does not open"):
        open_keyring(tmp_path, "another passphrase here")

    assert open_keyring(tmp_path).get(D, "market") == key


def test_a_keyring_without_its_secret_is_refused_and_left_as_it_is(
    ring: Keyring, tmp_path: Path
) -> None:
    key = ring.get_or_make(D, "market")
    (tmp_path / SECRETS).rename(tmp_path / "elsewhere")

    with pytest.raises(StorageDamaged, match="the secret that it is wrapped under is not"):
        open_keyring(tmp_path)

    (tmp_path / "elsewhere").rename(tmp_path / SECRETS)
    assert open_keyring(tmp_path).get(D, "market") == key


def test_a_secret_older_than_the_keyring_is_refused(ring: Keyring, tmp_path: Path) -> None:
    ring.get_or_make(D, "market")
    shutil.copytree(tmp_path / SECRETS, tmp_path / "old")
    for name in ("market", "second", "third"):
        ring.get_or_make(D, name)
        ring.destroy(D, [name])
    shutil.rmtree(tmp_path / SECRETS)
    (tmp_path / "old").rename(tmp_path / SECRETS)

    with pytest.raises(StorageDamaged, match="older; bring back"):
        open_keyring(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no keyring", b"\x87"])
def test_a_keyring_that_is_none_is_damage(ring: Keyring, tmp_path: Path, content: bytes) -> None:
    (tmp_path / KEYRING).write_bytes(content)

    with pytest.raises(StorageDamaged, match="cannot be read"):
        open_keyring(tmp_path)


def test_a_keyring_that_cannot_be_written_stays_as_it_was(
    ring: Keyring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = ring.get_or_make(D, "market")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(keyring_module, "write_whole", full)
        with pytest.raises(StorageFull, match="could not be written"):
            ring.get_or_make(D, "second")
        with pytest.raises(StorageFull):
            ring.destroy(D, ["market"])

    assert ring.names(D) == open_keyring(tmp_path).names(D) == ["market"]
    assert ring.destroy(D, ["market"]) == ["market"]
    ring.get_or_make(D, "third")
    assert open_keyring(tmp_path).names(D) == ["third"]
    assert open_keyring(tmp_path).get(D, "market") != key


def test_the_credential_goes_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "site-passphrase"
    file.write_text("the passphrase in the file\n")
    assert site_passphrase(file) == "the passphrase in the file"

    (tmp_path / "cordon-site-passphrase").write_text("the one that systemd passes\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))

    assert site_passphrase(file) == "the one that systemd passes"


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "not to be had"), ("", "cannot be read as a line"), ("short", "16 characters")],
)
def test_a_site_without_a_passphrase_does_not_start(
    tmp_path: Path, content: str | None, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    file = tmp_path / "site-passphrase"
    if content is not None:
        file.write_text(content)

    with pytest.raises(ConfigInvalid, match=words):
        site_passphrase(file)
