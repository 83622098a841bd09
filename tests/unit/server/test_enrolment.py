from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cordon_server.domain import LimitReached, NotFound, NotReady, StorageFull, Unauthenticated
from cordon_server.identity import enrolment
from cordon_server.identity.enrolment import (
    ENROLMENTS,
    PREFIX,
    TOKEN_LIFE,
    Token,
    read_token,
    write_token,
)
from cordon_server.identity.issuance import Issued
from cordon_server.identity.names import SpiffeId
from cordon_server.store.environment import Transaction
from tests.unit.server.machines import (
    DESK,
    NORTH,
    OFFICE,
    MachineRoom,
    a_public_key,
    an_authority,
    peer_of,
)
from tests.unit.server.rooms import Clock


@pytest.fixture
async def room(tmp_path: Path, writer: Executor, clock: Clock) -> AsyncIterator[MachineRoom]:
    room = MachineRoom(tmp_path / "registry", writer, clock)
    await room.cameras.create("north", "", dry_run=False)
    yield room
    await room.registry.close()


async def a_token(room: MachineRoom, spiffe_id: SpiffeId = NORTH) -> Token:
    token = await room.enrolments.create(spiffe_id, created_by=str(OFFICE), dry_run=False)
    assert token is not None
    return token


async def spend(room: MachineRoom, token: str) -> Issued:
    return await room.enrolments.spend(token, a_public_key())


async def refused(room: MachineRoom, token: str) -> str:
    """Why a token is refused; nothing was issued for it."""
    before = len(await room.register.page(b"", 1000))
    with pytest.raises(Unauthenticated) as caught:
        await spend(room, token)
    assert len(await room.register.page(b"", 1000)) == before
    return caught.value.reason


async def test_a_token_becomes_the_certificate_of_its_machine(room: MachineRoom) -> None:
    token = await a_token(room)
    key = a_public_key()

    issued = await room.enrolments.spend(token.text, key)

    assert peer_of(issued).spiffe_id == NORTH
    assert issued.not_after == room.clock() + timedelta(hours=24)
    ((_, record),) = await room.register.page(b"", 10)
    assert (record.sha256, record.issued_by) == (issued.sha256, str(OFFICE))


async def test_a_workstation_gets_thirty_days(room: MachineRoom) -> None:
    issued = await spend(room, (await a_token(room, DESK)).text)

    assert peer_of(issued).spiffe_id == DESK
    assert issued.not_after == room.clock() + timedelta(days=30)


async def test_a_token_carries_the_roots_fingerprint_and_256_bits_that_the_server_forgets(
    room: MachineRoom,
) -> None:
    token = await a_token(room)

    raw = base64.urlsafe_b64decode(token.text.removeprefix(PREFIX) + "==")

    assert raw[:32] == an_authority().root_sha256
    assert len(raw[32:]) == 32
    assert token.expire_time == room.clock() + TOKEN_LIFE == room.clock() + timedelta(minutes=15)
    kept = (room.registry.folder / "data.mdb").read_bytes()
    assert raw[32:] not in kept
    assert token.text.encode() not in kept
    assert hashlib.sha256(raw[32:]).digest() in kept


async def test_of_fifty_that_use_one_token_at_once_one_gets_a_certificate(
    room: MachineRoom,
) -> None:
    token = await a_token(room)

    answers = await asyncio.gather(
        *(spend(room, token.text) for _ in range(50)), return_exceptions=True
    )

    won = [each for each in answers if isinstance(each, Issued)]
    lost = [each for each in answers if isinstance(each, Unauthenticated)]
    assert (len(won), len(lost)) == (1, 49)
    assert {error.reason for error in lost} == {"TOKEN_SPENT"}
    ((_, record),) = await room.register.page(b"", 1000)
    assert record.sha256 == won[0].sha256


async def test_a_replayed_token_is_refused(room: MachineRoom) -> None:
    token = await a_token(room)
    await spend(room, token.text)

    assert await refused(room, token.text) == "TOKEN_SPENT"


