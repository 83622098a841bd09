"""Tokens: what a person shows with a call. Signs and reads them; knows neither users nor sessions.

A token is a JSON Web Token signed by Ed25519 with a key of ours. PyJWT signs and verifies; what it
leaves to its caller is done here by comparing rather than by checking: a header is one of the few
that this server writes, byte for byte, and so is the form of the claims. Nothing in a token can
name an algorithm, a key or a place to fetch one from.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cordon_server.domain import Unauthenticated

ALGORITHM = "EdDSA"
TYPE = "cordon+jwt"
AUDIENCE = "cordon"
TOKEN_LIFE_MAX = timedelta(minutes=10)
TOKEN_CHARACTERS_MAX = 2048
SKEW_MAX = timedelta(seconds=5)
"""How far ahead of this clock a token may have been issued: the clock may be set back a little."""
SIGN_IN = "sign in with: cordon admin sign-in"
"""The next step wherever a person has to show who he is."""

_FORM = re.compile(r"([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_JWS = jwt.PyJWS(algorithms=[ALGORITHM])


class Binding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """RFC 8705: SHA-256 of the certificate that the token goes with, base64url."""

    x5t: str = msgspec.field(name="x5t#S256")


class Claims(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a token says; times are seconds since 1970."""

    iss: str
    aud: str
    sub: str
    """The user's id."""
    jti: str
    iat: int
    nbf: int
    exp: int
    sid: str
    """The session's id."""
    auth_time: int
    """When the password was given last."""
    cnf: Binding


class Tokens:
    """Signs and reads the tokens of one issuer, the site.

    `keys` are those that tokens are read with, by key id; the last one signs.
    """

    def __init__(
        self,
        issuer: str,
        keys: Mapping[str, Ed25519PrivateKey],
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._issuer = issuer
        self._clock = clock
        self.use(keys)

    def use(self, keys: Mapping[str, Ed25519PrivateKey]) -> None:
        """Takes these keys in place of those before."""
        self._signing_kid, self._signing_key = list(keys.items())[-1]
        self._public = {_header(kid): key.public_key() for kid, key in keys.items()}

    def issue(
        self,
        *,
        user_id: str,
        session_id: str,
        token_id: str,
        auth_time: datetime,
        expire_time: datetime,
        certificate_sha256: str,
    ) -> str:
        """A token good from now; `certificate_sha256` is hexadecimal."""
        now = int(self._clock().timestamp())
        claims = Claims(
            iss=self._issuer,
            aud=AUDIENCE,
            sub=user_id,
            jti=token_id,
            iat=now,
            nbf=now,
            exp=int(expire_time.timestamp()),
            sid=session_id,
            auth_time=int(auth_time.timestamp()),
            cnf=Binding(thumbprint(certificate_sha256)),
        )
        headers = {"kid": self._signing_kid, "typ": TYPE}
        payload = msgspec.json.encode(claims)
        return _JWS.encode(payload, self._signing_key, ALGORITHM, headers=headers)

    def read(self, token: str, certificate_sha256: str, *, even_expired: bool = False) -> Claims:
        """What a token of ours says, shown with this certificate, now; raises `Unauthenticated`.

        `even_expired` excuses its end and nothing else.
        """
        claims = self._signed(token)
        now, bound = self._clock().timestamp(), thumbprint(certificate_sha256).encode()
        if claims.iss != self._issuer:
            raise _refused("ISSUER", f"the token is of {claims.iss}, not of {self._issuer}")
        if claims.aud != AUDIENCE:
            raise _refused("AUDIENCE", f"the token is for {claims.aud}, not for {AUDIENCE}")
        if claims.exp - claims.iat > TOKEN_LIFE_MAX.total_seconds():
            raise _refused("LIFE", "the token lives longer than any that this server issues")
        if max(claims.iat, claims.nbf, claims.auth_time) > now + SKEW_MAX.total_seconds():
            raise _refused(
                "NOT_YET", "the token is not valid yet: was the server's clock set back?"
            )
        if now >= claims.exp and not even_expired:
            raise _refused("EXPIRED", "the token has expired")
        if not hmac.compare_digest(claims.cnf.x5t.encode(), bound):
            raise _refused("BINDING", "the token was issued to another certificate than this one")
        return claims

    def _signed(self, token: str) -> Claims:
        """What a token says when its form is ours and the signature of a key of ours is on it."""
        form = _FORM.fullmatch(token[: TOKEN_CHARACTERS_MAX + 1])
        if form is None or len(token) > TOKEN_CHARACTERS_MAX:
            raise _refused("FORM", "what was sent as a token is none of this server's")
        key = self._public.get(form[1])
        if key is None:
            raise _refused("KEY", "the token was made by another server or with a retired key")
        try:
            payload = _JWS.decode(token, key, [ALGORITHM])
        except jwt.InvalidTokenError as error:
            raise _refused("SIGNATURE", "the signature of the token does not verify") from error
        try:
            claims = msgspec.json.decode(payload, type=Claims)
        except msgspec.MsgspecError as error:
            raise _refused("CLAIMS", "the token does not make the claims that it must") from error
        if msgspec.json.encode(claims) != payload:
            raise _refused("CLAIMS", "the token does not make its claims as this server does")
        return claims


def thumbprint(certificate_sha256: str) -> str:
    """The SHA-256 of a certificate, hexadecimal, as `cnf` has it: base64url without padding."""
    return _base64url(bytes.fromhex(certificate_sha256))


def _header(kid: str) -> str:
    """The one header that tokens of a key have: as PyJWT writes it, sorted and without spaces."""
    header = {"alg": ALGORITHM, "kid": kid, "typ": TYPE}
    return _base64url(json.dumps(header, separators=(",", ":"), sort_keys=True).encode())


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _refused(reason: str, words: str) -> Unauthenticated:
    return Unauthenticated(f"{words}; {SIGN_IN}", reason=f"TOKEN_{reason}")
