from __future__ import annotations

import ssl
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
    CA_LIFE,
    SERVER_LIFE,
    CertificateAuthority,
    key_pem,
    load_authority,
    make_authority,
    read_csr,
    write_private,
)
from cordon_server.identity.names import Role, SpiffeId
from cordon_server.identity.peers import read_certificate

NORTH = SpiffeId("site.local", Role.CAMERA, "north")
A_MOMENT = timedelta(seconds=5)


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    return make_authority("site.local")


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

    certificate = authority.issue_client(key.public_key(), NORTH, timedelta(days=2))

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
    certificate = authority.issue_client(a_key().public_key(), NORTH, life)

    now = datetime.now(UTC)
    assert abs(certificate.not_valid_after_utc - (now + life)) < A_MOMENT
    assert abs(certificate.not_valid_before_utc - (now - BACKDATE)) < A_MOMENT


def test_no_certificate_outlives_its_authority(authority: CertificateAuthority) -> None:
    certificate = authority.issue_client(a_key().public_key(), NORTH, 2 * CA_LIFE)

    assert certificate.not_valid_after_utc == authority.certificate.not_valid_after_utc


def test_a_server_certificate_names_its_hosts_and_serves_alone(
    authority: CertificateAuthority,
) -> None:
    pair = authority.issue_server(("lfr.north.example", "10.0.0.7", "::1"))

    certificate = x509.load_pem_x509_certificate(pair.certificate_pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["lfr.north.example"]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.7", "::1"]
    assert uses(certificate) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert not is_authority(certificate)
    assert read_certificate(pair.certificate_pem) is None
    life = certificate.not_valid_after_utc - datetime.now(UTC)
    assert abs(life - SERVER_LIFE) < A_MOMENT


def test_the_longest_host_name_fits(authority: CertificateAuthority) -> None:
    host = ".".join(["a" * 61] * 4)

    pair = authority.issue_server((host,))

    assert x509.load_pem_x509_certificate(pair.certificate_pem)


@pytest.mark.parametrize(
    "host", ["", "münchen.example", "two words", "-a", "a/b", "a" * 64, "a." * 150 + "a", 'a"b']
)
def test_what_cannot_be_a_host_is_refused_in_words(
    authority: CertificateAuthority, host: str
) -> None:
    with pytest.raises(ConfigInvalid, match="neither a host name nor an IP address"):
        authority.issue_server((host,))


def test_an_authority_signs_and_may_have_no_authority_below_it(
    authority: CertificateAuthority,
) -> None:
    certificate = authority.certificate
    basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value

    assert is_authority(certificate)
    assert basic.path_length == 0
    certificate.verify_directly_issued_by(certificate)
    assert abs(certificate.not_valid_after_utc - datetime.now(UTC) - CA_LIFE) < A_MOMENT


def test_the_strictest_of_pythons_checks_takes_the_certificates(
    authority: CertificateAuthority, tmp_path: Path
) -> None:
    key = a_key()
    client = authority.issue_client(key.public_key(), NORTH, timedelta(days=1))
    store = x509.verification.Store([authority.certificate])
    verifier = x509.verification.PolicyBuilder().store(store)

    verified = verifier.build_client_verifier().verify(client, [])

    assert verified.subjects == [x509.UniformResourceIdentifier(str(NORTH))]
    server = authority.issue_server(("localhost",))
    (tmp_path / "cert.pem").write_bytes(server.certificate_pem)
    write_private(tmp_path / "key.pem", server.key_pem)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
        tmp_path / "cert.pem", tmp_path / "key.pem"
    )


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
    certificate = authority.issue_client(taken, NORTH, timedelta(days=1))

    assert taken == key.public_key()
    assert uris(certificate) == [str(NORTH)]
    assert uses(certificate) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not is_authority(certificate)
    assert "root" not in certificate.subject.rfc4514_string()


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 2048),
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP256K1()),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=["RSA", "P-384", "K-256", "Ed25519"],
)
def test_another_kind_of_key_is_refused(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey,
) -> None:
    with pytest.raises(InvalidInput, match="not ECDSA P-256") as refused:
        read_csr(a_csr(key))

    assert refused.value.field == "csr_der"


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


def test_an_authority_is_loaded_as_it_was_kept(
    authority: CertificateAuthority, tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    write_private(tmp_path / "ca-key.pem", key_pem(authority.key))

    loaded = load_authority(tmp_path)

    assert loaded.certificate == authority.certificate
    assert key_pem(loaded.key) == key_pem(authority.key)


def test_an_authority_that_cannot_be_read_says_what_to_do(
    authority: CertificateAuthority, tmp_path: Path
) -> None:
    with pytest.raises(ConfigInvalid, match="cordon server init"):
        load_authority(tmp_path)
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    (tmp_path / "ca-key.pem").write_bytes(b"no key")
    with pytest.raises(ConfigInvalid, match="cordon server init"):
        load_authority(tmp_path)
    (tmp_path / "ca-key.pem").write_bytes(
        ed25519.Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    with pytest.raises(ConfigInvalid, match="not an ECDSA key"):
        load_authority(tmp_path)


def test_a_private_file_is_its_owners_and_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    write_private(path, b"one")

    with pytest.raises(FileExistsError):
        write_private(path, b"two")

    assert path.read_bytes() == b"one"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
