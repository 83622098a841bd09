"""The moves that people make by asking and deciding; stopping is in `stops`."""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from cordon_server.authority import checks, steps
from cordon_server.authority.records import DeploymentRecord, State
from cordon_server.authority.terms import Actor, Terms
from cordon_server.domain import NotReady
from cordon_server.sessions.deployment import OpenDeployment
from cordon_server.sessions.ground import Ground
from cordon_server.sessions.moves_on_record import armed_facts

_RUNNING = (State.ARMED, State.HALTED)


@dataclass(frozen=True, slots=True)
class Authorisation:
    """An officer's word."""

    digest: bytes
    signature: bytes
    below_floor: bool = False
    """Whether he means a threshold below the floor that was forecast (R15)."""


class Moves:
    """Moves deployments towards recognition, each move on record before its effect. Used from the
    event loop alone."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    async def create(
        self, deployment_id: str, terms: Terms, creator: Actor, *, dry_run: bool
    ) -> DeploymentRecord:
        """Makes a draft; raises as `Deployments.create` does."""

        def make(dry: bool) -> Awaitable[DeploymentRecord]:
            return self._ground.deployments.create(deployment_id, terms, creator, dry_run=dry)

        return await self._ground.make(deployment_id, "created", creator, make, dry_run=dry_run)

    async def update(
        self, deployment_id: str, fields: Mapping[str, Any], actor: Actor, *, dry_run: bool
    ) -> DeploymentRecord:
        """Changes terms; what was submitted or authorised is void."""

        def make(dry: bool) -> Awaitable[DeploymentRecord]:
            return self._ground.deployments.update(deployment_id, fields, dry_run=dry)

        return await self._ground.make(deployment_id, "updated", actor, make, dry_run=dry_run)

    async def assign(
        self,
        deployment_id: str,
        *,
        add: Collection[str],
        remove: Collection[str],
        actor: Actor,
        dry_run: bool,
    ) -> DeploymentRecord:
        """Lets people work on a deployment, and others no longer."""
        make = self._ground.taking(
            deployment_id, lambda record: steps.assigned(record, add, remove)
        )
        return await self._ground.make(deployment_id, "assigned", actor, make, dry_run=dry_run)

    async def submit(
        self, deployment_id: str, requester: Actor, forecast: str, *, dry_run: bool
    ) -> DeploymentRecord:
        """DRAFT to SUBMITTED."""
        present = await self._ground.present(await self._ground.live.opened(deployment_id))
        make = self._ground.taking(
            deployment_id, lambda record: steps.submitted(record, requester, present, forecast)
        )
        return await self._ground.make(deployment_id, "submitted", requester, make, dry_run=dry_run)

    async def authorise(
        self, deployment_id: str, officer: Actor, word: Authorisation, *, dry_run: bool
    ) -> DeploymentRecord:
        """SUBMITTED to AUTHORISED, by a signature (R8)."""
        present = await self._ground.present(await self._ground.live.opened(deployment_id))
        who = self._ground.officer(officer)
        make = self._ground.taking(
            deployment_id,
            lambda record: steps.authorised(
                record, who, present, word.digest, word.signature, below_floor=word.below_floor
            ),
        )
        return await self._ground.make(deployment_id, "authorised", officer, make, dry_run=dry_run)

    async def publish(
        self, deployment_id: str, place: str, actor: Actor, *, dry_run: bool
    ) -> DeploymentRecord:
        """Notes that the public was told (R19)."""
        make = self._ground.taking(
            deployment_id, lambda record: steps.published(record, place, self._ground.clock.now())
        )
        return await self._ground.make(
            deployment_id, "notice.published", actor, make, dry_run=dry_run
        )

    async def arm(self, deployment_id: str, actor: Actor, *, dry_run: bool) -> DeploymentRecord:
        """AUTHORISED to ARMED: rebuilds the gallery from the database, then lets the cameras in.

        What may not be armed keeps its gallery.
        """
        return await self._ground.through(self._arm(deployment_id, actor, dry_run=dry_run))

    async def _arm(self, deployment_id: str, actor: Actor, *, dry_run: bool) -> DeploymentRecord:
        ground = self._ground
        async with ground.turns[deployment_id]:
            opened = await ground.live.opened(deployment_id)
            checks.check_four_eyes(opened.record, actor)
            present = await ground.present(opened)
            key = ground.authoriser_key(opened.record)
            record = await ground.deployments.arm(deployment_id, present, key, dry_run=True)
            if dry_run:
                return record
            await opened.watchlist.load()
            # A change of the list that had begun before is in the gallery now, and seen here.
            present = await ground.present(opened)
            record = await ground.deployments.arm(deployment_id, present, key, dry_run=True)
            facts = armed_facts(record, present.list, present.policy)
            await ground.record("armed", record, actor, {**facts, **ground.made_of})
            return ground.moved(
                await ground.deployments.arm(deployment_id, present, key, dry_run=False)
            )

    async def resume(
        self, deployment_id: str, officer: Actor, *, dry_run: bool
    ) -> DeploymentRecord:
        """HALTED to ARMED, by the authoriser alone (R13)."""
        present = await self._ground.present(await self._ground.live.opened(deployment_id))
        who = self._ground.officer(officer)

        def make(dry: bool) -> Awaitable[DeploymentRecord]:
            return self._ground.deployments.resume(deployment_id, who, present, dry_run=dry)

        # The server may have been started again since it was armed, with other components.
        made_of = self._ground.made_of
        return await self._ground.make(
            deployment_id, "resumed", officer, make, facts=made_of, dry_run=dry_run
        )

    async def list_changes(self, deployment: OpenDeployment, narrows: bool) -> bool:
        """What a change of a deployment's list does to its authority, before the list changes.

        What was submitted or authorised is void. Raises `NotReady` (LIST_FROZEN) when it is armed,
        unless the change `narrows` the list: whether the authority stays is what is returned. Takes
        no turn: the list is locked meanwhile, and arming waits for that.
        """
        record, ground = deployment.record, self._ground
        name = record.deployment_id
        if record.state in _RUNNING and not narrows:
            raise NotReady(
                f"deployment {name} is {record.state} and its list is frozen but for removals; for "
                "another list make another deployment",
                reason="LIST_FROZEN",
            )
        if record.state not in (State.DRAFT, *_RUNNING):
            void = ground.taking(name, steps.voided)
            await ground.record("voided", await void(True), None, {"by": "list"})
            ground.moved(await void(False))
        return record.state in _RUNNING
