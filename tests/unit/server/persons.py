"""People for tests: a registry with users in it, signed in without the cost of a password."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from argon2 import PasswordHasher

from cordon_server.domain import NotFound
from cordon_server.identity.admission import Admission, Admitted
from cordon_server.identity.attempts import AttemptLimits, Attempts
from cordon_server.identity.keys import SIGNING_KEYS, SigningKeys
from cordon_server.identity.names import PersonRole, Role, SpiffeId
from cordon_server.identity.passwords import Passwords
from cordon_server.identity.peers import Peer
from cordon_server.identity.people import People, Person
from cordon_server.identity.permissions import Work
from cordon_server.identity.scopes import Scopes
from cordon_server.identity.sessions import SESSIONS, SessionRules, open_session, sessions_of
from cordon_server.identity.tokens import TOKEN_LIFE_MAX, Tokens
from cordon_server.identity.users import USERS, UserRecord, Users, put_user
from cordon_server.store.environment import Environment
from cordon_server.store.requests import REQUESTS
from tests.unit.server.rooms import NOON, Clock, open_environment

SITE = "site.local"
PEOPLE_TABLES = (USERS, SESSIONS, SIGNING_KEYS, REQUESTS)
RULES = SessionRules(
    life_max=timedelta(hours=10),
    idle_max=timedelta(minutes=30),
    token_life=TOKEN_LIFE_MAX,
    fresh_for=timedelta(minutes=2),
    per_user_max=3,
)
LIMITS = AttemptLimits(per_user_max=10, per_machine_max=30, window=timedelta(minutes=15))
QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
"""The same algorithm at a price that a test can pay a thousand times."""
PASSWORD = "violet-anchor-rubble-9"
WHO_AM_I = "/cordon.v1.IdentityService/WhoAmI"


def a_peer(role: Role = Role.ADMIN, name: str = "first", sha256: str = "ab" * 32) -> Peer:
    life = NOON - timedelta(days=1), NOON + timedelta(days=20)
    return Peer(SpiffeId(SITE, role, name), *life, sha256, 7)


def bearer(token: str) -> tuple[str, str]:
    return "authorization", f"Bearer {token}"


def a_user(
    user_id: str = "anna",
    *roles: PersonRole,
    password_hash: str = "none is right",
    must_change_password: bool = False,
    training_expire_time: datetime | None = NOON + timedelta(days=300),
) -> UserRecord:
    """One who may do anything that his roles allow; an auditor where none is said."""
    return UserRecord(
        user_id,
        user_id.title(),
        roles or (PersonRole.AUDITOR,),
        password_hash,
        NOON,
        must_change_password=must_change_password,
        training_expire_time=training_expire_time,
    )


def a_person(
    *roles: PersonRole,
    auth_time: datetime = NOON,
    training_expire_time: datetime | None = NOON + timedelta(days=300),
) -> Person:
    """One as a call finds him, without any record."""
    return Person(
        "anna",
        frozenset(roles),
        "0" * 32,
        auth_time,
        NOON + timedelta(minutes=30),
        training_expire_time,
    )


@dataclass(frozen=True)
class AMaker:
    """Who made a deployment, and where."""

    user_id: str = "olga"
    machine: str = f"spiffe://{SITE}/admin/first"


@dataclass(frozen=True)
class ADeployment:
    """Whose a deployment is."""

    assignees: tuple[str, ...] = ()
    creator: AMaker = AMaker()


@dataclass
class Desk:
    """Everything that signs people in, on one registry."""

    registry: Environment
    executor: Executor
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.keys = SigningKeys(self.registry, clock=self.clock)
        self.passwords = Passwords(self.executor, QUICK)
        self.attempts = Attempts(LIMITS, clock=self.clock)
        self.people = People(
            self.registry,
            self.passwords,
            self.attempts,
            self.keys,
            RULES,
            site=SITE,
            clock=self.clock,
        )
        self.users = Users(self.registry, count_max=6, clock=self.clock)
        self.deployments: dict[str, ADeployment] = {}
        scopes = Scopes(self._deployment, dict.fromkeys(Work, self._makers))
        self.admission = Admission(self.people, scopes, clock=self.clock)

    def add(self, user: UserRecord) -> UserRecord:
        self.registry.write_now(lambda txn: put_user(txn, user))
        return user

    def token(self, user_id: str = "anna", peer: Peer | None = None) -> str:
        """A token of a new session of his."""
        peer = peer or a_peer()
        session = self.registry.write_now(
            lambda txn: open_session(txn, user_id, peer.sha256, rules=RULES, now=self.clock())
        )
        tokens = Tokens(f"spiffe://{SITE}", self.keys.keys, clock=self.clock)
        return tokens.issue(
            user_id=user_id,
            session_id=session.session_id,
            token_id="1",
            auth_time=session.auth_time,
            expire_time=self.clock() + RULES.token_life,
            certificate_sha256=peer.sha256,
        )

    def person(self, user_id: str = "anna", peer: Peer | None = None) -> Person:
        """Someone signed in."""
        return self.people.authenticate(self.token(user_id, peer), peer or a_peer())

    def session_count(self, user_id: str) -> int:
        return len(self.registry.read_now(lambda txn: sessions_of(txn, user_id)))

    def _deployment(self, deployment_id: str) -> ADeployment:
        try:
            return self.deployments[deployment_id]
        except KeyError as error:
            raise NotFound(deployment_id) from error

    async def _makers(self, name: str) -> tuple[AMaker, ...]:
        return (self._deployment(name.removeprefix("deployments/")).creator,)

    async def rotate(self) -> None:
        """A day on, with another signing key."""
        self.clock.advance(days=1)
        await self.people.rotate_keys()

    def admit(
        self, *metadata: tuple[str, str | bytes], method: str = WHO_AM_I, peer: Peer | None = None
    ) -> Admitted:
        """What becomes of a call with this metadata."""
        return self.admission.admit(method, peer or a_peer(), metadata)


def open_registry(folder: Path, executor: Executor) -> Environment:
    return open_environment(folder, PEOPLE_TABLES, executor)
