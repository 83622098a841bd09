"""Makes a site: settings, root and issuing authority, server certificate, first workstation,
first administrator.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from cordon_server.audit.notes import key_pem as signing_key_pem
from cordon_server.audit.room import KEY_FILE, VKEY_FILE, AuditPlaces, begin, make_signer
from cordon_server.authority.policy import POLICY_FILE_ENDING, load_policy
from cordon_server.domain import AlreadyExists, ConfigInvalid
from cordon_server.identity.certificates import (
    LIFE_MAX,
    KeyPair,
    check_host,
    key_pem,
    write_private,
)
from cordon_server.identity.hierarchy import (
    check_passphrase,
    make_root,
    new_passphrase,
    save_authority,
    save_root,
)
from cordon_server.identity.names import PersonRole, Role, SpiffeId
from cordon_server.identity.passwords import HASHER, check_acceptable
from cordon_server.identity.register import CERTIFICATE_KEYS, CERTIFICATES, record_certificate
from cordon_server.identity.serving import SERVER_CERTIFICATE, SERVER_KEY
from cordon_server.identity.users import USERS, UserRecord, put_user
from cordon_server.store.environment import Environment, Transaction
from cordon_server.store.sealing import PlainSealer

TABLES = (CERTIFICATES, CERTIFICATE_KEYS, USERS)
"""What is written into the registry here; the server adds its others."""
REGISTRY_BYTES_MAX = 16 * 2**20
SETTINGS_TEMPLATE = """\
# Settings of this Cordon server. Everything not said here has a default; see: cordon server check
site = "{site}"

[listen]
host = "{bind}"
port = {port}

[authority]
policy = "{policy}"

[storage]
data = "data"
certificates = "certs"
passphrase_file = "site-passphrase"
never_backed_up = "never-backed-up"
"""


@dataclass(frozen=True, slots=True)
class FirstAdministrator:
    """Who registers all others."""

    user_id: str
    password: str = field(repr=False)
    must_change_password: bool
    """Whether the password is for the first sign-in alone."""


@dataclass(frozen=True, slots=True)
class MadeSite:
    """What was made."""

    settings: Path
    root: Path
    """The root authority's folder, to be taken off the server."""
    identity: Path
    """The first workstation's identity folder."""
    passphrase: Path
    """The file with the site's passphrase, which every key of a watchlist is kept under."""
    audit_key: str = ""
    """The public key that the audit record is verified with."""


def make_site(
    folder: Path,
    *,
    site: str,
    hosts: tuple[str, ...],
    bind: str,
    port: int,
    workstation: str,
    policy: str = "demo",
    root_passphrase: str,
    administrator: FirstAdministrator,
) -> MadeSite:
    """Makes the site in an empty or new folder.

    `hosts` are the names and addresses that clients reach the server by; the first goes into the
    workstation's identity. Raises `AlreadyExists` rather than touch a site that is there,
    `ConfigInvalid` for a host that cannot be one, a passphrase that could be guessed or a folder
    that cannot be written, `InvalidInput` for a password that could be guessed.
    """
    for host in (*hosts, bind):
        check_host(host)
    load_policy(policy)
    check_passphrase(root_passphrase)
    check_acceptable(administrator.password, known=(administrator.user_id, site))
    made = MadeSite(
        folder / "cordon.toml", folder / "root", folder / "admin", folder / "site-passphrase"
    )
    _make_folders(folder, made)
    now = datetime.now(UTC)
    root = make_root(site, now=now)
    save_root(made.root, root, root_passphrase)
    authority = root.issuing(site, hosts, now=now)
    save_authority(folder / "certs", authority)
    server = authority.issue_server(hosts, now=now)
    (folder / "certs" / SERVER_CERTIFICATE).write_bytes(server.certificate_pem)
    write_private(folder / "certs" / SERVER_KEY, server.key_pem)

    key = ec.generate_private_key(ec.SECP256R1())
    spiffe_id = SpiffeId(site, Role.ADMIN, workstation)
    certificate = authority.issue_client(key.public_key(), spiffe_id, LIFE_MAX[Role.ADMIN], now=now)
    user = _record(administrator, now)

    def act(txn: Transaction) -> None:
        record_certificate(txn, certificate, spiffe_id, issued_by="init", now=now)
        put_user(txn, user)

    made = replace(made, audit_key=_begin_record(folder, site, now))
    # Before the server has ever run: there is no moment when whoever comes first is administrator.
    _write_registry(folder / "data" / "registry", act)
    _write_identity(
        made.identity,
        server=f"{_bracketed(hosts[0])}:{port}",
        spiffe_id=spiffe_id,
        ca_pem=authority.root_pem,
        pair=KeyPair(authority.chain_pem(certificate), key_pem(key)),
    )
    write_private(made.passphrase, f"{new_passphrase()}\n".encode())
    made.settings.write_text(
        SETTINGS_TEMPLATE.format(site=site, bind=bind, port=port, policy=_named(policy))
    )
    return made


def _make_folders(folder: Path, made: MadeSite) -> None:
    if any(each.exists() for each in (made.settings, folder / "certs", made.root, made.identity)):
        raise AlreadyExists(
            f"{folder} holds a site already; choose another folder, or remove it if it is not "
            "needed any more"
        )
    try:
        for each in (folder, folder / "certs", folder / "data"):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigInvalid(
            f"{error.filename} cannot be made ({error.strerror}); choose another folder"
        ) from error


def _begin_record(folder: Path, site: str, now: datetime) -> str:
    """Makes the key that signs the audit record, and its first leaf; the public half."""
    certificates, signer = folder / "certs", make_signer(site)
    write_private(certificates / KEY_FILE, signing_key_pem(signer.key))
    (certificates / VKEY_FILE).write_text(f"{signer.vkey}\n")
    places = AuditPlaces(
        site, folder / "data", certificates, folder / "never-backed-up", REGISTRY_BYTES_MAX
    )
    begin(places, signer, now)
    return signer.vkey


def _write_registry(folder: Path, act: Callable[[Transaction], object]) -> None:
    """One write into the registry of a site that no server runs on yet."""
    with ThreadPoolExecutor(1) as writer:
        registry = Environment(
            folder,
            TABLES,
            size_bytes_max=REGISTRY_BYTES_MAX,
            sealer=PlainSealer(),
            writer=writer,
        )
        registry.write_now(act)
        registry.close_now()


def _record(administrator: FirstAdministrator, now: datetime) -> UserRecord:
    return UserRecord(
        administrator.user_id,
        "",
        (PersonRole.ADMINISTRATOR,),
        HASHER.hash(administrator.password),
        now,
        must_change_password=administrator.must_change_password,
    )


def _write_identity(
    folder: Path, *, server: str, spiffe_id: SpiffeId, ca_pem: bytes, pair: KeyPair
) -> None:
    """An identity folder as the clients read it."""
    os.mkdir(folder, mode=0o700)
    (folder / "identity.toml").write_text(f'server = "{server}"\nspiffe_id = "{spiffe_id}"\n')
    (folder / "ca.pem").write_bytes(ca_pem)
    (folder / "cert.pem").write_bytes(pair.certificate_pem)
    write_private(folder / "key.pem", pair.key_pem)


def _named(policy: str) -> str:
    """A policy as settings name it, from wherever they are read."""
    return str(Path(policy).resolve()) if policy.endswith(POLICY_FILE_ENDING) else policy


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
