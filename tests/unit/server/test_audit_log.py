"""The audit log: what is acknowledged is there, signed, and can be proven."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import pytest

from cordon_admin import verifier
from cordon_server.acts import Act, AuditClass
from cordon_server.audit import newest, record
from cordon_server.audit.log import AuditLog
from cordon_server.domain import InvalidInput, NotRecorded, StorageDamaged, StorageFull
from cordon_server.store.environment import Environment, Transaction
from tests.unit.server.acts_kept import an_act, an_audit_log, exported
from tests.unit.server.rooms import NOON, Clock


@pytest.mark.serves("R12")
async def test_what_is_recorded_can_be_read_back_and_verified(tmp_path: Path) -> None:
    async with an_audit_log(tmp_path) as audit:
        index = await audit.record(an_act(7, deployment_id="market", person="anna"))

        (leaf,) = await audit.page(index, 10)
        verdict = verifier.verify(await exported(audit), audit.vkey)

    assert (leaf.index, leaf.time, leaf.kind) == (1, NOON, AuditClass.ALTERATION)
    assert (leaf.action, leaf.deployment_id) == ("watchlist.enrolled", "market")
    assert leaf.resource == "deployments/market"
    assert leaf.machine == "spiffe://north.example/admin/first"
    assert leaf.facts == {"number": 7, "share": 0.25, "trial": False}
    assert audit.personal(leaf) == {"person": "anna"}
    assert verdict.is_whole, verdict.fault
    assert verdict.leaves == 2


async def test_many_at_once_cost_few_syncs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with an_audit_log(tmp_path) as audit:
        syncs = 0
        write_now = Environment.write_now

        def counted(environment: Environment, act: object) -> object:
            nonlocal syncs
            syncs += 1
            return write_now(environment, act)  # type: ignore[arg-type]  # whatever it is

        monkeypatch.setattr(Environment, "write_now", counted)

        indices = await asyncio.gather(*(audit.record(an_act(n)) for n in range(100)))

        assert syncs <= 3
        assert indices == list(range(1, 101))
        leaves = await audit.page(1, 100)
    assert [leaf.facts["number"] for leaf in leaves] == list(range(100))


async def test_who_is_cancelled_takes_nobody_with_him(tmp_path: Path) -> None:
    async with an_audit_log(tmp_path) as audit:
        first = asyncio.create_task(audit.record(an_act(0)))
        others = [asyncio.create_task(audit.record(an_act(n))) for n in range(1, 5)]
        await asyncio.sleep(0)
        first.cancel()
        others[1].cancel()
        done = await asyncio.gather(*others, return_exceptions=True)

        numbers = [leaf.facts["number"] for leaf in await audit.page(1, 10)]

    assert isinstance(done[1], asyncio.CancelledError)
    assert all(isinstance(done[at], int) for at in (0, 2, 3))
    assert {1, 3, 4} <= set(numbers)
    assert len(numbers) == len(set(numbers))


@pytest.mark.serves("R12")
async def test_a_full_record_refuses_the_act_and_keeps_what_was_acknowledged(
    tmp_path: Path,
) -> None:
    async with an_audit_log(tmp_path, size_bytes_max=256 * 2**10) as audit:
        acknowledged = await _fill(audit)

        with pytest.raises(NotRecorded, match=r"free disk space or raise storage\.size_bytes_max"):
            await audit.record(an_act(0, note="x" * 2000))
        leaves = await audit.page(0, 10_000)
    assert len(leaves) == acknowledged + 1 > 20


async def test_facts_that_json_has_no_number_for_are_refused_alone(tmp_path: Path) -> None:
    async with an_audit_log(tmp_path) as audit:
        bad = Act(AuditClass.NONE, "test.bad", facts={"score": float("nan")})
        done = await asyncio.gather(
            audit.record(bad), audit.record(an_act()), return_exceptions=True
        )

        assert isinstance(done[0], ValueError)
        assert done[1] == 1


async def test_times_on_record_never_go_back_and_the_clock_that_did_is_on_record(
    tmp_path: Path,
) -> None:
    clock = Clock()
    async with an_audit_log(tmp_path, clock) as audit:
        clock.advance(hours=1)
        await audit.record(an_act(1))
        clock.advance(hours=-3)
        await audit.record(an_act(2))
        clock.advance(hours=4)
        await audit.record(an_act(3))

        _, one, two, three = await audit.page(0, 10)
        assert verifier.verify(await exported(audit)).is_whole
    hour = timedelta(hours=1)
    assert (one.time, one.clock) == (NOON + hour, None)
    assert (two.time, two.clock) == (NOON + hour, NOON - 2 * hour)
    assert (three.time, three.clock) == (NOON + 2 * hour, None)


async def test_nothing_is_on_record_before_the_checkpoint_ahead_of_it(tmp_path: Path) -> None:
    clock = Clock()
    async with an_audit_log(tmp_path, clock) as audit:
        await audit.record(an_act(1))
        clock.advance(hours=2)
        await audit.checkpoint()
        clock.advance(hours=-1)
        await audit.record(an_act(2))

        (leaf,) = await audit.page(2, 1)
        assert verifier.verify(await exported(audit)).is_whole
    assert (leaf.time, leaf.clock) == (NOON + timedelta(hours=2), NOON + timedelta(hours=1))


async def test_what_is_not_on_record_cannot_be_proven(tmp_path: Path) -> None:
    async with an_audit_log(tmp_path) as audit:
        with pytest.raises(InvalidInput, match="a record of 1 leaves has no leaf 1") as index:
            await audit.inclusion(1)
        with pytest.raises(InvalidInput, match="2 leaves are no beginning of 1") as size:
            await audit.consistency(2)

    assert (index.value.field, size.value.field) == ("index", "first_size")


async def test_the_record_is_signed_every_hundred_leaves_and_at_each_change_of_state(
    tmp_path: Path,
) -> None:
    async with an_audit_log(tmp_path) as audit:
        for number in range(1, 105):
            await audit.record(an_act(number))
        await audit.record(an_act(0, deployment_id="market", action="deployment.counts"))
        await audit.record(an_act(0, deployment_id="market", action="deployment.armed"))

        sizes = await audit._environment.read(
            lambda txn: [each.size for each, _ in record.checkpoints(txn, 0, 10)]
        )
    assert sizes == [1, 100, 107]


async def test_a_grown_record_is_signed_every_minute_and_one_that_rests_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cordon_server.audit.log.CHECKPOINT_S", 0.01)
    async with an_audit_log(tmp_path) as audit, asyncio.TaskGroup() as tasks:
        await audit.record(an_act(1))
        running = tasks.create_task(audit.run())
        while verifier.read_note(
            (tmp_path / "kept" / newest.NEWEST_FILE).read_text(), verifier.read_key(audit.vkey)
        ) != verifier.Checkpoint(
            "north.example/cordon-audit", 2, await _root(audit._environment, 2), 2, _text(NOON)
        ):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        running.cancel()
        lines = await exported(audit)
    assert sum(b'{"checkpoint"' in line for line in lines) == 2


async def test_an_older_checkpoint_does_not_take_the_place_of_the_newest(tmp_path: Path) -> None:
    async with an_audit_log(tmp_path) as audit:
        await audit.record(an_act(1))
        older = await audit.checkpoint()
        await audit.record(an_act(2))
        newer = await audit.checkpoint()

        audit._keep(older)

        assert (tmp_path / "kept" / newest.NEWEST_FILE).read_text() == newer


async def test_a_full_disk_does_not_end_what_signs_every_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = asyncio.Semaphore(0)

    async def full(self: AuditLog) -> list[str]:
        tried.release()
        raise StorageFull("the keyring cannot be written")

    monkeypatch.setattr("cordon_server.audit.log.CHECKPOINT_S", 0.01)
    monkeypatch.setattr(AuditLog, "forget", full)
    async with an_audit_log(tmp_path) as audit, asyncio.TaskGroup() as tasks:
        running = tasks.create_task(audit.run())
        for _ in range(3):
            await tried.acquire()
        running.cancel()


async def test_every_leaf_and_every_older_record_can_be_proven(tmp_path: Path) -> None:
    async with an_audit_log(tmp_path) as audit:
        for number in range(20):
            await audit.record(an_act(number))
        lines = await exported(audit)
        leaves = [line[8:-2] for line in lines if line.startswith(b'{"leaf"')]
        key = verifier.read_key(audit.vkey)

        for index, content in enumerate(leaves):
            proof = await audit.inclusion(index)
            now = verifier.read_note(proof.checkpoint, key)
            assert verifier.is_included(content, index, now.size, proof.hashes, now.root)
        for size in range(1, 22):
            proof = await audit.consistency(size)
            old = await _root(audit._environment, size)
            assert verifier.is_consistent(size, old, now.size, now.root, proof.hashes)


async def test_a_leaf_that_is_missing_is_said_to_be(tmp_path: Path) -> None:
    async with an_audit_log(tmp_path) as audit:
        await audit.record(an_act())
        await audit._environment.write(lambda txn: txn.delete(record.LEAVES, bytes(8)))

        with pytest.raises(StorageDamaged, match="leaf 0 of the audit record is missing"):
            await audit.page(0, 10)


async def test_an_export_of_a_record_with_a_changed_checkpoint_ends(tmp_path: Path) -> None:
    def enlarge(txn: Transaction) -> None:
        ((_, note),) = record.checkpoints(txn, 0, 10)
        changed = note.replace("\n1\n", "\n7\n", 1)
        txn.put(record.CHECKPOINTS, (1).to_bytes(8, "big"), changed.encode())

    async with an_audit_log(tmp_path) as audit:
        await audit._environment.write(enlarge)
        await audit.record(an_act())

        with pytest.raises(StorageDamaged, match=r"a checkpoint .* is missing or was changed"):
            async with asyncio.timeout(30):
                await exported(audit)


async def test_a_page_of_one_deployment_holds_its_leaves_alone(tmp_path: Path) -> None:
    async with an_audit_log(tmp_path) as audit:
        for number in range(6):
            await audit.record(an_act(number, deployment_id=("market", "market-2")[number % 2]))

        first = await audit.page(0, 2, "market")
        rest = await audit.page(first[-1].index + 1, 10, "market")

    assert [leaf.facts["number"] for leaf in (*first, *rest)] == [0, 2, 4]


async def test_an_export_of_several_pages_is_one_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cordon_server.audit.log.PAGE", 3)
    async with an_audit_log(tmp_path) as audit:
        for number in range(17):
            action = "deployment.armed" if number % 5 == 0 else "match.raised"
            await audit.record(an_act(number, deployment_id="market", action=action))
        lines = await exported(audit)

    verdict = verifier.verify(lines, audit.vkey)
    assert verdict.is_whole, verdict.fault
    assert (verdict.leaves, verdict.checkpoints) == (18, 6)


async def test_a_leaf_has_the_fields_that_the_record_must_have(tmp_path: Path) -> None:
    async with an_audit_log(tmp_path) as audit:
        await audit.record(an_act(1, deployment_id="market", person="anna"))
        lines = await exported(audit)

    leaf = json.loads(lines[-2])["leaf"]
    assert set(leaf) == set(verifier.LEAF_FIELDS) | {"sealed"}
    assert {kind.value for kind in AuditClass} == verifier.KINDS


async def _fill(audit: AuditLog) -> int:
    """How many acts there was room for."""
    acknowledged = 0
    while True:
        try:
            await audit.record(an_act(acknowledged, note="x" * 2000))
        except NotRecorded:
            return acknowledged
        acknowledged += 1


async def _root(environment: Environment, size: int) -> bytes:
    def act(txn: Transaction) -> bytes:
        return record.root_at(txn, size)

    return await environment.read(act)


def _text(moment: object) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S.%fZ}"
