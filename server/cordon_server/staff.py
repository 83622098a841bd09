"""Machines and people, put together: who is on record, and what they have to show."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime

from cordon_server.authority.cameras import Cameras
from cordon_server.config import Settings
from cordon_server.identity.attempts import Attempts
from cordon_server.identity.certificates import CertificateAuthority
from cordon_server.identity.enrolment import Enrolments
from cordon_server.identity.issuance import Issuer
from cordon_server.identity.keys import SigningKeys
from cordon_server.identity.officer_keys import OfficerKeys
from cordon_server.identity.passwords import Passwords
from cordon_server.identity.people import People
from cordon_server.identity.register import CertificateRegister
from cordon_server.identity.users import Users
from cordon_server.store.environment import Environment

COMPARING_THREADS = 2
"""Passwords are compared beside recognition: each takes a core for a tenth of a second."""


@dataclass(frozen=True, slots=True)
class Staff:
    """Who may connect, and who works here."""

    register: CertificateRegister
    issuer: Issuer
    enrolments: Enrolments
    users: Users
    people: People
    officer_keys: OfficerKeys


def open_staff(
    stack: AsyncExitStack,
    settings: Settings,
    authority: CertificateAuthority,
    registry: Environment,
    cameras: Cameras,
    *,
    clock: Callable[[], datetime],
) -> Staff:
    """Who is on record in the registry; certificates are issued by `authority`."""
    issuer = Issuer(registry, authority, settings.site, cameras, clock=clock)
    comparing = stack.enter_context(
        ThreadPoolExecutor(COMPARING_THREADS, thread_name_prefix="passwords")
    )
    people = People(
        registry,
        Passwords(comparing),
        Attempts(settings.people.attempt_limits, clock=clock),
        SigningKeys(registry, clock=clock),
        settings.people.session_rules,
        site=settings.site,
        clock=clock,
    )
    return Staff(
        CertificateRegister(registry, clock=clock),
        issuer,
        Enrolments(registry, issuer),
        Users(registry, count_max=settings.people.users_max, clock=clock),
        people,
        OfficerKeys(registry, clock=clock),
    )
