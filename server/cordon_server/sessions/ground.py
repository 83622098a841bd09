"""What every move of a deployment stands on: one at a time for each deployment, each on record."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from cordon_server.acts import Fact, Recorder
from cordon_server.authority.checks import Present
from cordon_server.authority.clock import KeptClock
from cordon_server.authority.deployments import Deployments, Step
from cordon_server.authority.records import DeploymentRecord, State
from cordon_server.authority.steps import Officer
from cordon_server.authority.terms import Actor
from cordon_server.sessions.deployment import OpenDeployment
from cordon_server.sessions.live import Live
from cordon_server.sessions.moves_on_record import act_of, authority_facts
from cordon_server.sessions.tested import tested_under

log = structlog.get_logger()

Make = Callable[[bool], Awaitable[DeploymentRecord]]
"""Makes a move, or with True checks whether it could be made."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What moves are made on. Used from the event loop alone."""

    deployments: Deployments
    live: Live
    recorder: Recorder
    clock: KeptClock
    model_id: str
    made_of: Mapping[str, Fact]
    """The facts of what recognises: component list and networks (R30)."""
    key_of: Callable[[str], bytes | None]
    """The signing key of an authorising officer by user id; None for whoever is none."""
    tasks: asyncio.TaskGroup
    turns: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    """By deployment: held by a move."""

    async def make(
        self,
        deployment_id: str,
        move: str,
        actor: Actor,
        make: Make,
        *,
        facts: Mapping[str, Fact] | None = None,
        dry_run: bool,
    ) -> DeploymentRecord:
        """Checks a move, records it with these facts besides, makes it; one that makes a draft
        again is recorded as that, too."""
        work = self._make(deployment_id, move, actor, make, facts or {}, dry_run=dry_run)
        return await self.through(work)

    async def through(self, work: Coroutine[Any, Any, DeploymentRecord]) -> DeploymentRecord:
        """What has begun is done, although whoever asked for it leaves: a call that breaks off
        between what is written and what is open would leave recognition going, or a half end."""
        outcome: asyncio.Future[DeploymentRecord] = asyncio.get_running_loop().create_future()

        async def run() -> None:
            try:
                outcome.set_result(await work)
            except Exception as error:  # noqa: BLE001  # whoever asked hears of it
                outcome.set_exception(error)
            finally:
                outcome.cancel()  # Where it was stopped: nobody waits for ever.

        self.tasks.create_task(run())
        return await asyncio.shield(outcome)

    async def _make(
        self,
        deployment_id: str,
        move: str,
        actor: Actor,
        make: Make,
        facts: Mapping[str, Fact],
        *,
        dry_run: bool,
    ) -> DeploymentRecord:
        async with self.turns[deployment_id]:
            checked = await make(True)
            if dry_run:
                return checked
            before = await self.deployments.find(deployment_id)
            if before is not None and checked.state is State.DRAFT is not before.state:
                await self.record("voided", checked, actor, {"by": move})
            await self.record(move, checked, actor, {**authority_facts(checked), **facts})
            return self.moved(await make(False))

    def moved(self, record: DeploymentRecord) -> DeploymentRecord:
        """Tells what is open of a deployment where it is now."""
        if (known := self.live.known(record.deployment_id)) is not None:
            known.moved_to(record)
        return record

    def taking(self, deployment_id: str, step: Step) -> Make:
        """A step that looks at the record alone."""
        return lambda dry: self.deployments.take(deployment_id, step, dry_run=dry)

    async def record(
        self, move: str, record: DeploymentRecord, actor: Actor | None, facts: Mapping[str, Fact]
    ) -> None:
        """Puts a move on record; raises `NotRecorded`."""
        await self.recorder.record(act_of(move, record, actor, facts))
        log.info("deployment.moved", move=move, deployment=record.deployment_id)

    async def present(self, opened: OpenDeployment) -> Present:
        """What an authority is compared with."""
        state, authority = await opened.watchlist.state(), opened.record.authority
        tested = await tested_under(opened.environment, authority.digest if authority else b"")
        return Present(self.clock.now(), self.deployments.policy, self.model_id, state, tested)

    def officer(self, actor: Actor) -> Officer:
        """An officer with the key on record for him."""
        return Officer(actor, self.key_of(actor.user_id))

    def authoriser_key(self, record: DeploymentRecord) -> bytes | None:
        """The key on record of whoever authorised it."""
        return self.key_of(record.authority.officer.user_id) if record.authority else None
