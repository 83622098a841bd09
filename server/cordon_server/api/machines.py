"""MachineService: client certificates of the site."""

from __future__ import annotations

from datetime import timedelta

from cryptography.hazmat.primitives.serialization import Encoding

from cordon.v1 import machine_pb2, machine_pb2_grpc
from cordon_server.api import convert
from cordon_server.api.edge import Context, caller
from cordon_server.authority.cameras import Cameras
from cordon_server.domain import InvalidInput, NotReady
from cordon_server.identity.certificates import (
    CLIENT_LIFE,
    CLIENT_LIFE_MAX,
    CLIENT_LIFE_MIN,
    CSR_BYTES_MAX,
    CertificateAuthority,
    read_csr,
)
from cordon_server.identity.names import Role, SpiffeId
from cordon_server.store.requests import RequestLedger

ROLES = {
    machine_pb2.ROLE_CAMERA: Role.CAMERA,
    machine_pb2.ROLE_CONTROL: Role.CONTROL,
    machine_pb2.ROLE_ADMIN: Role.ADMIN,
}


class MachineServicer(machine_pb2_grpc.MachineServiceServicer):
    """Issues certificates."""

    def __init__(
        self, authority: CertificateAuthority, site: str, cameras: Cameras, ledger: RequestLedger
    ) -> None:
        self._authority = authority
        self._site = site
        self._cameras = cameras
        self._ledger = ledger

    async def IssueCertificate(  # noqa: N802  # gRPC's name
        self, request: machine_pb2.IssueCertificateRequest, context: Context
    ) -> machine_pb2.IssueCertificateResponse:
        return await self._ledger.once(
            f"{caller().spiffe_id} IssueCertificate",
            request.request_id,
            request,
            machine_pb2.IssueCertificateResponse(),
            lambda: self._issue(request),
        )

    async def _issue(
        self, request: machine_pb2.IssueCertificateRequest
    ) -> machine_pb2.IssueCertificateResponse:
        role = ROLES[request.role]
        if role is Role.CAMERA:
            camera = await self._cameras.get(request.id)
            if camera.revoke_time is not None:
                raise NotReady(f"camera {request.id} is revoked; register another name")
        if len(request.csr_der) > CSR_BYTES_MAX:
            raise InvalidInput(f"csr_der has {CSR_BYTES_MAX} bytes at most", field="csr_der")
        public_key = read_csr(request.csr_der)
        life = _life(request)
        if request.validate_only:
            return machine_pb2.IssueCertificateResponse()
        spiffe_id = SpiffeId(self._site, role, request.id)
        certificate = self._authority.issue_client(public_key, spiffe_id, life)
        return machine_pb2.IssueCertificateResponse(
            certificate_pem=certificate.public_bytes(Encoding.PEM).decode(),
            ca_pem=self._authority.pem.decode(),
            spiffe_id=str(spiffe_id),
            not_after=convert.timestamp(certificate.not_valid_after_utc),
        )


def _life(request: machine_pb2.IssueCertificateRequest) -> timedelta:
    if not request.HasField("lifetime"):
        return CLIENT_LIFE
    seconds = request.lifetime.seconds
    if not CLIENT_LIFE_MIN.total_seconds() <= seconds <= CLIENT_LIFE_MAX.total_seconds():
        raise InvalidInput(
            f"lifetime must be from {CLIENT_LIFE_MIN.total_seconds():.0f} seconds to "
            f"{CLIENT_LIFE_MAX.days} days",
            field="lifetime",
        )
    return timedelta(seconds=seconds)
