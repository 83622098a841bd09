"""What of the record is about people: unreadable without its key, and the record stays whole."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from cordon_admin import verifier
from cordon_server.audit.personal import is_due, key_name
from cordon_server.domain import StorageDamaged
from cordon_server.store.keyring import Label
from tests.unit.server.acts_kept import an_act, an_audit_log, exported
from tests.unit.server.rooms import NOON, Clock, open_keyring


async def test_personal_parts_are_sealed_and_gone_with_their_key_while_the_record_stays_whole(
    tmp_path: Path,
) -> None:
    clock = Clock()
    async with an_audit_log(tmp_path, clock) as audit:
        await audit.record(an_act(1, deployment_id="market", person="anna", justification="lost"))
        await audit.record(an_act(2, person="bert"))
        before = await exported(audit)
        stored = b"".join(path.read_bytes() for path in (tmp_path / "data").rglob("*.mdb"))
        assert b"anna" not in b"".join(before) + stored
        assert b"bert" not in b"".join(before) + stored

        clock.advance(days=184)
        assert await audit.forget() == []
        clock.advance(days=31)
        assert await audit.forget() == ["deployment.market.2026-06", "site.2026-06"]

        leaves = await audit.page(0, 10)
        assert [audit.personal(leaf) for leaf in leaves] == [{}, None, None]
        assert verifier.verify(await exported(audit), audit.vkey).is_whole
    assert open_keyring(tmp_path).names(Label.AUDIT) == []


def test_a_key_is_kept_for_its_time_after_its_month() -> None:
    name = key_name("market", NOON.replace(month=12))
    kept_for = timedelta(days=10)

    assert name == "deployment.market.2026-12"
    assert not is_due(name, NOON.replace(year=2027, month=1, day=10), kept_for)
    assert is_due(name, NOON.replace(year=2027, month=1, day=11, hour=0), kept_for)


async def test_personal_parts_are_bound_to_their_leaf(tmp_path: Path) -> None:
    async with an_audit_log(tmp_path) as audit:
        await audit.record(an_act(1, person="anna"))
        await audit.record(an_act(2, person="bert"))
        _, one, two = await audit.page(0, 3)

        with pytest.raises(StorageDamaged, match="not what was sealed"):
            audit.personal(replace(two, sealed=one.sealed))


async def test_the_length_of_what_is_sealed_does_not_tell_who_it_was(tmp_path: Path) -> None:
    async with an_audit_log(tmp_path) as audit:
        await audit.record(an_act(1, person="ab"))
        await audit.record(an_act(1, person="a-much-longer-name"))
        leaves = await audit.page(1, 2)

    lengths = {len(leaf.sealed.data) for leaf in leaves if leaf.sealed}
    assert len(lengths) == 1
