from __future__ import annotations

import ssl
import stat
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from cordon_server.domain import ConfigInvalid
from cordon_server.identity.certificates import CertificateAuthority, KeyPair, key_pem
from cordon_server.identity.hierarchy import (
    ISSUING_LIFE,
    ROOT_LIFE,
    Root,
    check_passphrase,
    load_authority,
    load_root,
    make_root,
    new_passphrase,
    save_authority,
    save_root,
)
from cordon_server.identity.names import Role, SpiffeId

NOW = datetime.now(UTC).replace(microsecond=0)
SITE = "site.local"
NORTH = SpiffeId(SITE, Role.CAMERA, "north")
PASSPHRASE = "a phrase for tests"


@pytest.fixture(scope="module")
def root() -> Root:
    return make_root(SITE, now=NOW)


@pytest.fixture(scope="module")
def authority(root: Root) -> CertificateAuthority:
    return root.issuing(SITE, ("lfr.site.local", "10.0.0.7"), now=NOW)


def a_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def a_client(authority: CertificateAuthority, spiffe_id: SpiffeId) -> KeyPair:
    key = a_key()
    leaf = authority.issue_client(key.public_key(), spiffe_id, timedelta(days=1), now=NOW)
    return KeyPair(authority.chain_pem(leaf), key_pem(key))


def basic(certificate: x509.Certificate) -> x509.BasicConstraints:
    found = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert found.critical
    return found.value


def shake_hands(authority: CertificateAuthority, server: KeyPair, client: KeyPair) -> None:
    """A TLS handshake in memory, each side checking the other as strictly as OpenSSL can."""
    contexts = []
    for purpose, pair in (
        (ssl.PROTOCOL_TLS_SERVER, server),
        (ssl.PROTOCOL_TLS_CLIENT, client),
    ):
        context = ssl.SSLContext(purpose)
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.load_verify_locations(cadata=authority.root_pem.decode())
        with TemporaryDirectory() as folder:
            for name, content in (("c", pair.certificate_pem), ("k", pair.key_pem)):
                (Path(folder) / name).write_bytes(content)
            context.load_cert_chain(Path(folder) / "c", Path(folder) / "k")
        contexts.append(context)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    serving = contexts[0].wrap_bio(up, down, server_side=True)
    asking = contexts[1].wrap_bio(down, up, server_hostname="lfr.site.local")
    for side in (asking, serving, asking, serving):
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
    assert serving.getpeercert() is not None


def test_the_root_signs_one_level_of_authorities_and_the_issuing_one_none(
    root: Root, authority: CertificateAuthority
) -> None:
    assert basic(root.certificate) == x509.BasicConstraints(ca=True, path_length=1)
    assert basic(authority.certificate) == x509.BasicConstraints(ca=True, path_length=0)
    assert authority.root == root.certificate
    authority.certificate.verify_directly_issued_by(root.certificate)
    assert root.certificate.not_valid_after_utc == NOW + ROOT_LIFE
    assert authority.certificate.not_valid_after_utc == NOW + ISSUING_LIFE


def test_the_issuing_authority_may_name_this_site_and_its_hosts_alone(
    authority: CertificateAuthority,
) -> None:
    found = authority.certificate.extensions.get_extension_for_class(x509.NameConstraints)

    assert found.critical
    assert found.value.permitted_subtrees == [
        x509.UniformResourceIdentifier(SITE),
        x509.DNSName("lfr.site.local"),
    ]


def test_without_an_address_of_its_own_it_may_name_none(root: Root) -> None:
    authority = root.issuing(SITE, ("lfr.site.local",), now=NOW)

    found = authority.certificate.extensions.get_extension_for_class(x509.NameConstraints)

    assert [str(each.value) for each in found.value.excluded_subtrees or ()] == [
        "0.0.0.0/0",
        "::/0",
    ]


def test_below_an_issuing_authority_there_is_no_authority(authority: CertificateAuthority) -> None:
    key, leaf_key = a_key(), a_key()
    below = CertificateAuthority(
        _signed_by(authority, key, x509.BasicConstraints(ca=True, path_length=None)),
        key,
        authority.root,
    )
    leaf = below.issue_client(leaf_key.public_key(), NORTH, timedelta(days=1), now=NOW)
    verifier = PolicyBuilder().store(Store([authority.root])).time(NOW).build_client_verifier()

    with pytest.raises(VerificationError):
        verifier.verify(leaf, [below.certificate, authority.certificate])


