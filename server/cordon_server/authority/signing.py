"""Ed25519 signatures of authorising officers: verified here, made on their own machines."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from cordon_server.authority.content import SIGNED_PREFIX

PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64


def is_signed(digest: bytes, signature: bytes, public_key: bytes) -> bool:
    """Whether the key's owner signed an authority over this digest; False for what is no key."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, SIGNED_PREFIX + digest)
    except (InvalidSignature, ValueError):
        return False
    return True
