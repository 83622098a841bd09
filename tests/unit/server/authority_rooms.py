"""Deployments on their way to being armed: who asks, who signs, what is there meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cordon_server.authority import content, steps
from cordon_server.authority.checks import Present, Recognised
from cordon_server.authority.deployments import Deployments
from cordon_server.authority.list_state import ListState
from cordon_server.authority.policy import Policy, load_policy
from cordon_server.authority.records import Actor, DeploymentRecord
from cordon_server.authority.steps import Counts, Officer
from cordon_server.authority.terms import HaltCause, Terms
from cordon_server.store.environment import Environment
from tests.unit.server.rooms import MODEL, NOON, OFFICER, Clock

APPROVER = Actor("otto", "spiffe://site.local/admin/second")
"""Who signs."""
OPERATOR = Actor("opal", "spiffe://site.local/control/desk")
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
PUBLIC_KEY = KEY.public_key().public_bytes_raw()
SIGNER = Officer(APPROVER, PUBLIC_KEY)
LIST = ListState(b"l" * 32, 1, 2, {"wanted": 1})
COUNTS = Counts(1, 2, 3)
DAY = timedelta(hours=24)


def a_policy(**changes: Any) -> Policy:
    """The demo's, with fields of its sections changed: `notice={"needed": True}`."""
    policy = load_policy("demo")
    for section, fields in changes.items():
        changed = msgspec.structs.replace(getattr(policy, section), **fields)
        policy = msgspec.structs.replace(policy, **{section: changed})
    return policy


def a_terms(now: datetime = NOON, **changes: Any) -> Terms:
    """Terms that nothing is missing from, for a day from now."""
    asked: dict[str, Any] = {
        "location": "Market Street",
        "cameras": ("north",),
        "threshold": 0.5,
        "start_time": now,
        "end_time": now + DAY,
        "purpose": "trial",
        "justification": "thefts on market days",
        "accountable_person": "The duty superintendent",
    }
    return Terms(**asked | changes)


def sign(record: DeploymentRecord, key: Ed25519PrivateKey = KEY) -> tuple[bytes, bytes]:
    """Digest and signature over what was submitted."""
    assert record.submission is not None
    digest = content.digest(record, record.submission)
    return digest, key.sign(content.SIGNED_PREFIX + digest)


@dataclass
class Chain:
    """Takes deployments along their life."""

    deployments: Deployments
    clock: Clock
    list: ListState = LIST
    tested: dict[str, Recognised] = field(default_factory=dict)

    @property
    def present(self) -> Present:
        return Present(self.clock.now, self.deployments.policy, MODEL, self.list, self.tested)

    async def create(self, name: str = "market", **changes: Any) -> DeploymentRecord:
        terms = a_terms(self.clock.now, **changes)
        return await self.deployments.create(name, terms, OFFICER, dry_run=False)

    async def submit(self, name: str = "market", forecast: str = "") -> DeploymentRecord:
        present = self.present
        return await self.deployments.take(
            name,
            lambda record: steps.submitted(record, OFFICER, present, forecast),
            dry_run=False,
        )

    async def authorise(
        self, name: str = "market", officer: Officer = SIGNER, key: Ed25519PrivateKey = KEY
    ) -> DeploymentRecord:
        record = await self.deployments.get(name)
        digest, signature = sign(record, key) if record.submission else (b"d" * 32, b"s" * 64)
        present = self.present
        return await self.deployments.take(
            name,
            lambda each: steps.authorised(each, officer, present, digest, signature),
            dry_run=False,
        )

    async def arm(
        self, name: str = "market", *, key: bytes | None = PUBLIC_KEY, dry_run: bool = False
    ) -> DeploymentRecord:
        return await self.deployments.arm(name, self.present, key, dry_run=dry_run)

    async def halt(self, name: str = "market") -> DeploymentRecord:
        return await self.deployments.take(
            name,
            lambda record: steps.halted(record, HaltCause.PERSON, self.clock.now),
            dry_run=False,
        )

    async def resume(self, name: str = "market", officer: Officer = SIGNER) -> DeploymentRecord:
        return await self.deployments.resume(name, officer, self.present, dry_run=False)

    async def end(self, name: str = "market", *, dry_run: bool = False) -> DeploymentRecord:
        return await self.deployments.take(
            name, lambda record: steps.ended(record, COUNTS, self.clock.now), dry_run=dry_run
        )

    async def authorised(self, name: str = "market", **changes: Any) -> DeploymentRecord:
        await self.create(name, **changes)
        await self.submit(name)
        return await self.authorise(name)

    async def armed(self, name: str = "market", **changes: Any) -> DeploymentRecord:
        await self.authorised(name, **changes)
        return await self.arm(name)

    def reviewed(self, at: datetime, digest: bytes = LIST.digest) -> None:
        self.list = replace(self.list, reviewed_at=at, reviewed_digest=digest)


def a_chain(
    registry: Environment, clock: Clock, policy: Policy | None = None, open_max: int = 3
) -> Chain:
    """One by the demo's policy, or another."""
    deployments = Deployments(
        registry, policy or load_policy("demo"), open_max=open_max, clock=clock
    )
    return Chain(deployments, clock)
