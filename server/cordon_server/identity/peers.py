"""Who is at the other end of a connection, read from the certificate that TLS verified.

TLS checks the chain once per connection; dates and names are checked here on every call, for a
client with a session ticket gets past TLS after its certificate has expired.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from cryptography import x509

from cordon_server.domain import Unauthenticated
from cordon_server.identity.names import SpiffeId, parse_spiffe_id

RENEW = "issue a new one with: cordon admin cert issue"


@dataclass(frozen=True, slots=True)
class Peer:
    """A verified caller."""

    spiffe_id: SpiffeId
    not_before: datetime
    not_after: datetime


def identify(auth_context: Mapping[str, Iterable[bytes]], site: str, now: datetime) -> Peer:
    """The caller of a gRPC context's `auth_context`; raises `Unauthenticated`."""
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
    if not peer.not_before <= now < peer.not_after:
        raise Unauthenticated(
            f"the certificate of {peer.spiffe_id} is valid from {peer.not_before:%Y-%m-%d %H:%M} "
            f"to {peer.not_after:%Y-%m-%d %H:%M} UTC; {RENEW}"
        )
    return peer


@lru_cache(maxsize=1024)
def read_certificate(pem: bytes) -> Peer | None:
    """What a certificate says, or None unless it has exactly one URI name and that is ours."""
    certificate = x509.load_pem_x509_certificate(pem)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    spiffe_id = parse_spiffe_id(uris[0]) if len(uris) == 1 else None
    if spiffe_id is None:
        return None
    return Peer(spiffe_id, certificate.not_valid_before_utc, certificate.not_valid_after_utc)
