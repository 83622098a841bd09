"""Tokens that are forged or misused, each kind by its name and the reason it is to be refused for.

Those signed with a key of the server's are what a mistake of ours, or whoever stole the key, would
make; all others are what anyone can make.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.unit.server.persons import Desk

FORM, KEY, SIGNATURE, CLAIMS = "TOKEN_FORM", "TOKEN_KEY", "TOKEN_SIGNATURE", "TOKEN_CLAIMS"
NOT_YET, EXPIRED, LIFE = "TOKEN_NOT_YET", "TOKEN_EXPIRED", "TOKEN_LIFE"


def encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


@dataclass(frozen=True)
class Forger:
    """A good token of Anna's, and the means to make bad ones of it."""

    token: str
    key: Ed25519PrivateKey
    """The server's own."""
    kid: str

    @property
    def parts(self) -> list[str]:
        return self.token.split(".")

    @property
    def header(self) -> dict[str, Any]:
        return dict(json.loads(decode(self.parts[0])))

    @property
    def claims(self) -> dict[str, Any]:
        return dict(json.loads(decode(self.parts[1])))

    def signed(
        self,
        header: bytes | None = None,
        payload: bytes | None = None,
        sign: Callable[[bytes], bytes] | None = None,
    ) -> str:
        first = self.parts[0] if header is None else encode(header)
        second = self.parts[1] if payload is None else encode(payload)
        content = f"{first}.{second}"
        return f"{content}.{encode((sign or self.key.sign)(content.encode()))}"

    def headed(self, **changes: Any) -> str:
        """With another header, signed by the server's key."""
        header = {k: v for k, v in {**self.header, **changes}.items() if v is not None}
        return self.signed(header=compact(header))

    def claiming(self, **changes: Any) -> str:
        """With other claims, signed by the server's key; None leaves one out."""
        claims = {k: v for k, v in {**self.claims, **changes}.items() if v is not None}
        return self.signed(payload=compact(claims))

    def raw_claim(self, name: str, literal: str) -> str:
        """With a claim's value written out, for what JSON has no word for."""
        text = compact({**self.claims, name: "PLACE"}).decode()
        return self.signed(payload=text.replace('"PLACE"', literal).encode())

    @property
    def public_pem(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def hmac_signed(self, secret: bytes, **header: Any) -> str:
        content = compact({**self.header, "alg": "HS256", **header})
        return self.signed(content, None, lambda text: hmac.digest(secret, text, hashlib.sha256))


def compact(content: Any) -> bytes:
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()


def forger(desk: Desk) -> Forger:
    """With a good token of Anna's."""
    kid, key = list(desk.keys.keys.items())[-1]
    return Forger(desk.token("anna"), key, kid)


def _flipped(part: str) -> str:
    return ("A" if part[0] != "A" else "B") + part[1:]


def _loosened(signature: str) -> str:
    """The same bytes by another last letter: base64 has four for them."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return signature[:-1] + alphabet[alphabet.index(signature[-1]) ^ 1]


def _another_ed25519(f: Forger) -> str:
    return f.signed(sign=Ed25519PrivateKey.generate().sign)


def _embedded_jwk(f: Forger) -> str:
    mine = Ed25519PrivateKey.generate()
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": encode(mine.public_key().public_bytes_raw())}
    return f.signed(compact({**f.header, "jwk": jwk}), None, mine.sign)


def _rs256(f: Forger) -> str:
    key = rsa.generate_private_key(65537, 2048)
    header = compact({**f.header, "alg": "RS256"})
    return f.signed(header, None, lambda text: key.sign(text, PKCS1v15(), SHA256()))


def _es256(f: Forger) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    header = compact({**f.header, "alg": "ES256"})
    return f.signed(header, None, lambda text: key.sign(text, ec.ECDSA(SHA256())))


def _twice(f: Forger) -> bytes:
    """A header that says alg twice."""
    return compact(f.header)[:-1] + b',"alg":"none"}'


def _without(name: str) -> Callable[[Forger], str]:
    return lambda f: f.claiming(**{name: None})


Kind = tuple[str, Callable[[Forger], str]]

KINDS: dict[str, Kind] = {
    # What holds it together.
    "empty": (FORM, lambda f: ""),
    "one part": (FORM, lambda f: f.parts[0]),
    "two parts": (FORM, lambda f: ".".join(f.parts[:2])),
    "no signature": (FORM, lambda f: ".".join([*f.parts[:2], ""])),
    "four parts": (FORM, lambda f: f.token + ".AAAA"),
    "JSON serialisation": (FORM, lambda f: compact({"payload": f.parts[1]}).decode()),
    "encrypted, five parts": (FORM, lambda f: ".".join([f.parts[0], "", "AA", "AA", "AA"])),
    "space before": (FORM, lambda f: " " + f.token),
    "space after": (FORM, lambda f: f.token + " "),
    "newline after": (FORM, lambda f: f.token + "\n"),
    "tab inside": (FORM, lambda f: f.token.replace(".", ".\t", 1)),
    "padding": (FORM, lambda f: f.token + "=="),
    "ordinary base64": (FORM, lambda f: f.token[:-1] + "+"),
    "not ASCII": (FORM, lambda f: f.token[:-1] + "ａ"),
    "a null byte": (FORM, lambda f: f.token + "\0"),
    "2 KB and one": (FORM, lambda f: f.token.ljust(2049, "A")),
    "a megabyte": (FORM, lambda f: f.token + "A" * 2**20),
    "two tokens": (FORM, lambda f: f"{f.token},{f.token}"),
    # What the header says.
    "alg none, no signature": (
        FORM,
        lambda f: encode(compact({"alg": "none"})) + f".{f.parts[1]}.",
    ),
    "alg none, signed": (KEY, lambda f: f.headed(alg="none")),
    "alg None": (KEY, lambda f: f.headed(alg="None")),
    "alg eddsa": (KEY, lambda f: f.headed(alg="eddsa")),
    "alg missing": (KEY, lambda f: f.headed(alg=None)),
    "alg twice": (KEY, lambda f: f.signed(_twice(f))),
    "alg a list": (KEY, lambda f: f.headed(alg=["EdDSA", "none"])),
    "HS256 with the public key, PEM": (KEY, lambda f: f.hmac_signed(f.public_pem)),
    "HS256 with the public key, raw": (
        KEY,
        lambda f: f.hmac_signed(f.key.public_key().public_bytes_raw()),
    ),
    "HS256 with an empty secret": (KEY, lambda f: f.hmac_signed(b"")),
    "RS256": (KEY, _rs256),
    "ES256": (KEY, _es256),
    "kid of nobody": (KEY, lambda f: f.headed(kid="0" * 16)),
    "kid a path": (KEY, lambda f: f.headed(kid="../../../../dev/null")),
    "kid a query": (KEY, lambda f: f.headed(kid="' OR 1=1 --")),
    "kid a list": (KEY, lambda f: f.headed(kid=[f.kid])),
    "kid missing": (KEY, lambda f: f.headed(kid=None)),
    "typ missing": (KEY, lambda f: f.headed(typ=None)),
    "typ JWT": (KEY, lambda f: f.headed(typ="JWT")),
    "typ at+jwt": (KEY, lambda f: f.headed(typ="at+jwt")),
    "typ in capitals": (KEY, lambda f: f.headed(typ="CORDON+JWT")),
    "crit": (KEY, lambda f: f.headed(crit=["exp"])),
    "b64 false": (KEY, lambda f: f.headed(b64=False, crit=["b64"])),
    "a key of its own": (KEY, _embedded_jwk),
    "jku": (KEY, lambda f: f.headed(jku="https://keys.example/jwks.json")),
    "x5u": (KEY, lambda f: f.headed(x5u="https://keys.example/cert.pem")),
    "x5c": (KEY, lambda f: f.headed(x5c=["MIIB"])),
    "nested, cty JWT": (KEY, lambda f: f.headed(cty="JWT")),
    "zip": (KEY, lambda f: f.headed(zip="DEF")),
    "header with a space": (KEY, lambda f: f.signed(json.dumps(f.header).encode())),
    "header a list": (KEY, lambda f: f.signed(b"[]")),
    "header no JSON": (KEY, lambda f: f.signed(b"{")),
    "header deep": (KEY, lambda f: f.signed(b"[" * 400)),
    # What the signature says.
    "signed by another key": (SIGNATURE, _another_ed25519),
    "signature changed": (SIGNATURE, lambda f: ".".join([*f.parts[:2], _flipped(f.parts[2])])),
    "signature short": (SIGNATURE, lambda f: f.token[:-4]),
    "signature of zeros": (SIGNATURE, lambda f: ".".join([*f.parts[:2], encode(bytes(64))])),
    "signature by another letter": (
        SIGNATURE,
        lambda f: ".".join([*f.parts[:2], _loosened(f.parts[2])]),
    ),
    "claims changed": (
        SIGNATURE,
        lambda f: ".".join([f.parts[0], encode(compact({**f.claims, "sub": "root"})), f.parts[2]]),
    ),
    # What it claims, under a signature that is good.
    **{
        f"{name} missing": (CLAIMS, _without(name))
        for name in ("iss", "aud", "sub", "jti", "iat", "nbf", "exp", "sid", "auth_time", "cnf")
    },
    "claims no object": (CLAIMS, lambda f: f.signed(payload=b'"anna"')),
    "claims empty": (CLAIMS, lambda f: f.signed(payload=b"{}")),
    "claims no JSON": (CLAIMS, lambda f: f.signed(payload=b"\xff\xfe")),
    "a token in a token": (CLAIMS, lambda f: f.signed(payload=f.token.encode())),
    "claims with spaces": (CLAIMS, lambda f: f.signed(payload=json.dumps(f.claims).encode())),
    "a claim twice": (
        CLAIMS,
        lambda f: f.signed(payload=compact(f.claims)[:-1] + b',"sub":"anna"}'),
    ),
    "a claim too many": (CLAIMS, lambda f: f.claiming(roles=["administrator"])),
    "exp a text": (CLAIMS, lambda f: f.claiming(exp=str(f.claims["exp"]))),
    "exp a fraction": (CLAIMS, lambda f: f.claiming(exp=f.claims["exp"] + 0.5)),
    "exp a float": (CLAIMS, lambda f: f.raw_claim("exp", f"{f.claims['exp']}.0")),
    "exp true": (CLAIMS, lambda f: f.claiming(exp=True)),
    "exp NaN": (CLAIMS, lambda f: f.raw_claim("exp", "NaN")),
    "exp Infinity": (CLAIMS, lambda f: f.raw_claim("exp", "Infinity")),
    "exp 1e400": (CLAIMS, lambda f: f.raw_claim("exp", "1e400")),
    "exp null": (CLAIMS, lambda f: f.raw_claim("exp", "null")),
    "iat false": (CLAIMS, lambda f: f.claiming(iat=False)),
    "aud a list": (CLAIMS, lambda f: f.claiming(aud=["cordon"])),
    "sub a number": (CLAIMS, lambda f: f.claiming(sub=1)),
    "cnf by its key": (CLAIMS, lambda f: f.claiming(cnf={"jkt": f.claims["cnf"]["x5t#S256"]})),
    "issuer another": ("TOKEN_ISSUER", lambda f: f.claiming(iss="spiffe://site.locals")),
    "issuer empty": ("TOKEN_ISSUER", lambda f: f.claiming(iss="")),
    "audience another": ("TOKEN_AUDIENCE", lambda f: f.claiming(aud="cordons")),
    "ten years": (LIFE, lambda f: f.claiming(exp=f.claims["iat"] + 315_360_000)),
    "a second too long": (LIFE, lambda f: f.claiming(exp=f.claims["iat"] + 601)),
    "issued tomorrow": (
        NOT_YET,
        lambda f: f.claiming(iat=f.claims["iat"] + 86_400, exp=f.claims["exp"] + 86_400),
    ),
    "issued six seconds ahead": (NOT_YET, lambda f: f.claiming(iat=f.claims["iat"] + 6)),
    "good from later on": (NOT_YET, lambda f: f.claiming(nbf=f.claims["nbf"] + 6)),
    "password of later on": (NOT_YET, lambda f: f.claiming(auth_time=f.claims["iat"] + 6)),
    "over now": (EXPIRED, lambda f: f.claiming(exp=f.claims["iat"])),
    "over before it began": (EXPIRED, lambda f: f.claiming(exp=-1)),
    "bound to nothing": ("TOKEN_BINDING", lambda f: f.claiming(cnf={"x5t#S256": ""})),
    "bound to another": (
        "TOKEN_BINDING",
        lambda f: f.claiming(cnf={"x5t#S256": encode(bytes(32))}),
    ),
    "bound by letters": ("TOKEN_BINDING", lambda f: f.claiming(cnf={"x5t#S256": "é"})),
    "another's session": ("SESSION_OVER", lambda f: f.claiming(sub="otto")),
    "a session of nobody": ("SESSION_OVER", lambda f: f.claiming(sid="0" * 32)),
    "a session by a path": ("SESSION_OVER", lambda f: f.claiming(sub="anna/..", sid="")),
}
"""Name -> (reason, how it is made of a good one)."""
