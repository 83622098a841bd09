"""Certificates for machines: each is put on record in the transaction that allows it, and only then
handed out.

A renewed certificate lives as long as the one it follows, and the old one stays good to its end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import ec

from cordon_server.domain import Unauthenticated
from cordon_server.identity.certificates import BACKDATE, LIFE_MAX, CertificateAuthority
from cordon_server.identity.names import Role, SpiffeId
from cordon_server.identity.peers import Peer
from cordon_server.identity.register import is_revoked, record_certificate
from cordon_server.store.environment import Environment, Transaction


class CameraRules(Protocol):
    """What issuing needs of the room that keeps the cameras."""

    def check_usable(self, txn: Transaction, camera_id: str) -> None:
        """Raises what speaks against a certificate for the camera."""
        ...


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate that is on record."""

    spiffe_id: SpiffeId
    chain_pem: bytes
    """The certificate and what it chains to below the root."""
    sha256: str
    not_after: datetime


class Issuer:
    """Issues to machines of one site."""

    def __init__(
        self,
        registry: Environment,
        authority: CertificateAuthority,
        site: str,
        cameras: CameraRules,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._registry = registry
        self.authority = authority
        self.site = site
        self._cameras = cameras
        self.clock = clock

    def spiffe_id(self, role: Role, name: str) -> SpiffeId:
        """The identity of a machine here."""
        return SpiffeId(self.site, role, name)

    def check(self, txn: Transaction, spiffe_id: SpiffeId) -> None:
        """Raises `NotFound` or `NotReady` for a machine that may have no certificate."""
        if spiffe_id.role is Role.CAMERA:
            self._cameras.check_usable(txn, spiffe_id.name)

    async def issue(
        self,
        spiffe_id: SpiffeId,
        public_key: ec.EllipticCurvePublicKey,
        life: timedelta,
        *,
        issued_by: str,
        dry_run: bool,
    ) -> Issued | None:
        """A certificate for a machine, or None when it was only tried."""
        if dry_run:
            await self._registry.read(lambda txn: self.check(txn, spiffe_id))
            return None
        return await self._registry.write(
            lambda txn: self.issue_in(txn, spiffe_id, public_key, life, issued_by=issued_by)
        )

    async def renew(self, peer: Peer, public_key: ec.EllipticCurvePublicKey) -> Issued:
        """A caller's next certificate; raises `Unauthenticated` when the one it came with has been
        revoked meanwhile."""
        life = min(peer.not_after - peer.not_before - BACKDATE, LIFE_MAX[peer.spiffe_id.role])

        def act(txn: Transaction) -> Issued:
            if is_revoked(txn, peer.sha256):
                raise Unauthenticated(
                    f"the certificate of {peer.spiffe_id} was revoked; enrol again",
                    reason="CERTIFICATE_REVOKED",
                )
            return self.issue_in(
                txn, peer.spiffe_id, public_key, life, issued_by=str(peer.spiffe_id)
            )

        return await self._registry.write(act)

    def issue_in(
        self,
        txn: Transaction,
        spiffe_id: SpiffeId,
        public_key: ec.EllipticCurvePublicKey,
        life: timedelta,
        *,
        issued_by: str,
    ) -> Issued:
        """Signs and records within a transaction; nothing is issued unless that commits."""
        self.check(txn, spiffe_id)
        now = self.clock()
        certificate = self.authority.issue_client(public_key, spiffe_id, life, now=now)
        record = record_certificate(txn, certificate, spiffe_id, issued_by=issued_by, now=now)
        return Issued(
            spiffe_id, self.authority.chain_pem(certificate), record.sha256, record.expire_time
        )
