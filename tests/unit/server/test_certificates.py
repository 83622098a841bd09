from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from cordon_server.domain import ConfigInvalid, InvalidInput
from cordon_server.identity.certificates import (
    BACKDATE,
    CSR_BYTES_MAX,
    LIFE_MAX,
    LIFE_MIN,
    SERVER_LIFE,
    CertificateAuthority,
    check_life,
    read_csr,
    write_private,
)
from cordon_server.identity.hierarchy import ISSUING_LIFE, make_root
from cordon_server.identity.names import Role, SpiffeId
from cordon_server.identity.peers import read_certificate

NORTH = SpiffeId("site.local", Role.CAMERA, "north")
NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    return make_root("site.local", now=NOW).issuing("site.local", ("localhost",), now=NOW)


def a_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def a_csr(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey,
    *extensions: x509.ExtensionType,
) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "admin root")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    for each in extensions:
        builder = builder.add_extension(each, critical=True)
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, digest).public_bytes(serialization.Encoding.DER)


def uris(certificate: x509.Certificate) -> list[str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert len(list(names)) == len(names.get_values_for_type(x509.UniformResourceIdentifier))
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def uses(certificate: x509.Certificate) -> list[x509.ObjectIdentifier]:
    return list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def is_authority(certificate: x509.Certificate) -> bool:
    found = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert found.critical
    return found.value.ca


def test_a_client_certificate_carries_exactly_one_name_and_one_use(
    authority: CertificateAuthority,
) -> None:
    key = a_key()

    certificate = authority.issue_client(key.public_key(), NORTH, timedelta(days=2), now=NOW)

    assert uris(certificate) == ["spiffe://site.local/camera/north"]
    assert uses(certificate) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not is_authority(certificate)
    assert certificate.public_key() == key.public_key()
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert not usage.key_cert_sign
    certificate.verify_directly_issued_by(authority.certificate)
    peer = read_certificate(certificate.public_bytes(serialization.Encoding.PEM))
    assert peer is not None
    assert peer.spiffe_id == NORTH


@pytest.mark.parametrize("life", [timedelta(minutes=1), timedelta(days=30), timedelta(days=90)])
def test_a_client_certificate_lives_as_long_as_was_asked(
    authority: CertificateAuthority, life: timedelta
) -> None:
    certificate = authority.issue_client(a_key().public_key(), NORTH, life, now=NOW)

    assert certificate.not_valid_after_utc == NOW + life
    assert certificate.not_valid_before_utc == NOW - BACKDATE


def test_no_certificate_outlives_its_authority(authority: CertificateAuthority) -> None:
    certificate = authority.issue_client(a_key().public_key(), NORTH, 2 * ISSUING_LIFE, now=NOW)

    assert certificate.not_valid_after_utc == authority.certificate.not_valid_after_utc


def test_a_server_certificate_names_its_hosts_and_serves_alone(
    authority: CertificateAuthority,
) -> None:
    pair = authority.issue_server(("lfr.north.example", "10.0.0.7", "::1"), now=NOW)

    certificate = x509.load_pem_x509_certificate(pair.certificate_pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["lfr.north.example"]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.7", "::1"]
    assert uses(certificate) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert not is_authority(certificate)
    assert read_certificate(pair.certificate_pem) is None
    assert certificate.not_valid_after_utc == NOW + SERVER_LIFE


def test_the_longest_host_name_fits(authority: CertificateAuthority) -> None:
    host = ".".join(["a" * 61] * 4)

    pair = authority.issue_server((host,), now=NOW)

    assert x509.load_pem_x509_certificate(pair.certificate_pem)


@pytest.mark.parametrize(
    "host", ["", "münchen.example", "two words", "-a", "a/b", "a" * 64, "a." * 150 + "a", 'a"b']
)
def test_what_cannot_be_a_host_is_refused_in_words(
    authority: CertificateAuthority, host: str
) -> None:
    with pytest.raises(ConfigInvalid, match="neither a host name nor an IP address"):
        authority.issue_server((host,), now=NOW)


@pytest.mark.parametrize(
    "asked",
    [
        (x509.BasicConstraints(ca=True, path_length=None),),
        (
            x509.SubjectAlternativeName(
                [x509.UniformResourceIdentifier("spiffe://other.site/admin/root")]
            ),
        ),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]),),
    ],
    ids=["an authority", "another's name", "any use"],
)
def test_of_a_request_only_the_key_is_taken(
    authority: CertificateAuthority, asked: tuple[x509.ExtensionType, ...]
) -> None:
    key = a_key()

    taken = read_csr(a_csr(key, *asked))
    certificate = authority.issue_client(taken, NORTH, timedelta(days=1), now=NOW)

    assert taken == key.public_key()
    assert uris(certificate) == [str(NORTH)]
    assert uses(certificate) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not is_authority(certificate)
    assert "root" not in certificate.subject.rfc4514_string()


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 1024),
        rsa.generate_private_key(65537, 2048),
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP256K1()),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=["RSA-1024", "RSA", "P-384", "K-256", "Ed25519"],
)
def test_another_kind_of_key_is_refused(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey,
) -> None:
    with pytest.raises(InvalidInput, match="not ECDSA P-256") as refused:
        read_csr(a_csr(key))

    assert refused.value.field == "csr_der"


