"""Makes a site: settings file, certificate authority, server certificate, first administrator."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from cordon_server.domain import AlreadyExists, ConfigInvalid
from cordon_server.identity.certificates import (
    CLIENT_LIFE_MAX,
    KeyPair,
    check_host,
    key_pem,
    make_authority,
    write_private,
)
from cordon_server.identity.names import Role, SpiffeId

SETTINGS_TEMPLATE = """\
# Settings of this Cordon server. Everything not said here has a default; see: cordon server check
site = "{site}"

[listen]
host = "{bind}"
port = {port}

[storage]
data = "data"
certificates = "certs"
"""


def make_site(
    folder: Path, *, site: str, hosts: tuple[str, ...], bind: str, port: int, admin: str
) -> Path:
    """Makes the site in an empty or new folder; the path of its settings file.

    `hosts` are the names and addresses that clients reach the server by; the first goes into the
    administrator's identity. Raises `AlreadyExists` rather than touch a site that is there,
    `ConfigInvalid` for a host that cannot be one or a folder that cannot be written.
    """
    for host in (*hosts, bind):
        check_host(host)
    settings = folder / "cordon.toml"
    if any(each.exists() for each in (settings, folder / "certs", folder / "admin")):
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
    authority = make_authority(site)
    certs = folder / "certs"
    (certs / "ca.pem").write_bytes(authority.pem)
    write_private(certs / "ca-key.pem", key_pem(authority.key))
    server = authority.issue_server(hosts)
    (certs / "server.pem").write_bytes(server.certificate_pem)
    write_private(certs / "server-key.pem", server.key_pem)

    key = ec.generate_private_key(ec.SECP256R1())
    spiffe_id = SpiffeId(site, Role.ADMIN, admin)
    certificate = authority.issue_client(key.public_key(), spiffe_id, _admin_life())
    _write_identity(
        folder / "admin",
        server=f"{_bracketed(hosts[0])}:{port}",
        spiffe_id=spiffe_id,
        ca_pem=authority.pem,
        pair=KeyPair(certificate.public_bytes(Encoding.PEM), key_pem(key)),
    )
    settings.write_text(SETTINGS_TEMPLATE.format(site=site, bind=bind, port=port))
    return settings


def _admin_life() -> timedelta:
    return CLIENT_LIFE_MAX


def _write_identity(
    folder: Path, *, server: str, spiffe_id: SpiffeId, ca_pem: bytes, pair: KeyPair
) -> None:
    """An identity folder as the clients read it."""
    os.mkdir(folder, mode=0o700)
    (folder / "identity.toml").write_text(f'server = "{server}"\nspiffe_id = "{spiffe_id}"\n')
    (folder / "ca.pem").write_bytes(ca_pem)
    (folder / "cert.pem").write_bytes(pair.certificate_pem)
    write_private(folder / "key.pem", pair.key_pem)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
