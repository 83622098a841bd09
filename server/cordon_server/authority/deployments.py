"""Deployments in the registry: one place, one window, one list each. Knows neither faces nor
streams.

Each act checks and writes in one transaction; with `dry_run` it checks alone. The steps themselves
are in `steps`, what each asks in `checks`, which there are in `moves`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from cordon_server.authority import checks, steps
from cordon_server.authority.checks import Present
from cordon_server.authority.policy import Policy
from cordon_server.authority.records import (
    CAMERAS,
    DEPLOYMENTS,
    CameraRecord,
    DeploymentRecord,
    State,
)
from cordon_server.authority.steps import Officer
from cordon_server.authority.terms import Actor, Terms
from cordon_server.domain import AlreadyExists, LimitReached, NotFound, NotReady
from cordon_server.store.environment import Environment, Transaction

Step = Callable[[DeploymentRecord], DeploymentRecord]
"""From a record to the next, or an error that says why not."""


class Deployments:
    """Makes, finds and moves deployments."""

    def __init__(
        self,
        registry: Environment,
        policy: Policy,
        *,
        open_max: int,
        clock: Callable[[], datetime],
    ) -> None:
        """`clock` never goes back."""
        self.policy = policy
        self.now = clock
        self._registry = registry
        self._open_max = open_max

    async def create(
        self, deployment_id: str, terms: Terms, creator: Actor, *, dry_run: bool
    ) -> DeploymentRecord:
        """Makes a deployment in DRAFT; raises `AlreadyExists`, `NotFound` (a camera),
        `InvalidInput` (the window) or `LimitReached`."""
        record = DeploymentRecord(
            **msgspec.structs.asdict(terms),
            deployment_id=deployment_id,
            create_time=self.now(),
            creator=creator,
        )

        def act(txn: Transaction) -> None:
            self._check_terms(txn, record)
            self._check_room(txn, deployment_id)
            if not dry_run:
                txn.put(DEPLOYMENTS, deployment_id.encode(), record)

        await self._registry.write(act)
        return record

    async def get(self, deployment_id: str) -> DeploymentRecord:
        """A deployment, ended or not; raises `NotFound`."""
        return await self._registry.read(lambda txn: _found(txn, deployment_id))

    async def find(self, deployment_id: str) -> DeploymentRecord | None:
        """The same; None where there is none."""
        return await self._registry.read(lambda txn: txn.get(DEPLOYMENTS, deployment_id.encode()))

    def get_now(self, deployment_id: str) -> DeploymentRecord:
        """As `get`, without waiting, for whoever judges calls as they run; takes microseconds."""
        return self._registry.read_now(lambda txn: _found(txn, deployment_id))

    async def makers(self, name: str) -> tuple[Actor, ...]:
        """Who made and who submitted a deployment, by its resource name, and so does not approve it
        (R8)."""
        record = await self.get(name.split("/")[1])
        return (record.creator, *([record.submission.requester] if record.submission else []))

    async def page(self, after: str, count: int) -> list[DeploymentRecord]:
        """Up to `count` deployments by name, after the one named."""

        def act(txn: Transaction) -> list[DeploymentRecord]:
            scan = txn.scan(DEPLOYMENTS, after=after.encode())
            return [record for (_, record), _ in zip(scan, range(count), strict=False)]

        return await self._registry.read(act)

    async def all_in(self, *states: State) -> list[DeploymentRecord]:
        """Every deployment in one of these states."""
        return await self._registry.read(lambda txn: _in_state(txn, *states))

    async def all_over(self) -> list[DeploymentRecord]:
        """Every deployment that has not ended although its time is over (R2, R9)."""
        now = self.now()

        def act(txn: Transaction) -> list[DeploymentRecord]:
            scan = (record for _, record in txn.scan(DEPLOYMENTS))
            return [record for record in scan if not record.has_ended and record.until <= now]

        return await self._registry.read(act)

    async def update(
        self, deployment_id: str, fields: Mapping[str, Any], *, dry_run: bool
    ) -> DeploymentRecord:
        """Changes terms, which makes it a draft again; raises as `create` does, and `NotReady` once
        it is armed."""

        def change(txn: Transaction, record: DeploymentRecord) -> DeploymentRecord:
            changed = steps.changed(record, fields)
            self._check_terms(txn, changed)
            return changed

        return await self._change(deployment_id, change, dry_run)

    async def arm(
        self, deployment_id: str, present: Present, key: bytes | None, *, dry_run: bool
    ) -> DeploymentRecord:
        """AUTHORISED to ARMED; raises `NotReady` with the reason of whatever is missing, also for a
        camera that is revoked or serves another armed deployment."""

        def change(txn: Transaction, record: DeploymentRecord) -> DeploymentRecord:
            armed = steps.armed(record, present, key)
            for camera_id in record.cameras:
                _check_camera(camera_id, txn.get(CAMERAS, camera_id.encode()))
            _check_cameras_free(txn, record)
            return armed

        return await self._change(deployment_id, change, dry_run)

    async def resume(
        self, deployment_id: str, officer: Officer, present: Present, *, dry_run: bool
    ) -> DeploymentRecord:
        """HALTED to ARMED; raises `NotPermitted` (NOT_THE_AUTHORISER), or as `arm` does."""

        def change(txn: Transaction, record: DeploymentRecord) -> DeploymentRecord:
            resumed = steps.resumed(record, officer, present)
            _check_cameras_free(txn, record)
            return resumed

        return await self._change(deployment_id, change, dry_run)

    async def take(self, deployment_id: str, step: Step, *, dry_run: bool) -> DeploymentRecord:
        """Takes one of the other steps; raises `NotFound`, and what the step does."""
        return await self._change(deployment_id, lambda _, record: step(record), dry_run)

    async def _change(
        self,
        deployment_id: str,
        change: Callable[[Transaction, DeploymentRecord], DeploymentRecord],
        dry_run: bool,
    ) -> DeploymentRecord:
        def act(txn: Transaction) -> DeploymentRecord:
            changed = change(txn, _found(txn, deployment_id))
            if not dry_run:
                txn.put(DEPLOYMENTS, deployment_id.encode(), changed)
            return changed

        return await self._registry.write(act)

    def _check_terms(self, txn: Transaction, terms: Terms) -> None:
        checks.check_window(terms, self.policy, self.now())
        checks.check_zones(terms)
        for camera_id in terms.cameras:
            _check_camera(camera_id, txn.get(CAMERAS, camera_id.encode()))

    def _check_room(self, txn: Transaction, deployment_id: str) -> None:
        if txn.get(DEPLOYMENTS, deployment_id.encode()) is not None:
            raise AlreadyExists(
                f"deployment {deployment_id} exists already; choose another name (an ended "
                "deployment's name stays taken)"
            )
        open_now = sum(not record.has_ended for _, record in txn.scan(DEPLOYMENTS))
        if open_now >= self._open_max:
            raise LimitReached(
                f"{open_now} deployments are open and limits.deployments_open_max allows no more; "
                "end one first: cordon admin deployment end NAME"
            )


def _found(txn: Transaction, deployment_id: str) -> DeploymentRecord:
    record = txn.get(DEPLOYMENTS, deployment_id.encode())
    if record is None:
        raise NotFound(f"there is no deployment {deployment_id}; see: cordon admin deployment list")
    return record


def _in_state(txn: Transaction, *states: State) -> list[DeploymentRecord]:
    return [record for _, record in txn.scan(DEPLOYMENTS) if record.state in states]


def _check_camera(camera_id: str, record: CameraRecord | None) -> None:
    if record is None:
        raise NotFound(
            f"there is no camera {camera_id}; register it with: cordon admin camera add {camera_id}"
        )
    if record.revoke_time is not None:
        raise NotReady(f"camera {camera_id} is revoked; use another", reason="CAMERA_REVOKED")


def _check_cameras_free(txn: Transaction, record: DeploymentRecord) -> None:
    for other in _in_state(txn, State.ARMED):
        shared = sorted(set(other.cameras) & set(record.cameras))
        if shared and other.deployment_id != record.deployment_id:
            raise NotReady(
                f"camera {shared[0]} serves the armed deployment {other.deployment_id}; "
                f"end that one first: cordon admin deployment end {other.deployment_id}",
                reason="CAMERA_IN_USE",
            )