def test_a_request_larger_than_any_is_refused_unread() -> None:
    with pytest.raises(InvalidInput, match=f"{CSR_BYTES_MAX} bytes at most"):
        read_csr(b"\x30" * (CSR_BYTES_MAX + 1))


def test_lives_are_what_was_promised() -> None:
    assert LIFE_MAX == {
        Role.CAMERA: DAY,
        Role.CONTROL: 30 * DAY,
        Role.ADMIN: 30 * DAY,
    }
    assert timedelta(minutes=1) == LIFE_MIN


@pytest.mark.parametrize("role", list(Role))
def test_a_life_is_within_the_roles_bounds(role: Role) -> None:
    a_second = timedelta(seconds=1)
    for life in (LIFE_MIN, LIFE_MAX[role]):
        check_life(role, life)
    for life in (LIFE_MIN - a_second, LIFE_MAX[role] + a_second, timedelta(0), -DAY):
        with pytest.raises(InvalidInput, match="lifetime of a") as refused:
            check_life(role, life)
        assert refused.value.field == "lifetime"


def test_a_request_that_its_key_did_not_sign_is_refused() -> None:
    csr = a_csr(a_key()).replace(b"admin root", b"admin boot")

    with pytest.raises(InvalidInput, match="signature of csr_der does not verify"):
        read_csr(csr)


P_256 = bytes.fromhex("06082a8648ce3d030107")


@pytest.mark.parametrize("last", [0x01, 0x09, 0x7F])
def test_a_curve_that_nobody_knows_is_the_callers_fault(last: int) -> None:
    csr = a_csr(a_key())
    assert P_256 in csr

    with pytest.raises(InvalidInput) as refused:
        read_csr(csr.replace(P_256, P_256[:-1] + bytes([last])))

    assert refused.value.field == "csr_der"


GOOD_CSR = a_csr(a_key())


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300) | st.just(b""))
def test_any_bytes_are_a_request_or_the_callers_fault(junk: bytes) -> None:
    with pytest.raises(InvalidInput):
        read_csr(junk)


@pytest.mark.slow
@settings(max_examples=250, deadline=None)
@given(st.integers(0, len(GOOD_CSR) - 1), st.integers(1, 255))
def test_a_request_with_one_byte_changed_is_refused(place: int, change: int) -> None:
    csr = bytearray(GOOD_CSR)
    csr[place] ^= change

    with pytest.raises(InvalidInput):
        read_csr(bytes(csr))


def test_a_private_file_is_its_owners_and_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    write_private(path, b"one")

    with pytest.raises(FileExistsError):
        write_private(path, b"two")

    assert path.read_bytes() == b"one"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
