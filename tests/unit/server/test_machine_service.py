"""What the servicers of machines make of requests; the edge is passed over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import Executor
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from cordon.v1 import machine_pb2 as pb
from cordon_server.api.edge import _ADMITTED
from cordon_server.api.machines import MachineServicer, deny_identity, life_of
from cordon_server.domain import (
    InvalidInput,
    LimitReached,
    NotFound,
    NotReady,
    Unauthenticated,
)
from cordon_server.identity.admission import Admitted
from cordon_server.identity.calls import LiveCalls
from cordon_server.identity.certificates import LIFE_MAX
from cordon_server.identity.names import Role
from cordon_server.identity.peers import Peer, read_certificate
from cordon_server.identity.rates import Rate, RateLimit
from cordon_server.store.requests import REQUESTS, RequestLedger
from tests.unit.server.machines import (
    DESK,
    NORTH,
    OFFICE,
    MachineRoom,
    a_csr,
    a_peer,
    an_authority,
    peer_of,
)
from tests.unit.server.rooms import Clock

REQUEST_ID = "0a1b2c3d-0000-4000-8000-00000000000a"
ADDRESS = "lfr.site.local:7444"
CONTEXT: Any = None
"""The servicers do not look at it."""


class Service(MachineRoom):
    """The room with its servicer."""

    def __init__(self, folder: Path, writer: Executor, clock: Clock) -> None:
        super().__init__(folder, writer, clock)
        self.calls: LiveCalls[Any] = LiveCalls([self.register.judge], clock=clock)
        self.servicer = MachineServicer(
            self.issuer,
            self.enrolments,
            self.register,
            self.calls,
            RequestLedger(self.registry, clock=clock),
            RateLimit(now_s=lambda: 0.0, per_key=Rate(3, 1), in_all=Rate(100, 1)),
            enrolment_address=lambda: ADDRESS,
            clock=clock,
        )

    def called_by(self, peer: Peer) -> None:
        """Whoever calls from now on."""
        _ADMITTED.set(Admitted(peer, None, ""))


@pytest.fixture
async def service(tmp_path: Path, writer: Executor, clock: Clock) -> AsyncIterator[Service]:
    service = Service(tmp_path / "registry", writer, clock)
    await service.cameras.create("north", "", dry_run=False)
    service.called_by(a_peer(OFFICE))
    yield service
    await service.registry.close()


async def issue(service: Service, **parts: Any) -> pb.IssueCertificateResponse:
    request = {"role": pb.ROLE_CONTROL, "id": "desk", "csr_der": a_csr(), **parts}
    return await service.servicer.IssueCertificate(pb.IssueCertificateRequest(**request), CONTEXT)


async def listed(service: Service, **parts: Any) -> pb.ListCertificatesResponse:
    return await service.servicer.ListCertificates(pb.ListCertificatesRequest(**parts), CONTEXT)


async def revoke(service: Service, **parts: Any) -> pb.RevokeCertificateResponse:
    return await service.servicer.RevokeCertificate(pb.RevokeCertificateRequest(**parts), CONTEXT)


async def test_a_certificate_is_issued_for_what_was_asked(service: Service) -> None:
    issued = await issue(service)

    peer = read_certificate(issued.certificate_pem.encode())
    assert peer is not None
    assert str(peer.spiffe_id) == issued.spiffe_id == "spiffe://site.local/control/desk"
    assert issued.not_after.ToDatetime(UTC) == peer.not_after
    assert peer.not_after == service.clock() + LIFE_MAX[Role.CONTROL]
    assert issued.certificate_pem.count("BEGIN CERTIFICATE") == 2
    assert issued.ca_pem.encode() == an_authority().root_pem


async def test_the_same_request_again_issues_nothing_more(service: Service) -> None:
    csr = a_csr()

    first = await issue(service, csr_der=csr, request_id=REQUEST_ID)
    again = await issue(service, csr_der=csr, request_id=REQUEST_ID)

    assert first == again
    assert len((await listed(service)).certificates) == 1


async def test_a_trial_issues_nothing(service: Service) -> None:
    assert await issue(service, validate_only=True) == pb.IssueCertificateResponse()

    assert not (await listed(service)).certificates


async def test_a_camera_is_certified_once_it_is_registered_and_until_it_is_revoked(
    service: Service,
) -> None:
    for is_trial in (False, True):
        with pytest.raises(NotFound):
            await issue(service, role=pb.ROLE_CAMERA, id="south", validate_only=is_trial)
    assert (await issue(service, role=pb.ROLE_CAMERA, id="north")).certificate_pem
    await service.cameras.revoke("north", dry_run=False)
    for is_trial in (False, True):
        with pytest.raises(NotReady, match="revoked"):
            await issue(service, role=pb.ROLE_CAMERA, id="north", validate_only=is_trial)


ANY_SECONDS = st.integers(-(2**63), 2**63 - 1) | st.integers(0, 10_000_000)
ANY_NANOS = st.integers(-(2**31), 2**31 - 1)


@given(st.sampled_from([1, 2, 3]), ANY_SECONDS, ANY_NANOS)
def test_any_lifetime_is_within_bounds_or_the_callers_fault(
    role: pb.Role.ValueType, seconds: int, nanos: int
) -> None:
    days = 1 if role == pb.ROLE_CAMERA else 30
    try:
        life = life_of(
            pb.IssueCertificateRequest(role=role, lifetime=Duration(seconds=seconds, nanos=nanos))
        )
    except InvalidInput as refused:
        assert refused.field == "lifetime"  # noqa: PT017  # or none is raised
        assert not 60 <= seconds <= days * 86_400
        return
    assert timedelta(minutes=1) <= life <= timedelta(days=days)


async def test_a_machine_renews_itself_for_as_long_as_before(service: Service) -> None:
    old = peer_of(await service.issue(NORTH, minutes=2))
    service.called_by(old)
    service.clock.advance(seconds=80)

    renewed = await service.servicer.RenewCertificate(
        pb.RenewCertificateRequest(csr_der=a_csr()), CONTEXT
    )

    new = read_certificate(renewed.certificate_pem.encode())
    assert new is not None
    assert new.spiffe_id == NORTH
    assert (
        new.not_after == service.clock() + timedelta(minutes=2) == renewed.not_after.ToDatetime(UTC)
    )
    assert new.sha256 != old.sha256
    assert not service.register.denies(old)
    assert len((await listed(service, spiffe_id=str(NORTH))).certificates) == 2


async def test_a_long_certificate_of_before_is_renewed_for_no_longer_than_is_allowed(
    service: Service,
) -> None:
    now = service.clock()
    service.called_by(Peer(DESK, now, now + timedelta(days=90), "ab" * 32, 7))

    renewed = await service.servicer.RenewCertificate(
        pb.RenewCertificateRequest(csr_der=a_csr()), CONTEXT
    )

    assert renewed.not_after.ToDatetime(UTC) == now + LIFE_MAX[Role.CONTROL]


async def test_a_machine_cannot_fill_the_record_with_renewals(service: Service) -> None:
    service.called_by(peer_of(await service.issue(NORTH)))
    request = pb.RenewCertificateRequest(csr_der=a_csr())
    for _ in range(3):
        await service.servicer.RenewCertificate(request, CONTEXT)

    with pytest.raises(LimitReached, match="too many tries"):
        await service.servicer.RenewCertificate(request, CONTEXT)

    assert len((await listed(service)).certificates) == 4


async def test_what_is_revoked_does_not_renew_itself(service: Service) -> None:
    desk, camera = peer_of(await service.issue(DESK)), peer_of(await service.issue(NORTH))
    # Revoked between the look at the edge and the transaction.
    await service.register.revoke(sha256=desk.sha256, dry_run=False)
    await service.cameras.revoke("north", dry_run=False)
    request = pb.RenewCertificateRequest(csr_der=a_csr())

    service.called_by(desk)
    with pytest.raises(Unauthenticated, match="was revoked"):
        await service.servicer.RenewCertificate(request, CONTEXT)
    service.called_by(camera)
    with pytest.raises(NotReady, match="is revoked"):
        await service.servicer.RenewCertificate(request, CONTEXT)


async def test_a_token_is_made_with_where_to_spend_it_and_not_kept(service: Service) -> None:
    made = await service.servicer.CreateEnrolmentToken(
        pb.CreateEnrolmentTokenRequest(role=pb.ROLE_CAMERA, id="north", request_id=REQUEST_ID),
        CONTEXT,
    )

    assert made.token.startswith("cordon1.")
    assert made.enrolment_address == ADDRESS
    assert made.expire_time.ToDatetime(UTC) == service.clock() + timedelta(minutes=15)
    assert await service.registry.read(lambda txn: txn.count(REQUESTS)) == 0
    assert made.token.encode() not in (service.registry.folder / "data.mdb").read_bytes()


async def test_the_list_says_which_are_honoured(service: Service) -> None:
    revoked = await service.issue(DESK, hours=2)
    service.clock.advance(seconds=1)
    await service.issue(OFFICE, minutes=5)
    service.clock.advance(seconds=1)
    await service.issue(NORTH, hours=2)
    await service.register.revoke(sha256=revoked.sha256, dry_run=False)
    service.clock.advance(minutes=10)

    found = (await listed(service)).certificates

    assert [each.state for each in found] == [
        pb.CERTIFICATE_STATE_REVOKED,
        pb.CERTIFICATE_STATE_EXPIRED,
        pb.CERTIFICATE_STATE_VALID,
    ]
    assert [each.HasField("revoke_time") for each in found] == [True, False, False]
    assert found[0].name == f"certificates/{revoked.sha256}"


async def test_pages_of_certificates_lead_through_all(service: Service) -> None:
    for _ in range(5):
        await service.issue()
    names, token = [], ""

    while True:
        page = await listed(service, page_size=2, page_token=token)
        names += [each.name for each in page.certificates]
        token = page.next_page_token
        if not token:
            break

    assert names == [each.name for each in (await listed(service)).certificates]
    assert len(set(names)) == 5


async def test_one_certificate_or_all_of_an_identity_are_revoked(service: Service) -> None:
    one, two, three = [await service.issue() for _ in range(3)]

    first = await revoke(service, name=f"certificates/{one.sha256}")
    rest = await revoke(service, spiffe_id=str(DESK))

    assert [each.name for each in first.certificates] == [f"certificates/{one.sha256}"]
    assert {each.name for each in rest.certificates} == {
        f"certificates/{each.sha256}" for each in (two, three)
    }
    assert all(service.register.denies(peer_of(each)) for each in (one, two, three))


@pytest.mark.parametrize(
    "parts", [{}, {"name": "certificates/" + "ab" * 32, "spiffe_id": str(DESK)}]
)
async def test_what_to_revoke_is_said_in_one_way(service: Service, parts: dict[str, str]) -> None:
    with pytest.raises(InvalidInput, match="and not both"):
        await revoke(service, **parts)


async def test_nobody_revokes_the_certificate_that_asks(service: Service) -> None:
    own = peer_of(await service.issue(OFFICE))
    service.called_by(own)

    for parts in ({"name": f"certificates/{own.sha256}"}, {"spiffe_id": str(OFFICE)}):
        with pytest.raises(NotReady, match="from another workstation") as refused:
            await revoke(service, **parts)
        assert refused.value.reason == "OWN_CERTIFICATE"
    assert not service.register.denies(own)


async def test_a_trial_of_revoking_denies_nobody(service: Service) -> None:
    issued = await service.issue()

    tried = await revoke(service, name=f"certificates/{issued.sha256}", validate_only=True)

    assert len(tried.certificates) == 1
    assert not service.register.denies(peer_of(issued))


async def test_an_identity_without_certificates_is_shut_out_in_silence(service: Service) -> None:
    await deny_identity(service.register, service.calls, NORTH)
    issued = await service.issue(NORTH)
    await deny_identity(service.register, service.calls, NORTH)
    await deny_identity(service.register, service.calls, NORTH)

    assert service.register.denies(peer_of(issued))
