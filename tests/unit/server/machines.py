"""What the tests of machines share: a site's authority, its register, signing requests, peers."""

from __future__ import annotations

from concurrent.futures import Executor
from datetime import timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cordon_server.authority.cameras import Cameras
from cordon_server.authority.records import CAMERAS
from cordon_server.identity.certificates import CertificateAuthority
from cordon_server.identity.enrolment import ENROLMENTS, Enrolments
from cordon_server.identity.hierarchy import make_root
from cordon_server.identity.issuance import Issued, Issuer
from cordon_server.identity.names import Role, SpiffeId
from cordon_server.identity.peers import Peer, read_certificate
from cordon_server.identity.register import CERTIFICATE_KEYS, CERTIFICATES, CertificateRegister
from cordon_server.store.requests import REQUESTS
from tests.unit.server.rooms import NOON, Clock, open_environment

SITE = "site.local"
NORTH = SpiffeId(SITE, Role.CAMERA, "north")
DESK = SpiffeId(SITE, Role.CONTROL, "desk")
OFFICE = SpiffeId(SITE, Role.ADMIN, "office")
TABLES = (CAMERAS, CERTIFICATES, CERTIFICATE_KEYS, ENROLMENTS, REQUESTS)


@cache
def an_authority() -> CertificateAuthority:
    """A site's issuing authority, below a root that is thrown away."""
    return make_root(SITE, now=NOON).issuing(SITE, ("localhost",), now=NOON)


def a_public_key() -> ec.EllipticCurvePublicKey:
    return ec.generate_private_key(ec.SECP256R1()).public_key()


def a_csr() -> bytes:
    """A signing request as clients make it: a key, no name."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    csr = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return csr.public_bytes(serialization.Encoding.DER)


def a_peer(spiffe_id: SpiffeId = OFFICE, *, sha256: str = "0" * 64, serial: int = 1) -> Peer:
    """A caller with a certificate of the day."""
    day = timedelta(days=1)
    return Peer(spiffe_id, NOON - day, NOON + day, sha256, serial)


def peer_of(issued: Issued) -> Peer:
    """The caller that a certificate makes."""
    peer = read_certificate(issued.chain_pem)
    assert peer is not None
    return peer


class MachineRoom:
    """Everything about machines, on a database of its own."""

    def __init__(
        self,
        folder: Path,
        writer: Executor,
        clock: Clock,
        authority: CertificateAuthority | None = None,
    ) -> None:
        self.clock = clock
        self.registry = open_environment(folder, TABLES, writer)
        self.cameras = Cameras(self.registry, count_max=10, clock=clock)
        self.issuer = Issuer(
            self.registry, authority or an_authority(), SITE, self.cameras, clock=clock
        )
        self.enrolments = Enrolments(self.registry, self.issuer)
        self.register = self.new_register()

    def new_register(self) -> CertificateRegister:
        """The register as a server that starts now finds it."""
        return CertificateRegister(self.registry, clock=self.clock)

    async def issue(self, spiffe_id: SpiffeId = DESK, **life: float) -> Issued:
        """A certificate on record; for an hour unless said otherwise."""
        issued = await self.issuer.issue(
            spiffe_id,
            a_public_key(),
            timedelta(**(life or {"hours": 1})),
            issued_by=str(OFFICE),
            dry_run=False,
        )
        assert issued is not None
        return issued
