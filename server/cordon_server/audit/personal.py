"""What in the record is about people: sealed before it is hashed, under keys that are kept apart.

Without its key a leaf's personal parts cannot be read by anyone, and the record stays whole: what
is hashed is the ciphertext. Each deployment has its own key for each month, and so has what
concerns no deployment (`site`): a key's name says when it is to go. They lie in the site's keyring.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cordon_server.audit.leaves import Leaf, Sealed, canonical, encode
from cordon_server.domain import StorageDamaged
from cordon_server.store.keyring import Keyring, Label

PADDED_TO = 64
"""Personal parts are filled up to a multiple of this, or their length would say who it was."""
KEPT_FOR_MIN = timedelta(days=184)
"""Regulation (EU) 2024/1689, Article 26(6): logs are kept for six months at least."""
NONCE_BYTES = 12
_SITE = "site"


def key_name(deployment_id: str, now: datetime) -> str:
    """Under which key an act of now is sealed: `site.2026-11`, `deployment.NAME.2026-11`."""
    scope = f"deployment.{deployment_id}" if deployment_id else _SITE
    return f"{scope}.{now.astimezone(UTC):%Y-%m}"


def is_due(name: str, now: datetime, kept_for: timedelta) -> bool:
    """Whether a key is to be erased: its month has been over for the time that it is kept."""
    year, month = map(int, name.rsplit(".", 1)[1].split("-"))
    over = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    return now >= over + kept_for


def seal(leaf: Leaf, personal: Mapping[str, str], keyring: Keyring | None) -> Leaf:
    """The leaf with its personal parts sealed, bound to everything else in it; without a keyring
    there must be none. Raises `StorageFull` where a new key has no room."""
    if not personal:
        return leaf
    assert keyring is not None, "what is personal needs a key"
    name = key_name(leaf.deployment_id, leaf.time)
    nonce = secrets.token_bytes(NONCE_BYTES)
    plain = canonical(dict(personal))
    padded = plain + b" " * (-len(plain) % PADDED_TO)
    data = AESGCM(keyring.get_or_make(Label.AUDIT, name)).encrypt(nonce, padded, _rest(leaf))
    return replace(leaf, sealed=Sealed(name, nonce.hex(), data.hex()))


def unseal(leaf: Leaf, keyring: Keyring) -> dict[str, str] | None:
    """The personal parts of a leaf; None when their key is gone. Raises `StorageDamaged` when they
    are not what was sealed with this leaf."""
    if leaf.sealed is None:
        return {}
    key = keyring.get(Label.AUDIT, leaf.sealed.key)
    if key is None:
        return None
    nonce, data = bytes.fromhex(leaf.sealed.nonce), bytes.fromhex(leaf.sealed.data)
    try:
        personal: dict[str, str] = json.loads(AESGCM(key).decrypt(nonce, data, _rest(leaf)))
    except (InvalidTag, ValueError) as error:
        raise StorageDamaged(
            f"the personal parts of leaf {leaf.index} of the audit record are not what was sealed; "
            "export the record and verify it: cordon admin audit verify FILE"
        ) from error
    return personal


def _rest(leaf: Leaf) -> bytes:
    return encode(replace(leaf, sealed=None))
