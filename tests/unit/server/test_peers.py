from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from cordon_server.domain import Unauthenticated
from cordon_server.identity.names import Role, SpiffeId, parse_spiffe_id
from cordon_server.identity.peers import Peer, check_honoured, identify, read_certificate

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
BEGIN, END = NOW - timedelta(days=1), NOW + timedelta(days=1)
NORTH = "spiffe://site.local/camera/north"
KEY = ec.generate_private_key(ec.SECP256R1())


class Denied:
    """A deny list of serial numbers."""

    def __init__(self, *serials: int) -> None:
        self.serials = serials

    def denies(self, peer: Peer) -> bool:
        return peer.serial in self.serials


NOBODY = Denied()


def a_certificate(
    *names: x509.GeneralName,
    uses: tuple[x509.ObjectIdentifier, ...] = (ExtendedKeyUsageOID.CLIENT_AUTH,),
    ca: bool | None = False,
) -> bytes:
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
    if uses:
        builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def uri(text: str) -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(text)


def a_context(pem: bytes) -> dict[str, list[bytes]]:
    return {"x509_pem_cert": [pem], "transport_security_type": [b"ssl"]}


def test_a_peer_is_who_its_certificate_names() -> None:
    peer = identify(a_context(a_certificate(uri(NORTH))), "site.local", NOW, NOBODY)

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
        identify(a_context(pem), "site.local", NOW, NOBODY)


@pytest.mark.parametrize(
    "uses",
    [
        (),
        (ExtendedKeyUsageOID.SERVER_AUTH,),
        (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,),
        (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH),
        (ExtendedKeyUsageOID.EMAIL_PROTECTION,),
    ],
    ids=["none", "server", "any", "both", "mail"],
)
def test_a_certificate_for_anything_but_clients_names_nobody(
    uses: tuple[x509.ObjectIdentifier, ...],
) -> None:
    assert read_certificate(a_certificate(uri(NORTH), uses=uses)) is None


@pytest.mark.parametrize("ca", [True, None])
def test_an_authority_is_no_client(ca: bool | None) -> None:
    assert read_certificate(a_certificate(uri(NORTH), ca=ca)) is None


def test_a_peer_carries_what_a_token_is_bound_to_and_what_is_denied() -> None:
    pem = a_certificate(uri(NORTH))
    certificate = x509.load_pem_x509_certificate(pem)

    peer = identify(a_context(pem), "site.local", NOW, NOBODY)

    assert peer.sha256 == certificate.fingerprint(hashes.SHA256()).hex()
    assert peer.serial == certificate.serial_number


def test_a_revoked_certificate_is_refused() -> None:
    pem = a_certificate(uri(NORTH))
    peer = identify(a_context(pem), "site.local", NOW, NOBODY)

    with pytest.raises(Unauthenticated, match=r"of .*/camera/north was revoked") as refused:
        identify(a_context(pem), "site.local", NOW, Denied(peer.serial))

    assert refused.value.reason == "CERTIFICATE_REVOKED"
    with pytest.raises(Unauthenticated):
        check_honoured(peer, NOW, Denied(peer.serial))


@pytest.mark.parametrize("reused", [b"true", b"True", b"1", b""])
def test_a_resumed_session_is_refused_whatever_its_certificate(reused: bytes) -> None:
    context = {**a_context(a_certificate(uri(NORTH))), "ssl_session_reused": [reused]}

    with pytest.raises(Unauthenticated, match="session was resumed") as refused:
        identify(context, "site.local", NOW, NOBODY)

    assert refused.value.reason == "SESSION_RESUMED"


def test_a_session_that_was_not_resumed_is_taken() -> None:
    context = {**a_context(a_certificate(uri(NORTH))), "ssl_session_reused": [b"false"]}

    assert identify(context, "site.local", NOW, NOBODY)


def test_a_dns_name_beside_the_identity_does_not_matter() -> None:
    pem = a_certificate(x509.DNSName("camera.local"), uri(NORTH))

    assert identify(a_context(pem), "site.local", NOW, NOBODY).spiffe_id.name == "north"


def test_a_certificate_of_another_site_is_refused() -> None:
    pem = a_certificate(uri("spiffe://site.local.evil/camera/north"))

    with pytest.raises(Unauthenticated, match=r"of site site\.local\.evil"):
        identify(a_context(pem), "site.local", NOW, NOBODY)


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
        assert identify(context, "site.local", now, NOBODY)
    else:
        with pytest.raises(Unauthenticated, match=r"is valid from 2026-05-31 .* cert issue"):
            identify(context, "site.local", now, NOBODY)


@pytest.mark.parametrize("context", [{}, {"x509_pem_cert": []}, {"x509_common_name": [b"admin"]}])
def test_without_a_certificate_nobody_is_anyone(context: dict[str, list[bytes]]) -> None:
    with pytest.raises(Unauthenticated, match="no client certificate"):
        identify(context, "site.local", NOW, NOBODY)


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
