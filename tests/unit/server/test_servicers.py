"""Values of the wire that no field rule can refuse, and what the servicers make of them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from cordon.v1 import machine_pb2
from cordon_server.api import convert
from cordon_server.api.machines import MachineServicer, _life
from cordon_server.api.matches import _token_sequence
from cordon_server.authority.cameras import Cameras
from cordon_server.domain import InvalidInput, NotFound, NotReady
from cordon_server.identity.certificates import make_authority
from cordon_server.identity.peers import read_certificate
from cordon_server.store.environment import Environment
from cordon_server.store.requests import RequestLedger
from tests.unit.server.rooms import Clock

ANY_SECONDS = st.integers(-(2**63), 2**63 - 1)
ANY_NANOS = st.integers(-(2**31), 2**31 - 1)


@given(ANY_SECONDS | st.integers(-70_000_000_000, 300_000_000_000), ANY_NANOS)
def test_any_timestamp_is_a_moment_or_the_callers_fault(seconds: int, nanos: int) -> None:
    try:
        moment = convert.moment(Timestamp(seconds=seconds, nanos=nanos), "sent_at")
    except InvalidInput:
        return
    assert moment.tzinfo is UTC


@given(st.datetimes(timezones=st.just(UTC)))
def test_moments_survive_the_wire(moment: datetime) -> None:
    assert convert.moment(convert.timestamp(moment), "sent_at") == moment


@given(ANY_SECONDS | st.integers(0, 10_000_000), ANY_NANOS)
def test_any_lifetime_is_within_bounds_or_the_callers_fault(seconds: int, nanos: int) -> None:
    lifetime = Duration(seconds=seconds, nanos=nanos)
    try:
        life = _life(machine_pb2.IssueCertificateRequest(lifetime=lifetime))
    except InvalidInput as refused:
        assert refused.field == "lifetime"  # noqa: PT017  # or none is raised
        return
    assert 60 <= life.total_seconds() <= 90 * 86_400


@given(st.text(min_size=1, max_size=60))
def test_page_tokens_lead_back_to_the_item(last: str) -> None:
    assert convert.after_token(convert.page_token(last)) == last


@given(st.from_regex(r"[A-Za-z0-9._=-]{0,128}", fullmatch=True))
def test_any_token_is_read_or_the_callers_fault(token: str) -> None:
    for read in (convert.after_token, _token_sequence):
        try:
            read(token)
        except InvalidInput as refused:
            assert refused.field == "page_token"  # noqa: PT017  # or none is raised


@pytest.mark.parametrize("last", ["9" * 90, "-1", "1.5", "x", str(2**64)])
def test_a_token_that_is_no_sequence_is_refused(last: str) -> None:
    with pytest.raises(InvalidInput):
        _token_sequence(convert.page_token(last))


def test_every_state_and_reason_has_its_word_on_the_wire() -> None:
    for table in (
        convert.OUTCOMES,
        convert.HALT_REASONS,
        convert.STATES,
        convert.DECISIONS,
        convert.REASON_CODES,
    ):
        kinds = {type(each) for each in table if not isinstance(each, int)}
        for kind in kinds:
            assert set(kind) == set(table), kind
        assert len({str(each) for each in table.values()}) == len(table)
        assert 0 not in table.values()


@pytest.fixture
def cameras(registry: Environment, clock: Clock) -> Cameras:
    return Cameras(registry, count_max=5, clock=clock)


@pytest.fixture
def servicer(registry: Environment, cameras: Cameras, clock: Clock) -> MachineServicer:
    ledger = RequestLedger(registry, clock=clock)
    return MachineServicer(make_authority("site.local"), "site.local", cameras, ledger)


def a_request(
    role: machine_pb2.Role.ValueType, name: str, *, trial: bool = False
) -> machine_pb2.IssueCertificateRequest:
    key = ec.generate_private_key(ec.SECP256R1())
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return machine_pb2.IssueCertificateRequest(
        role=role,
        id=name,
        csr_der=csr.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER),
        validate_only=trial,
    )


async def issue(
    servicer: MachineServicer, request: machine_pb2.IssueCertificateRequest
) -> machine_pb2.IssueCertificateResponse:
    return await servicer._issue(request)


async def test_a_certificate_is_issued_for_what_was_asked(servicer: MachineServicer) -> None:
    issued = await issue(servicer, a_request(machine_pb2.ROLE_CONTROL, "anna"))

    peer = read_certificate(issued.certificate_pem.encode())
    assert peer is not None
    assert str(peer.spiffe_id) == issued.spiffe_id == "spiffe://site.local/control/anna"
    assert issued.not_after.ToDatetime(UTC) == peer.not_after


async def test_a_trial_issues_nothing(servicer: MachineServicer) -> None:
    request = a_request(machine_pb2.ROLE_CONTROL, "anna", trial=True)

    assert await issue(servicer, request) == machine_pb2.IssueCertificateResponse()


async def test_a_camera_is_certified_once_it_is_registered_and_until_it_is_revoked(
    servicer: MachineServicer, cameras: Cameras
) -> None:
    request = a_request(machine_pb2.ROLE_CAMERA, "north")
    with pytest.raises(NotFound):
        await issue(servicer, request)
    await cameras.create("north", "", dry_run=False)
    assert (await issue(servicer, request)).certificate_pem
    await cameras.revoke("north", dry_run=False)
    with pytest.raises(NotReady, match="revoked"):
        await issue(servicer, request)
