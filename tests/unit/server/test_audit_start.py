"""What a start finds: the record as it was left, killed in the middle of it, put back or gone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from cordon_admin import verifier
from cordon_server.audit.room import accept, open_audit
from cordon_server.domain import StorageDamaged
from tests.unit.server.acts_kept import a_begun_record, an_act, exported
from tests.unit.server.rooms import NOON, Clock, open_keyring

APPENDING = """
import asyncio, sys
from pathlib import Path
from tests.unit.server.acts_kept import a_begun_record, an_act
from tests.unit.server.rooms import NOON, Clock, open_keyring
from cordon_server.audit.room import AuditPlaces, open_audit

async def append(audit, number):
    while True:
        index = await audit.record(an_act(number, person="anna"))
        print(index, flush=True)

async def main():
    folder = Path(sys.argv[1])
    places = AuditPlaces(
        "north.example", folder / "data", folder / "certs", folder / "kept", 2**26
    )
    async with open_audit(places, open_keyring(folder), clock=Clock()) as audit:
        await asyncio.gather(*(append(audit, number) for number in range(8)))

asyncio.run(main())
"""


def _killed_while_appending(folder: Path) -> int:
    """The last index that a process acknowledged before it was killed."""
    command = [sys.executable, "-c", APPENDING, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as appending:
        assert appending.stdout is not None
        whole: list[int] = []
        for line in appending.stdout:
            if line.endswith("\n"):
                whole.append(int(line))
            if len(whole) == 130:
                appending.kill()
    assert appending.returncode == -9
    return max(whole)


@pytest.mark.slow
@pytest.mark.serves("R12")
async def test_what_was_acknowledged_before_a_kill_is_on_record(tmp_path: Path) -> None:
    places, signer = a_begun_record(tmp_path, NOON)
    acknowledged = [_killed_while_appending(tmp_path) for _ in range(3)]

    async with open_audit(places, open_keyring(tmp_path), clock=Clock()) as audit:
        assert acknowledged[0] < acknowledged[1] < acknowledged[2] < await audit.size()
        verdict = verifier.verify(await exported(audit), signer.vkey)
    assert verdict.is_whole, verdict.fault


async def test_a_record_that_was_put_back_is_noticed_at_the_start(tmp_path: Path) -> None:
    places, _ = a_begun_record(tmp_path, NOON)
    older = (places.data / "audit" / "data.mdb").read_bytes()
    async with open_audit(places, open_keyring(tmp_path), clock=Clock()) as audit:
        await audit.record(an_act())
    (places.data / "audit" / "data.mdb").write_bytes(older)

    with pytest.raises(StorageDamaged, match="has 1 leaves and had 2 at") as refused:
        async with open_audit(places, open_keyring(tmp_path), clock=Clock()):
            pass

    assert refused.value.reason == "RECORD_ROLLED_BACK"
    assert accept(places, NOON) == (1, 2)
    async with open_audit(places, open_keyring(tmp_path), clock=Clock()) as audit:
        (leaf,) = await audit.page(1, 10)
    assert (leaf.action, leaf.facts) == ("record.accepted", {"leaves": 1, "leaves_signed": 2})


async def test_another_record_of_the_same_length_is_noticed_at_the_start(tmp_path: Path) -> None:
    places, _ = a_begun_record(tmp_path / "one", NOON)
    others, _ = a_begun_record(tmp_path / "other", NOON + timedelta(hours=1))
    other = (others.data / "audit" / "data.mdb").read_bytes()
    (places.data / "audit" / "data.mdb").write_bytes(other)

    with pytest.raises(StorageDamaged) as refused:
        async with open_audit(places, open_keyring(tmp_path), clock=Clock()):
            pass

    assert refused.value.reason == "RECORD_CHANGED"


async def test_a_record_without_its_mark_is_noticed_at_the_start(tmp_path: Path) -> None:
    places, _ = a_begun_record(tmp_path, NOON)
    places.newest_file.unlink()

    with pytest.raises(StorageDamaged, match="accept-record") as refused:
        async with open_audit(places, open_keyring(tmp_path), clock=Clock()):
            pass

    assert refused.value.reason == "RECORD_UNMARKED"


async def test_a_record_that_is_gone_with_its_mark_is_noticed_at_the_start(tmp_path: Path) -> None:
    places, _ = a_begun_record(tmp_path, NOON)
    places.newest_file.unlink()
    shutil.rmtree(places.data / "audit")

    with pytest.raises(StorageDamaged, match="accept-record"):
        async with open_audit(places, open_keyring(tmp_path), clock=Clock()):
            pass

    assert accept(places, NOON) == (0, None)
    async with open_audit(places, open_keyring(tmp_path), clock=Clock()) as audit:
        (leaf,) = await audit.page(0, 10)
    assert (leaf.action, leaf.facts) == ("record.accepted", {"leaves": 0})


async def test_a_mark_that_is_no_text_is_noticed_at_the_start(tmp_path: Path) -> None:
    places, _ = a_begun_record(tmp_path, NOON)
    places.newest_file.write_bytes(b"\xff\xfe")

    with pytest.raises(StorageDamaged, match="does not bear this server's signature"):
        async with open_audit(places, open_keyring(tmp_path), clock=Clock()):
            pass
