"""What is done to a site on its own machine, beside a server that runs or without one."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from cordon_server.acts import Act, AuditClass
from cordon_server.audit.room import accept, record_apart
from cordon_server.authority.cameras import Cameras
from cordon_server.authority.watchlist_likeness import Vectors
from cordon_server.config import Settings
from cordon_server.domain import ConfigInvalid, UnusablePicture
from cordon_server.identity.certificates import CertificateAuthority, check_host, write_private
from cordon_server.identity.enrolment import Enrolments, Token
from cordon_server.identity.hierarchy import (
    load_authority,
    load_root,
    permitted_hosts,
    save_authority,
)
from cordon_server.identity.issuance import Issuer
from cordon_server.identity.names import Role, SpiffeId
from cordon_server.identity.serving import (
    SERVER_CERTIFICATE,
    SERVER_KEY,
    hosts_of,
    read_server_certificate,
)
from cordon_server.recognition.enrol import Enroller
from cordon_server.recognition.models.sessions import Models
from cordon_server.registry import open_registry
from cordon_server.store.lock import locked

ON_THE_SERVER = "the server's own command line"
"""By whom a token was made, on record."""


async def make_token(
    settings: Settings, role: Role, name: str, *, clock: Callable[[], datetime]
) -> Token:
    """A one-time token for a machine, written beside whatever server runs: the way back when no
    workstation of the administration is left. Raises `NotFound` or `NotReady`."""
    authority = load_authority(settings.storage.certificates)
    resource = str(SpiffeId(settings.site, role, name))
    _record(settings, Act(AuditClass.ALTERATION, "token.made", resource=resource), clock())
    with ThreadPoolExecutor(1) as writer:
        registry = open_registry(settings, writer)
        try:
            cameras = Cameras(registry, count_max=settings.limits.cameras_max, clock=clock)
            issuer = Issuer(registry, authority, settings.site, cameras, clock=clock)
            token = await Enrolments(registry, issuer).create(
                issuer.spiffe_id(role, name), created_by=ON_THE_SERVER, dry_run=False
            )
        finally:
            await registry.close()
    assert token is not None
    return token


def accept_record(settings: Settings, *, now: datetime) -> tuple[int, int | None]:
    """Goes on from the audit record as it is; how many leaves it has, and how many were signed.

    Raises `ConfigInvalid` while a server runs.
    """
    with locked(settings.storage.data):
        return accept(settings.audit_places, now)


def renew_server(
    settings: Settings,
    *,
    hosts: tuple[str, ...],
    root: Path | None,
    root_passphrase: str,
    now: datetime,
) -> datetime:
    """A new certificate for the server, for these hosts or for the ones it has; when it ends.

    With the root's folder, first a new issuing authority for the same hosts: clients go on, for
    they believe the root. A running server shows the new certificate at the next connection, and
    signs with a new authority when it is started again. Raises `ConfigInvalid`.
    """
    folder = settings.storage.certificates
    wanted = hosts or hosts_of(folder)
    for host in wanted:
        check_host(host)
    authority = load_authority(folder)
    if root is None:
        _check_named(authority, wanted)
    else:
        authority = _issuing(settings.site, wanted, root, root_passphrase, authority, now)
    _record(settings, Act(AuditClass.ALTERATION, "certificate.renewed"), now)
    with TemporaryDirectory(dir=folder, prefix="fresh-") as name:
        fresh = Path(name)
        save_authority(fresh, authority)
        pair = authority.issue_server(wanted, now=now)
        write_private(fresh / SERVER_KEY, pair.key_pem)
        (fresh / SERVER_CERTIFICATE).write_bytes(pair.certificate_pem)
        # Checked as the server will check it; only then does it take the old one's place.
        shown = read_server_certificate(fresh, now)
        for path in sorted(fresh.iterdir()):
            os.replace(path, folder / path.name)
    return shown.not_after


def _record(settings: Settings, act: Act, now: datetime) -> None:
    """What is done here is on record before it is done, as whatever comes over the network is."""
    record_apart(settings.audit_places, act, now)


def _check_named(authority: CertificateAuthority, hosts: tuple[str, ...]) -> None:
    """Raises `ConfigInvalid` for hosts that the issuing authority was not made for."""
    others = set(hosts) - set(permitted_hosts(authority, hosts))
    if others:
        raise ConfigInvalid(
            f"the issuing authority was not made for {', '.join(sorted(others))}; bring the root "
            "back and renew both: cordon server renew --root DIR --root-passphrase-file FILE"
        )


def _issuing(
    site: str,
    hosts: tuple[str, ...],
    folder: Path,
    passphrase: str,
    old: CertificateAuthority,
    now: datetime,
) -> CertificateAuthority:
    root = load_root(folder, passphrase)
    if root.certificate != old.root:
        raise ConfigInvalid(
            f"{folder} holds the root of another site: no client here would believe it; bring the "
            "one that server init made"
        )
    return root.issuing(site, hosts, now=now)


def cohort_faces(models: Models, folder: Path) -> tuple[Vectors, list[tuple[Path, str]]]:
    """Templates of the pictures of a folder and of those within, and which were passed over and
    why. Raises `ConfigInvalid` where none can be used."""
    enroller, passed_over = Enroller(models), list[tuple[Path, str]]()
    rows = []
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        try:
            rows.append(enroller.examine(path.read_bytes()).template.vector)
        except (UnusablePicture, OSError) as error:
            passed_over.append((path, str(error)))
    if not rows:
        raise ConfigInvalid(f"{folder} holds no picture of a face that can be used")
    return np.stack(rows), passed_over
