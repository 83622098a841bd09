"""HTTP and RTSP sign-in: Basic and Digest (MD5), the two that cameras and libavformat share."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence

_PART = re.compile(r'(\w+)\s*=\s*(?:"([^"]*)"|([^\s,]+))')


def schemes_offered(challenges: Sequence[str]) -> str:
    """The names of the kinds of authentication that a camera asks for, "Digest, Basic"."""
    return ", ".join(dict.fromkeys(c.split(" ", 1)[0] for c in challenges if c))


def authorization(
    challenges: Sequence[str], user: str, password: str, method: str, target: str
) -> str | None:
    """The Authorization header for the best challenge; None where none is supported."""
    for challenge in challenges:
        scheme, _, parameters = challenge.partition(" ")
        parts = {m[1].lower(): m[2] or m[3] or "" for m in _PART.finditer(parameters)}
        if scheme.lower() == "digest" and parts.get("algorithm", "MD5").upper() == "MD5":
            return _digest(parts, user, password, method, target)
    if any(c.split(" ", 1)[0].lower() == "basic" for c in challenges):
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    return None


def _digest(parts: dict[str, str], user: str, password: str, method: str, target: str) -> str:
    """RFC 2617, 3.2.2, with quality of protection "auth" where it is offered."""
    realm, nonce = parts.get("realm", ""), parts.get("nonce", "")
    secret = _md5(f"{user}:{realm}:{password}")
    request = _md5(f"{method}:{target}")
    fields = f'username="{user}", realm="{realm}", nonce="{nonce}", uri="{target}"'
    if "auth" in parts.get("qop", "").replace(" ", "").split(","):
        counted = _md5(nonce + user)[:16]
        response = _md5(f"{secret}:{nonce}:00000001:{counted}:auth:{request}")
        fields += f', qop=auth, nc=00000001, cnonce="{counted}"'
    else:
        response = _md5(f"{secret}:{nonce}:{request}")
    if "opaque" in parts:
        fields += f', opaque="{parts["opaque"]}"'
    return f'Digest {fields}, response="{response}"'


def _md5(text: str) -> str:
    # The protocol's choice, not ours.
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
