"""The registry: what stays when deployments go, none of it biometric."""

from __future__ import annotations

from concurrent.futures import Executor

from cordon_server.authority.clock import CLOCK
from cordon_server.authority.manifest import MANIFEST
from cordon_server.authority.records import CAMERAS, DEPLOYMENTS
from cordon_server.config import Settings
from cordon_server.identity.enrolment import ENROLMENTS
from cordon_server.identity.keys import SIGNING_KEYS
from cordon_server.identity.officer_keys import OFFICER_KEYS
from cordon_server.identity.register import CERTIFICATE_KEYS, CERTIFICATES
from cordon_server.identity.sessions import SESSIONS
from cordon_server.identity.users import USERS
from cordon_server.matches.receipts import RECEIPT_TABLES
from cordon_server.sessions.holds import HOLDS
from cordon_server.store.environment import Environment
from cordon_server.store.requests import REQUESTS
from cordon_server.store.sealing import PlainSealer

REGISTRY_TABLES = (
    CAMERAS,
    DEPLOYMENTS,
    REQUESTS,
    CERTIFICATES,
    CERTIFICATE_KEYS,
    ENROLMENTS,
    USERS,
    SESSIONS,
    SIGNING_KEYS,
    *RECEIPT_TABLES,
    MANIFEST,
    HOLDS,
    OFFICER_KEYS,
    CLOCK,
)


def open_registry(settings: Settings, writer: Executor) -> Environment:
    """The registry's database; raises as `Environment` does."""
    return Environment(
        settings.registry_folder,
        REGISTRY_TABLES,
        size_bytes_max=settings.storage.size_bytes_max,
        sealer=PlainSealer(),
        writer=writer,
    )
