"""MachineService: the machines of the site and their certificates, translated."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from cordon.v1 import machine_pb2, machine_pb2_grpc
from cordon_server.api import convert
from cordon_server.api.calls import once
from cordon_server.api.edge import Context, caller, signed_in
from cordon_server.api.rules import PAGE_SIZE_DEFAULT
from cordon_server.domain import InvalidInput, NotFound, NotReady, Unauthenticated
from cordon_server.identity.calls import LiveCalls
from cordon_server.identity.certificates import LIFE_MAX, check_life, read_csr
from cordon_server.identity.enrolment import Enrolments
from cordon_server.identity.issuance import Issuer
from cordon_server.identity.names import Role, SpiffeId
from cordon_server.identity.rates import RateLimit
from cordon_server.identity.register import CertificateRecord, CertificateRegister
from cordon_server.store.requests import RequestLedger

ROLES = {
    machine_pb2.ROLE_CAMERA: Role.CAMERA,
    machine_pb2.ROLE_CONTROL: Role.CONTROL,
    machine_pb2.ROLE_ADMIN: Role.ADMIN,
}


class MachineServicer(machine_pb2_grpc.MachineServiceServicer):
    """Issues, renews, lists and revokes certificates."""

    def __init__(
        self,
        issuer: Issuer,
        enrolments: Enrolments,
        register: CertificateRegister,
        calls: LiveCalls[Any],
        ledger: RequestLedger,
        renewals: RateLimit,
        *,
        enrolment_address: Callable[[], str],
        clock: Callable[[], datetime],
    ) -> None:
        self._issuer = issuer
        self._enrolments = enrolments
        self._register = register
        self._calls = calls
        self._ledger = ledger
        self._renewals = renewals
        self._enrolment_address = enrolment_address
        self._clock = clock

    async def CreateEnrolmentToken(  # noqa: N802  # gRPC's name
        self, request: machine_pb2.CreateEnrolmentTokenRequest, context: Context
    ) -> machine_pb2.CreateEnrolmentTokenResponse:
        # Not by the ledger, which would keep the token where only its hash may lie: asked again,
        # the newest token voids the one before, so that there is one, whatever was lost.
        token = await self._enrolments.create(
            self._issuer.spiffe_id(ROLES[request.role], request.id),
            created_by=asked_by(),
            dry_run=request.validate_only,
        )
        if token is None:
            return machine_pb2.CreateEnrolmentTokenResponse()
        return machine_pb2.CreateEnrolmentTokenResponse(
            token=token.text,
            expire_time=convert.timestamp(token.expire_time),
            enrolment_address=self._enrolment_address(),
        )

    async def IssueCertificate(  # noqa: N802  # gRPC's name
        self, request: machine_pb2.IssueCertificateRequest, context: Context
    ) -> machine_pb2.IssueCertificateResponse:
        return await once(
            self._ledger,
            request,
            machine_pb2.IssueCertificateResponse(),
            lambda: self._issue(request, asked_by()),
        )

    async def _issue(
        self, request: machine_pb2.IssueCertificateRequest, issued_by: str
    ) -> machine_pb2.IssueCertificateResponse:
        spiffe_id = self._issuer.spiffe_id(ROLES[request.role], request.id)
        issued = await self._issuer.issue(
            spiffe_id,
            read_csr(request.csr_der),
            life_of(request),
            issued_by=issued_by,
            dry_run=request.validate_only,
        )
        if issued is None:
            return machine_pb2.IssueCertificateResponse()
        return machine_pb2.IssueCertificateResponse(
            certificate_pem=issued.chain_pem.decode(),
            ca_pem=self._issuer.authority.root_pem.decode(),
            spiffe_id=str(spiffe_id),
            not_after=convert.timestamp(issued.not_after),
        )

    async def RenewCertificate(  # noqa: N802  # gRPC's name
        self, request: machine_pb2.RenewCertificateRequest, context: Context
    ) -> machine_pb2.RenewCertificateResponse:
        self._renewals.check(str(caller().spiffe_id))
        issued = await self._issuer.renew(caller(), read_csr(request.csr_der))
        return machine_pb2.RenewCertificateResponse(
            certificate_pem=issued.chain_pem.decode(),
            ca_pem=self._issuer.authority.root_pem.decode(),
            not_after=convert.timestamp(issued.not_after),
        )

    async def ListCertificates(  # noqa: N802  # gRPC's name
        self, request: machine_pb2.ListCertificatesRequest, context: Context
    ) -> machine_pb2.ListCertificatesResponse:
        size = request.page_size or PAGE_SIZE_DEFAULT
        after = _key(convert.after_token(request.page_token))
        found = await self._register.page(after, size + 1, request.spiffe_id)
        now = self._clock()
        return machine_pb2.ListCertificatesResponse(
            certificates=[certificate(record, now) for _, record in found[:size]],
            next_page_token=(
                convert.page_token(found[size - 1][0].hex()) if len(found) > size else ""
            ),
        )

    async def RevokeCertificate(  # noqa: N802  # gRPC's name
        self, request: machine_pb2.RevokeCertificateRequest, context: Context
    ) -> machine_pb2.RevokeCertificateResponse:
        if bool(request.name) == bool(request.spiffe_id):
            raise InvalidInput("name one certificate or one identity, and not both", field="name")
        return await once(
            self._ledger,
            request,
            machine_pb2.RevokeCertificateResponse(),
            lambda: self._revoke(request),
        )

    async def _revoke(
        self, request: machine_pb2.RevokeCertificateRequest
    ) -> machine_pb2.RevokeCertificateResponse:
        own = caller()
        if own.sha256 in request.name or request.spiffe_id == str(own.spiffe_id):
            raise NotReady(
                "this is the certificate that asks; revoke it from another workstation, so that "
                "one is left that can",
                reason="OWN_CERTIFICATE",
            )
        sha256 = convert.last_part(request.name) if request.name else ""
        revoked = await self._register.revoke(
            sha256=sha256, spiffe_id=request.spiffe_id, dry_run=request.validate_only
        )
        if not request.validate_only:
            end_calls_of(self._calls, revoked)
        now = self._clock()
        return machine_pb2.RevokeCertificateResponse(
            certificates=[certificate(record, now) for record in revoked]
        )


def asked_by() -> str:
    """Who asks, for the record: the person, where one is signed in, and his workstation."""
    person, machine = signed_in(), str(caller().spiffe_id)
    return f"{person.user_id} at {machine}" if person else machine


async def deny_identity(
    register: CertificateRegister, calls: LiveCalls[Any], spiffe_id: SpiffeId
) -> None:
    """Revokes whatever certificates an identity has, none included, and ends their calls."""
    try:
        revoked = await register.revoke(spiffe_id=str(spiffe_id), dry_run=False)
    except (NotFound, NotReady):
        return
    end_calls_of(calls, revoked)


def end_calls_of(calls: LiveCalls[Any], revoked: list[CertificateRecord]) -> None:
    """Ends what runs under certificates that were just revoked."""
    gone = {record.sha256 for record in revoked}
    error = Unauthenticated(
        "the certificate of this call was revoked while it ran; enrol again",
        reason="CERTIFICATE_REVOKED",
    )
    calls.end(lambda call: call.peer.sha256 in gone, error)


def certificate(record: CertificateRecord, now: datetime) -> machine_pb2.Certificate:
    """A record as the wire has it."""
    message = machine_pb2.Certificate(
        name=f"certificates/{record.sha256}",
        spiffe_id=record.spiffe_id,
        serial=record.serial,
        state=machine_pb2.CERTIFICATE_STATE_VALID,
        create_time=convert.timestamp(record.create_time),
        expire_time=convert.timestamp(record.expire_time),
    )
    if record.revoke_time is not None:
        message.state = machine_pb2.CERTIFICATE_STATE_REVOKED
        message.revoke_time.CopyFrom(convert.timestamp(record.revoke_time))
    elif record.expire_time <= now:
        message.state = machine_pb2.CERTIFICATE_STATE_EXPIRED
    return message


def life_of(request: machine_pb2.IssueCertificateRequest) -> timedelta:
    """How long the certificate is to live; raises `InvalidInput` outside the role's bounds."""
    role = ROLES[request.role]
    if not request.HasField("lifetime"):
        return LIFE_MAX[role]
    too_long = LIFE_MAX[role] // timedelta(seconds=1) + 1  # seconds that a timedelta can hold
    life = timedelta(seconds=min(max(request.lifetime.seconds, 0), too_long))
    check_life(role, life)
    return life


def _key(token: str) -> bytes:
    try:
        return bytes.fromhex(token)
    except ValueError as error:
        raise InvalidInput(
            "page_token is none of this list's; take it from the page before", field="page_token"
        ) from error
