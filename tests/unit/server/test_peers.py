from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from cordon_server.domain import Unauthenticated
from cordon_server.identity.names import Role, SpiffeId, parse_spiffe_id
from cordon_server.identity.peers import identify, read_certificate

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
BEGIN, END = NOW - timedelta(days=1), NOW + timedelta(days=1)
NORTH = "spiffe://site.local/camera/north"
KEY = ec.generate_private_key(ec.SECP256R1())


def a_certificate(*names: x509.GeneralName) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "camera north")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(KEY.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(BEGIN)
        .not_valid_after(END)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def uri(text: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(text)


def a_context(pem: bytes) -> dict[str, list[bytes]]:
    return {"x509_pem_cert": [pem], "transport_security_type": [b"ssl"]}


def test_a_peer_is_who_its_certificate_names() -> None:
    peer = identify(a_context(a_certificate(uri(NORTH))), "site.local", NOW)

    assert peer.spiffe_id == SpiffeId("site.local", Role.CAMERA, "north")
    assert (peer.not_before, peer.not_after) == (BEGIN, END)


@pytest.mark.parametrize(
    "names",
    [
        (),
        (x509.DNSName("site.local"),),
        (uri(NORTH), uri(NORTH)),
        (uri(NORTH), uri("spiffe://site.local/admin/first")),
        (uri("https://site.local/camera/north"),),
        (uri("spiffe://site.local/camera/north/more"),),
        (uri("spiffe://site.local/robot/north"),),
        (uri("spiffe://site.local/camera/North"),),
        (uri("spiffe://site.local/camera/"),),
        (uri("spiffe://site.local:443/camera/north"),),
        (uri("spiffe://user@site.local/camera/north"),),
        (uri(NORTH + "?role=admin"),),
        (uri(NORTH + "#"),),
    ],
)
def test_a_certificate_names_exactly_one_identity_of_ours(
    names: tuple[x509.GeneralName, ...],
) -> None:
    pem = a_certificate(*names)

    assert read_certificate(pem) is None
    with pytest.raises(Unauthenticated, match=r"names no identity .* cordon admin cert issue"):
        identify(a_context(pem), "site.local", NOW)


def test_a_dns_name_beside_the_identity_does_not_matter() -> None:
    pem = a_certificate(x509.DNSName("camera.local"), uri(NORTH))

    assert identify(a_context(pem), "site.local", NOW).spiffe_id.name == "north"


def test_a_certificate_of_another_site_is_refused() -> None:
    pem = a_certificate(uri("spiffe://site.local.evil/camera/north"))

    with pytest.raises(Unauthenticated, match=r"of site site\.local\.evil"):
        identify(a_context(pem), "site.local", NOW)


@pytest.mark.parametrize(
    ("now", "is_valid"),
    [
        (BEGIN - timedelta(seconds=1), False),
        (BEGIN, True),
        (END - timedelta(seconds=1), True),
        (END, False),
        (END + timedelta(days=365), False),
    ],
)
def test_a_certificate_holds_between_its_dates(now: datetime, is_valid: bool) -> None:
    context = a_context(a_certificate(uri(NORTH)))

    if is_valid:
        assert identify(context, "site.local", now)
    else:
        with pytest.raises(Unauthenticated, match=r"is valid from 2026-05-31 .* cert issue"):
            identify(context, "site.local", now)


@pytest.mark.parametrize("context", [{}, {"x509_pem_cert": []}, {"x509_common_name": [b"admin"]}])
def test_without_a_certificate_nobody_is_anyone(context: dict[str, list[bytes]]) -> None:
    with pytest.raises(Unauthenticated, match="no client certificate"):
        identify(context, "site.local", NOW)


LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)


@pytest.mark.slow
@given(LABELS, st.sampled_from(Role), LABELS)
def test_identities_are_read_as_they_are_written(site: str, role: Role, name: str) -> None:
    spiffe_id = SpiffeId(site, role, name)

    assert parse_spiffe_id(str(spiffe_id)) == spiffe_id


@given(st.text(max_size=60) | st.text("spife:/.-camerdno \n", max_size=60).map("spiffe://".__add__))
def test_any_text_names_an_identity_to_the_letter_or_none(text: str) -> None:
    spiffe_id = parse_spiffe_id(text)

    assert spiffe_id is None or str(spiffe_id) == text