def test_the_strictest_of_checks_takes_the_certificates(authority: CertificateAuthority) -> None:
    server = authority.issue_server(("lfr.site.local", "10.0.0.7"), now=NOW)

    shake_hands(authority, server, a_client(authority, NORTH))

    leaf, issuing = x509.load_pem_x509_certificates(server.certificate_pem)
    verifier = PolicyBuilder().store(Store([authority.root])).time(NOW)
    for name in (x509.DNSName("lfr.site.local"), x509.IPAddress(ip_address("10.0.0.7"))):
        verifier.build_server_verifier(name).verify(leaf, [issuing])


def test_what_the_issuing_authority_signs_outside_its_names_is_refused(
    authority: CertificateAuthority,
) -> None:
    server = authority.issue_server(("lfr.site.local",), now=NOW)
    elsewhere = authority.issue_server(("lfr.other.local", "lfr.site.local"), now=NOW)
    stranger = a_client(authority, SpiffeId("other.local", Role.ADMIN, "root"))

    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        shake_hands(authority, server, stranger)
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        shake_hands(authority, elsewhere, a_client(authority, NORTH))


def test_an_authority_is_loaded_as_it_was_kept(
    authority: CertificateAuthority, tmp_path: Path
) -> None:
    save_authority(tmp_path, authority)

    loaded = load_authority(tmp_path)

    assert (loaded.certificate, loaded.root) == (authority.certificate, authority.root)
    assert key_pem(loaded.key) == key_pem(authority.key)
    assert stat.S_IMODE((tmp_path / "issuing-key.pem").stat().st_mode) == 0o600


@pytest.mark.parametrize("lost", ["ca.pem", "issuing.pem", "issuing-key.pem"])
@pytest.mark.parametrize("damage", [None, b"no PEM"])
def test_an_authority_that_cannot_be_read_says_what_to_do(
    authority: CertificateAuthority, tmp_path: Path, lost: str, damage: bytes | None
) -> None:
    save_authority(tmp_path, authority)
    (tmp_path / lost).unlink()
    if damage is not None:
        (tmp_path / lost).write_bytes(damage)

    with pytest.raises(ConfigInvalid, match=f"{lost} cannot be read .*cordon server init"):
        load_authority(tmp_path)


def test_files_that_do_not_belong_together_are_refused(
    root: Root, authority: CertificateAuthority, tmp_path: Path
) -> None:
    save_authority(tmp_path, authority)
    other = make_root(SITE, now=NOW).issuing(SITE, ("lfr.site.local",), now=NOW)
    pem = serialization.Encoding.PEM

    (tmp_path / "ca.pem").write_bytes(other.root_pem)
    with pytest.raises(ConfigInvalid, match="was not signed by"):
        load_authority(tmp_path)
    (tmp_path / "issuing.pem").write_bytes(other.certificate.public_bytes(pem))
    with pytest.raises(ConfigInvalid, match="is not the key of the certificate beside it"):
        load_authority(tmp_path)
    (tmp_path / "issuing-key.pem").write_bytes(
        ed25519.Ed25519PrivateKey.generate().private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    with pytest.raises(ConfigInvalid, match="not an ECDSA key"):
        load_authority(tmp_path)


def test_the_roots_key_opens_with_its_passphrase_alone(root: Root, tmp_path: Path) -> None:
    save_root(tmp_path / "root", root, PASSPHRASE)

    assert b"ENCRYPTED" in (tmp_path / "root" / "root-key.pem").read_bytes()
    assert key_pem(load_root(tmp_path / "root", PASSPHRASE).key) == key_pem(root.key)
    for wrong in ("another phrase of words", ""):
        with pytest.raises(ConfigInvalid, match=r"root-key\.pem cannot be read"):
            load_root(tmp_path / "root", wrong)


def test_a_passphrase_that_could_be_guessed_is_refused() -> None:
    check_passphrase(new_passphrase())
    with pytest.raises(ConfigInvalid, match="16 characters"):
        check_passphrase("x" * 15)
    assert new_passphrase() != new_passphrase()


def _signed_by(
    authority: CertificateAuthority,
    key: ec.EllipticCurvePrivateKey,
    constraints: x509.BasicConstraints,
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "below")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(minutes=1))
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(constraints, critical=True)
        .sign(authority.key, hashes.SHA256())
    )
