from __future__ import annotations

import hashlib
from concurrent.futures import Executor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cordon_server.domain import StorageDamaged
from cordon_server.store.environment import Environment, Table
from cordon_server.store.sealing import NONCE_BYTES, TAG_BYTES, DeploymentSealer, Sealer

KEY = bytes(range(32))
PICTURES = Table("pictures", bytes)
VALUE = b"\xff\xd8\xff\xe0 a face"


def a_sealer(key: bytes = KEY, model_id: str = "model-1") -> DeploymentSealer:
    return DeploymentSealer(key, model_id=model_id)


def an_environment(
    folder: Path, writer: Executor, sealer: Sealer, *tables: Table[bytes]
) -> Environment:
    return Environment(
        folder, tables or (PICTURES,), size_bytes_max=2**24, sealer=sealer, writer=writer
    )


@given(st.binary(), st.binary(max_size=500))
def test_what_was_sealed_comes_back_and_is_written_as_nothing_of_itself(
    value: bytes, key: bytes
) -> None:
    place = PICTURES.place(key)

    sealed = a_sealer().seal(place, value)

    assert a_sealer().unseal(place, sealed) == value
    assert len(sealed) == NONCE_BYTES + len(value) + TAG_BYTES
    assert sealed != a_sealer().seal(place, value)  # another nonce each time


@pytest.mark.serves("R2")
@pytest.mark.parametrize(
    "elsewhere",
    [
        (a_sealer(bytes(32)), PICTURES.place(b"k")),
        (a_sealer(model_id="model-2"), PICTURES.place(b"k")),
        (a_sealer(), PICTURES.place(b"l")),
        (a_sealer(), Table("faces", bytes).place(b"k")),
        (a_sealer(), Table("pictures", bytes, 2).place(b"k")),
        (a_sealer(), Table("picturesk", bytes).place(b"")),
    ],
    ids=["key", "model", "record key", "table", "version", "name and key run together"],
)
def test_a_value_opens_only_where_it_was_sealed(elsewhere: tuple[Sealer, bytes]) -> None:
    sealed = a_sealer().seal(PICTURES.place(b"k"), VALUE)
    sealer, place = elsewhere

    with pytest.raises(StorageDamaged, match="is not what was written there"):
        sealer.unseal(place, sealed)


@given(st.integers(min_value=0), st.integers(1, 255))
def test_a_changed_byte_opens_nothing(at: int, by: int) -> None:
    place = PICTURES.place(b"k")
    sealed = bytearray(a_sealer().seal(place, VALUE))
    sealed[at % len(sealed)] ^= by

    with pytest.raises(StorageDamaged):
        a_sealer().unseal(place, bytes(sealed))


@pytest.mark.parametrize("stored", [b"", b"short", bytes(NONCE_BYTES), bytes(NONCE_BYTES + 1)])
def test_what_is_too_short_to_be_sealed_is_damage(stored: bytes) -> None:
    with pytest.raises(StorageDamaged):
        a_sealer().unseal(PICTURES.place(b"k"), stored)


def test_a_digest_tells_who_has_the_picture_nothing() -> None:
    ours, others = a_sealer(), a_sealer(bytes(32))

    assert ours.digest(VALUE) == a_sealer().digest(VALUE)
    assert len({ours.digest(VALUE), others.digest(VALUE), hashlib.sha256(VALUE).digest()}) == 3


@pytest.mark.serves("R2")
async def test_a_database_file_shows_nothing_of_its_values(
    tmp_path: Path, writer: Executor
) -> None:
    environment = an_environment(tmp_path / "sealed", writer, a_sealer())
    await environment.write(lambda txn: txn.put(PICTURES, b"k", VALUE * 500))

    assert await environment.read(lambda txn: txn.get(PICTURES, b"k")) == VALUE * 500
    assert [value for _, value in environment.read_now(lambda txn: list(txn.scan(PICTURES)))]
    await environment.close()
    assert VALUE not in (tmp_path / "sealed" / "data.mdb").read_bytes()


async def test_a_value_moved_within_its_database_is_damage(
    tmp_path: Path, writer: Executor
) -> None:
    class Moving(DeploymentSealer):
        """Hands out what is stored under another key."""

        def unseal(self, place: bytes, stored: bytes) -> bytes:
            return super().unseal(PICTURES.place(b"other"), stored)

    environment = an_environment(tmp_path / "sealed", writer, Moving(KEY, model_id="model-1"))
    await environment.write(lambda txn: txn.put(PICTURES, b"k", VALUE))

    with pytest.raises(StorageDamaged):
        await environment.read(lambda txn: txn.get(PICTURES, b"k"))
    await environment.close()