@pytest.mark.parametrize(("minutes", "is_good"), [(14.9, True), (15, False), (-1, False)])
async def test_a_token_holds_for_a_quarter_of_an_hour(
    room: MachineRoom, minutes: float, is_good: bool
) -> None:
    token = await a_token(room)
    room.clock.advance(minutes=minutes)

    if is_good:
        assert await spend(room, token.text)
    else:
        assert await refused(room, token.text) == "TOKEN_EXPIRED"


async def test_the_newest_token_of_a_machine_voids_those_before_it(room: MachineRoom) -> None:
    first, other, second = await a_token(room), await a_token(room, DESK), await a_token(room)

    assert await refused(room, first.text) == "TOKEN_UNKNOWN"
    assert peer_of(await spend(room, second.text)).spiffe_id == NORTH
    assert peer_of(await spend(room, other.text)).spiffe_id == DESK


async def test_anothers_token_never_makes_this_machine(room: MachineRoom) -> None:
    await room.cameras.create("south", "", dry_run=False)
    token = await a_token(room, SpiffeId(NORTH.site, NORTH.role, "south"))

    # Whoever spends it becomes whom it was made for, whatever he calls himself.
    assert peer_of(await spend(room, token.text)).spiffe_id.name == "south"


async def test_a_camera_has_to_be_registered_and_not_revoked_to_the_end(room: MachineRoom) -> None:
    with pytest.raises(NotFound):
        await a_token(room, SpiffeId(NORTH.site, NORTH.role, "nowhere"))
    token = await a_token(room)
    await room.cameras.revoke("north", dry_run=False)

    with pytest.raises(NotReady, match="is revoked"):
        await spend(room, token.text)
    with pytest.raises(NotReady, match="is revoked"):
        await a_token(room)
    assert await room.register.page(b"", 1000) == []


async def test_a_token_is_not_spent_when_its_certificate_cannot_be_recorded(
    room: MachineRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await a_token(room)

    def full(*_: object) -> None:
        raise StorageFull("there is no room left")

    with monkeypatch.context() as patched:
        patched.setattr(Transaction, "put", full)
        with pytest.raises(StorageFull):
            await spend(room, token.text)

    assert peer_of(await spend(room, token.text)).spiffe_id == NORTH


async def test_a_trial_makes_no_token(room: MachineRoom) -> None:
    assert await room.enrolments.create(NORTH, created_by="", dry_run=True) is None

    assert await room.registry.read(lambda txn: txn.count(ENROLMENTS)) == 0


async def test_tokens_are_bounded_and_old_ones_make_room(
    room: MachineRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enrolment, "TOKENS_MAX", 3)
    machines = [SpiffeId(DESK.site, DESK.role, f"desk-{n}") for n in range(4)]
    for machine in machines[:3]:
        await a_token(room, machine)
    with pytest.raises(LimitReached, match="3 enrolment tokens"):
        await a_token(room, machines[3])

    room.clock.advance(days=1, minutes=16)

    assert await a_token(room, machines[3])


async def test_a_token_of_another_site_is_refused(room: MachineRoom) -> None:
    foreign = write_token(hashlib.sha256(b"another root").digest(), b"s" * 32)

    assert await refused(room, foreign) == "TOKEN_UNKNOWN"


async def test_a_forged_secret_is_refused(room: MachineRoom) -> None:
    await a_token(room)
    forged = write_token(an_authority().root_sha256, b"s" * 32)

    assert await refused(room, forged) == "TOKEN_UNKNOWN"


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_tokens_are_read_as_they_are_written(root: bytes, secret: bytes) -> None:
    assert read_token(write_token(root, secret), root) == secret


@given(st.text(max_size=120) | st.text("cordn1.AZaz09-_=", max_size=120).map(PREFIX.__add__))
def test_any_text_is_a_token_of_this_site_or_refused(text: str) -> None:
    with pytest.raises(Unauthenticated):
        read_token(text, an_authority().root_sha256)
