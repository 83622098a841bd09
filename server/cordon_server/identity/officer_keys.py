"""The signing keys of authorising officers: the public halves, of which each has one. Knows not
what is signed with them.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from cordon_server.domain import InvalidInput, NotFound
from cordon_server.identity.names import PersonRole
from cordon_server.identity.users import UserState, find_user
from cordon_server.store.environment import Environment, Table, Transaction

POSSESSION_PREFIX = b"cordon.v1.SigningKey\n"
_P = 2**255 - 19
_SMALL_ORDER = frozenset(
    {
        *(point.to_bytes(32, "little") for point in (0, 1, _P - 1, _P, _P + 1)),
        bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
        bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    }
)
"""Points under which anybody can sign something, by their coordinate (the list of libsodium's
ge25519_has_small_order)."""


class OfficerKeyRecord(msgspec.Struct, frozen=True):
    """An officer's key."""

    user_id: str
    public_key: bytes
    machine: str
    """Where it was registered from."""
    create_time: datetime


OFFICER_KEYS = Table("officer_keys", OfficerKeyRecord)
"""By user id."""


class OfficerKeys:
    """Keeps the keys."""

    def __init__(self, registry: Environment, *, clock: Callable[[], datetime]) -> None:
        self._registry = registry
        self._clock = clock

    async def register(
        self, user_id: str, machine: str, public_key: bytes, signature: bytes, *, dry_run: bool
    ) -> OfficerKeyRecord:
        """Puts a key on record in the place of the one before.

        Raises `InvalidInput` for what is no key, or a key that another person has already, or one
        whose other half the caller has not shown to have.
        """
        _check_possession(user_id, public_key, signature)
        record = OfficerKeyRecord(user_id, public_key, machine, self._clock())

        def act(txn: Transaction) -> OfficerKeyRecord:
            if find_user(txn, user_id) is None:
                raise NotFound(f"there is no user {user_id}; see: cordon admin user list")
            for _, other in txn.scan(OFFICER_KEYS):
                if other.public_key == public_key and other.user_id != user_id:
                    raise InvalidInput(
                        "this key is another person's; make one of your own: "
                        "cordon admin signing-key make",
                        field="public_key",
                        reason="KEY_TAKEN",
                    )
            if not dry_run:
                txn.put(OFFICER_KEYS, user_id.encode(), record)
            return record

        return await self._registry.write(act)

    def find(self, user_id: str) -> bytes | None:
        """The key of an authorising officer who may sign now; None for anybody else. Read in place:
        it takes microseconds."""

        def act(txn: Transaction) -> bytes | None:
            user = find_user(txn, user_id)
            if user is None or user.state is not UserState.ACTIVE:
                return None
            if PersonRole.AUTHORISING_OFFICER not in user.roles:
                return None
            record = txn.get(OFFICER_KEYS, user_id.encode())
            return record.public_key if record else None

        return self._registry.read_now(act)


def _check_possession(user_id: str, public_key: bytes, signature: bytes) -> None:
    coordinate = public_key[:-1] + bytes([public_key[-1] & 0x7F])
    if coordinate in _SMALL_ORDER:
        raise InvalidInput(
            "public_key is one that anybody can sign under; make one with: "
            "cordon admin signing-key make",
            field="public_key",
        )
    signed = POSSESSION_PREFIX + f"users/{user_id}".encode()
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, signed)
    except ValueError as error:
        raise InvalidInput(
            "public_key must be an Ed25519 public key of 32 bytes", field="public_key"
        ) from error
    except InvalidSignature as error:
        raise InvalidInput(
            "the signature is not by this key over this user's name; make the key with: "
            "cordon admin signing-key make",
            field="signature",
            reason="SIGNATURE_WRONG",
        ) from error
