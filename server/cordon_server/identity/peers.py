"""Who is at the other end of a connection, read from the certificate that TLS verified.

TLS checks the chain once per connection; dates, names and the deny list are checked here on every
call and while it runs. A client with a session ticket gets past TLS after its certificate has
expired, so what was resumed is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID

from cordon_server.domain import Unauthenticated
from cordon_server.identity.names import SpiffeId, parse_spiffe_id

RENEW = "issue a new one with: cordon admin cert issue"


@dataclass(frozen=True, slots=True)
class Peer:
    """A verified caller."""

    spiffe_id: SpiffeId
    not_before: datetime
    not_after: datetime
    sha256: str
    """Of the certificate in DER, hexadecimal: what a token is bound to."""
    serial: int


class DenyList(Protocol):
    """What was revoked."""

    def denies(self, peer: Peer) -> bool: ...


def identify(
    auth_context: Mapping[str, Iterable[bytes]], site: str, now: datetime, denied: DenyList
) -> Peer:
    """The caller of a gRPC context's `auth_context`; raises `Unauthenticated`."""
    if next(iter(auth_context.get("ssl_session_reused", ())), b"false") != b"false":
        # Its certificate was looked at when the first session began, and not again.
        raise Unauthenticated(
            "the TLS session was resumed and shows no certificate of now; connect without a "
            "session ticket",
            reason="SESSION_RESUMED",
        )
    pem = next(iter(auth_context.get("x509_pem_cert", ())), None)
    if pem is None:
        raise Unauthenticated(f"the connection carries no client certificate; {RENEW}")
    peer = read_certificate(pem)
    if peer is None:
        raise Unauthenticated(f"the certificate names no identity of this system; {RENEW}")
    if peer.spiffe_id.site != site:
        raise Unauthenticated(
            f"the certificate is of site {peer.spiffe_id.site}, this server is of {site}; {RENEW}"
        )
    check_honoured(peer, now, denied)
    return peer


def check_honoured(peer: Peer, now: datetime, denied: DenyList) -> None:
    """Raises `Unauthenticated` outside the certificate's dates or when it was revoked; asked when a
    call begins and while it runs."""
    if not peer.not_before <= now < peer.not_after:
        raise Unauthenticated(
            f"the certificate of {peer.spiffe_id} is valid from {peer.not_before:%Y-%m-%d %H:%M} "
            f"to {peer.not_after:%Y-%m-%d %H:%M} UTC; {RENEW}",
            reason="CERTIFICATE_EXPIRED",
        )
    if denied.denies(peer):
        raise Unauthenticated(
            f"the certificate of {peer.spiffe_id} was revoked; {RENEW}",
            reason="CERTIFICATE_REVOKED",
        )


@lru_cache(maxsize=4096)
def read_certificate(pem: bytes) -> Peer | None:
    """What a certificate says, or None unless it has exactly one URI name, that is ours, and it is
    for clients and no authority."""
    certificate = x509.load_pem_x509_certificate(pem)
    try:
        extensions = certificate.extensions
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uses = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        basic = extensions.get_extension_for_class(x509.BasicConstraints).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return None
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    spiffe_id = parse_spiffe_id(uris[0]) if len(uris) == 1 else None
    if spiffe_id is None or basic.ca or list(uses) != [ExtendedKeyUsageOID.CLIENT_AUTH]:
        return None
    return Peer(
        spiffe_id,
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
        certificate.fingerprint(hashes.SHA256()).hex(),
        certificate.serial_number,
    )
