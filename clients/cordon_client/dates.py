"""The dates of a certificate, without the nine megabytes that a whole X.509 library takes.

It trusts what it reads: an identity's own certificate, which its owner put there.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta

_VALIDITY = 3
"""The place of the dates in a certificate's contents, after serial, algorithm and issuer (RFC 5280,
4.1); the version comes before them where it is said."""
_VERSION_TAG = 0xA0
_UTC_TIME_TAG = 0x17


def validity_of(certificate_pem: bytes) -> tuple[datetime, datetime]:
    """From when to when the first certificate in a PEM file is good; ValueError if it is none."""
    try:
        text = certificate_pem.decode("ascii")
        end = text.index(ssl.PEM_FOOTER) + len(ssl.PEM_FOOTER)
        der = ssl.PEM_cert_to_DER_cert(text[text.index(ssl.PEM_HEADER) : end])
        (_, certificate), *_ = _parts(der)
        (_, contents), *_ = _parts(certificate)
        fields = [part for part in _parts(contents) if part[0] != _VERSION_TAG]
        start, finish = (_time(tag, value) for tag, value in _parts(fields[_VALIDITY][1]))
    except (IndexError, ValueError) as error:
        raise ValueError("this is not a certificate") from error
    return start, finish


def renewal_wait(certificate_pem: bytes, now: datetime, *, is_new: bool) -> timedelta:
    """How long until two thirds of the certificate's life are over; not negative.

    `is_new`: it was issued just now, whatever this computer's clock says of its first day.
    """
    start, end = validity_of(certificate_pem)
    life = end - start
    left = end - now
    if is_new and timedelta() < left <= life:
        return left * 2 / 3  # The server may date certificates back a little.
    return max(timedelta(), life * 2 / 3 if is_new else left - life / 3)


def _parts(der: bytes) -> list[tuple[int, bytes]]:
    """Tag and content of each element."""
    parts, at = [], 0
    while at < len(der):
        tag, length, at = der[at], der[at + 1], at + 2
        if length & 0x80:
            digits = length & 0x7F
            length, at = int.from_bytes(der[at : at + digits]), at + digits
        parts.append((tag, der[at : at + length]))
        at += length
    return parts


def _time(tag: int, value: bytes) -> datetime:
    text = value.decode("ascii")
    if tag == _UTC_TIME_TAG:  # Two digits of the year: 1950 to 2049.
        text = ("19" if text >= "5" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
