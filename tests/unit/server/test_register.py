from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import Executor
from pathlib import Path

import pytest

from cordon_server.domain import NotFound, NotReady, Unauthenticated
from cordon_server.identity.peers import check_honoured
from cordon_server.identity.register import KEPT_FOR, CertificateRecord, CertificateRegister
from tests.unit.server.machines import DESK, NORTH, OFFICE, MachineRoom, peer_of
from tests.unit.server.rooms import Clock


@pytest.fixture
async def room(tmp_path: Path, writer: Executor, clock: Clock) -> AsyncIterator[MachineRoom]:
    room = MachineRoom(tmp_path / "registry", writer, clock)
    yield room
    await room.registry.close()


async def records(register: CertificateRegister, spiffe_id: str = "") -> list[CertificateRecord]:
    return [record for _, record in await register.page(b"", 1000, spiffe_id)]


async def test_every_certificate_is_on_record_in_the_order_of_issue(room: MachineRoom) -> None:
    issued = []
    for spiffe_id in (DESK, OFFICE, DESK):
        issued.append(await room.issue(spiffe_id))
        room.clock.advance(seconds=1)

    found = await records(room.register)

    assert [record.sha256 for record in found] == [each.sha256 for each in issued]
    assert [record.spiffe_id for record in found] == [str(DESK), str(OFFICE), str(DESK)]
    peer = peer_of(issued[0])
    assert (found[0].sha256, int(found[0].serial, 16)) == (peer.sha256, peer.serial)
    assert (found[0].issued_by, found[0].expire_time) == (str(OFFICE), peer.not_after)


async def test_pages_follow_each_other_and_may_be_of_one_identity(room: MachineRoom) -> None:
    for spiffe_id in (DESK, OFFICE) * 3:
        await room.issue(spiffe_id)

    first = await room.register.page(b"", 2, str(DESK))
    rest = await room.register.page(first[-1][0], 2, str(DESK))

    assert [record for _, record in first + rest] == await records(room.register, str(DESK))
    assert len(first + rest) == 3


async def test_a_revoked_certificate_is_denied_by_fingerprint_and_by_serial(
    room: MachineRoom,
) -> None:
    peer, other = peer_of(await room.issue()), peer_of(await room.issue())

    (revoked,) = await room.register.revoke(sha256=peer.sha256, dry_run=False)

    assert revoked.revoke_time == room.clock.now
    assert room.register.denies(peer)
    assert not room.register.denies(other)
    for like in (
        {"sha256": peer.sha256, "serial": other.serial},
        {"sha256": other.sha256, "serial": peer.serial},
    ):
        looks = type(peer)(peer.spiffe_id, peer.not_before, peer.not_after, **like)  # type: ignore[arg-type]  # one text, one number
        assert room.register.denies(looks)
        with pytest.raises(Unauthenticated, match="was revoked") as refused:
            check_honoured(looks, room.clock(), room.register)
        assert refused.value.reason == "CERTIFICATE_REVOKED"


async def test_all_certificates_of_an_identity_are_revoked_together(room: MachineRoom) -> None:
    peers = [peer_of(await room.issue()) for _ in range(3)]
    other = peer_of(await room.issue(OFFICE))

    revoked = await room.register.revoke(spiffe_id=str(DESK), dry_run=False)

    assert {record.sha256 for record in revoked} == {peer.sha256 for peer in peers}
    assert all(room.register.denies(peer) for peer in peers)
    assert not room.register.denies(other)


async def test_what_was_revoked_stays_so_after_a_restart(room: MachineRoom) -> None:
    peer, other = peer_of(await room.issue()), peer_of(await room.issue())
    await room.register.revoke(sha256=peer.sha256, dry_run=False)

    restarted = room.new_register()

    assert restarted.denies(peer)
    assert not restarted.denies(other)


async def test_a_trial_denies_nobody(room: MachineRoom) -> None:
    peer = peer_of(await room.issue())

    assert len(await room.register.revoke(sha256=peer.sha256, dry_run=True)) == 1

    assert not room.register.denies(peer)
    assert (await records(room.register))[0].revoke_time is None


async def test_what_is_not_on_record_or_over_cannot_be_revoked(room: MachineRoom) -> None:
    issued = await room.issue(hours=1)
    with pytest.raises(NotFound, match="cordon admin cert list"):
        await room.register.revoke(sha256="ab" * 32, dry_run=False)
    with pytest.raises(NotFound, match="no certificate of spiffe://"):
        await room.register.revoke(spiffe_id=str(NORTH), dry_run=False)
    await room.register.revoke(sha256=issued.sha256, dry_run=False)
    with pytest.raises(NotReady, match="nothing is left to do"):
        await room.register.revoke(sha256=issued.sha256, dry_run=False)
    expired = await room.issue(hours=1)
    room.clock.advance(hours=2)
    with pytest.raises(NotReady, match="has expired or is revoked already"):
        await room.register.revoke(sha256=expired.sha256, dry_run=False)
    with pytest.raises(NotReady, match="has expired or is revoked already"):
        await room.register.revoke(spiffe_id=str(DESK), dry_run=False)


async def test_records_are_forgotten_long_after_their_certificates_end(room: MachineRoom) -> None:
    await room.issue(hours=1)
    room.clock.advance(days=KEPT_FOR.days)
    kept = await room.issue(hours=1)
    assert len(await records(room.new_register())) == 2

    room.clock.advance(hours=2)

    assert [each.sha256 for each in await records(room.new_register())] == [kept.sha256]
    with pytest.raises(NotReady):
        await room.register.revoke(sha256=kept.sha256, dry_run=False)
