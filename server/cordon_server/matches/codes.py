"""Receipt codes: short, typed by people, a wrong one found out at once. Pure; knows no match.

Eleven characters by chance and one that checks them, of an alphabet of 31 without what is easily
mistaken (0 and O, 1 and I and L). 31 is a prime above the distinct weights, so every single wrong
character and every two that changed places are found out.
"""

from __future__ import annotations

import hashlib
import hmac

from cordon_server.domain import InvalidInput

ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
LENGTH = 12
GROUP = 4

SCRYPT = {"n": 2**14, "r": 8, "p": 1}
"""50 ms and 16 MiB a try: 31^11 codes cannot be tried out against what is stored."""


def make_code(seed: bytes, match: str) -> str:
    """A code as people read it, `XXXX-XXXX-XXXX`; the same for the same seed and match.

    `seed` has to be as hard to guess as the code: 16 bytes by chance.
    """
    number = int.from_bytes(hmac.digest(seed, match.encode(), "sha256"), "big")
    symbols = []
    for _ in range(LENGTH - 1):
        number, symbol = divmod(number, len(ALPHABET))
        symbols.append(symbol)
    symbols.append(_check(symbols))
    code = "".join(ALPHABET[symbol] for symbol in symbols)
    return "-".join(code[at : at + GROUP] for at in range(0, LENGTH, GROUP))


def read_code(typed: str) -> str:
    """The code that a person typed, bare; raises `InvalidInput` where it cannot be one."""
    code = typed.upper().replace("-", "").replace(" ", "")
    symbols = [ALPHABET.find(character) for character in code]
    if len(code) != LENGTH or -1 in symbols:
        raise InvalidInput(
            f"a receipt code has {LENGTH} characters of {ALPHABET}; 0, O, 1, I and L are in none",
            field="code",
        )
    if _check(symbols[:-1]) != symbols[-1]:
        raise InvalidInput(
            "a character of the code is wrong, or two have changed places; read it again",
            field="code",
        )
    return code


def code_hash(code: str, site: str) -> bytes:
    """What is stored of a bare code."""
    return hashlib.scrypt(code.encode(), salt=f"cordon receipt {site}".encode(), dklen=32, **SCRYPT)


def _check(symbols: list[int]) -> int:
    return sum(weight * symbol for weight, symbol in enumerate(symbols, 1)) % len(ALPHABET)
