"""The life of deployments: one place, one window, one list. Knows neither faces nor streams."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

import msgspec

from cordon_server.authority.records import (
    CAMERAS,
    DEPLOYMENTS,
    Actor,
    CameraRecord,
    DeploymentRecord,
    State,
)
from cordon_server.domain import (
    AlreadyExists,
    InvalidInput,
    LimitReached,
    NotFound,
    NotReady,
)
from cordon_server.store.environment import Environment, Transaction

MOVES: dict[tuple[State, State], str] = {
    (State.DRAFT, State.ARMED): "arm",
    (State.DRAFT, State.ENDED): "end",
    (State.ARMED, State.ENDED): "end",
}
"""Every move a deployment may make; what is not here is refused."""
ASSIGNEES_MAX = 256
"""People who work on one deployment."""


class Deployments:
    """Makes, finds and moves deployments in the registry."""

    def __init__(
        self,
        registry: Environment,
        *,
        open_max: int,
        window_max: timedelta,
        clock: Callable[[], datetime],
    ) -> None:
        self._registry = registry
        self._open_max = open_max
        self._window_max = window_max
        self._clock = clock

    async def create(
        self,
        deployment_id: str,
        *,
        location: str,
        cameras: tuple[str, ...],
        threshold: float,
        start_time: datetime | None,
        end_time: datetime | None,
        creator: Actor,
        assignees: tuple[str, ...] = (),
        dry_run: bool,
    ) -> DeploymentRecord:
        """Makes a deployment in DRAFT; raises `AlreadyExists`, `NotFound` (a camera),
        `InvalidInput` (the window) or `LimitReached`."""
        now = self._clock()
        start = start_time or now
        end = end_time or self._latest_end(start)
        self._check_window(start, end, now)
        record = DeploymentRecord(
            deployment_id,
            location,
            cameras,
            threshold,
            start,
            end,
            now,
            creator,
            assignees=tuple(sorted({creator.user_id, *assignees})),
        )

        def act(txn: Transaction) -> None:
            self._check_room(txn, deployment_id)
            for camera_id in cameras:
                _check_camera(camera_id, txn.get(CAMERAS, camera_id.encode()))
            if not dry_run:
                txn.put(DEPLOYMENTS, deployment_id.encode(), record)

        await self._registry.write(act)
        return record

    async def get(self, deployment_id: str) -> DeploymentRecord:
        """A deployment, ended or not; raises `NotFound`."""
        return await self._registry.read(lambda txn: _found(txn, deployment_id))

    def get_now(self, deployment_id: str) -> DeploymentRecord:
        """The same without waiting, for whoever judges calls as they run; takes microseconds."""
        return self._registry.read_now(lambda txn: _found(txn, deployment_id))

    async def page(self, after: str, count: int) -> list[DeploymentRecord]:
        """Up to `count` deployments by name, after the one named."""

        def act(txn: Transaction) -> list[DeploymentRecord]:
            scan = txn.scan(DEPLOYMENTS, after=after.encode())
            return [record for (_, record), _ in zip(scan, range(count), strict=False)]

        return await self._registry.read(act)

    async def all_in(self, state: State) -> list[DeploymentRecord]:
        """Every deployment in a state."""
        return await self._registry.read(lambda txn: _in_state(txn, state))

    async def assign(
        self, deployment_id: str, add: Iterable[str], remove: Iterable[str], *, dry_run: bool
    ) -> DeploymentRecord:
        """Lets people work on a deployment, and others no longer; raises `NotFound`, `NotReady`
        when it has ended, or `LimitReached`."""

        def act(txn: Transaction) -> DeploymentRecord:
            record = _found(txn, deployment_id)
            if record.state is State.ENDED:
                raise NotReady(f"deployment {deployment_id} has ended; nobody works on it any more")
            assignees = {*record.assignees, *add} - {*remove}
            if len(assignees) > ASSIGNEES_MAX:
                raise LimitReached(
                    f"{len(assignees)} people would work on {deployment_id} and {ASSIGNEES_MAX} "
                    "may; take others off it with: "
                    f"cordon admin deployment assign {deployment_id} --remove USER",
                    field="add",
                )
            assigned = msgspec.structs.replace(record, assignees=tuple(sorted(assignees)))
            if not dry_run:
                txn.put(DEPLOYMENTS, deployment_id.encode(), assigned)
            return assigned

        return await self._registry.write(act)

    async def arm(self, deployment_id: str, *, entry_count: int, dry_run: bool) -> DeploymentRecord:
        """DRAFT to ARMED (R7); raises `NotReady` outside the window, with an empty list, or when
        another armed deployment uses one of the cameras."""
        now = self._clock()

        def act(txn: Transaction) -> DeploymentRecord:
            record = _found(txn, deployment_id)
            _check_move(record, State.ARMED)
            _check_armable(record, entry_count, now)
            for other in _in_state(txn, State.ARMED):
                if shared := sorted(set(other.cameras) & set(record.cameras)):
                    raise NotReady(
                        f"camera {shared[0]} serves the armed deployment {other.deployment_id}; "
                        f"end that one first: cordon admin deployment end {other.deployment_id}"
                    )
            armed = msgspec.structs.replace(record, state=State.ARMED, arm_time=now)
            if not dry_run:
                txn.put(DEPLOYMENTS, deployment_id.encode(), armed)
            return armed

        return await self._registry.write(act)

    async def end(
        self, deployment_id: str, *, entries: int, references: int, matches: int, dry_run: bool
    ) -> DeploymentRecord:
        """To ENDED, keeping the counts of what was; raises `NotReady` when it ended before."""

        def act(txn: Transaction) -> DeploymentRecord:
            record = _found(txn, deployment_id)
            _check_move(record, State.ENDED)
            ended = msgspec.structs.replace(
                record,
                state=State.ENDED,
                ended_time=self._clock(),
                entry_count=entries,
                reference_count=references,
                match_count=matches,
            )
            if not dry_run:
                txn.put(DEPLOYMENTS, deployment_id.encode(), ended)
            return ended

        return await self._registry.write(act)

    def _latest_end(self, start: datetime) -> datetime:
        try:
            return start + self._window_max
        except OverflowError as error:
            raise InvalidInput(
                "a window that starts then has no end in the calendar",
                field="deployment.start_time",
            ) from error

    def _check_window(self, start: datetime, end: datetime, now: datetime) -> None:
        if end <= start:
            raise InvalidInput("the window ends before it starts", field="deployment.end_time")
        if end <= now:
            raise InvalidInput("the window is over already", field="deployment.end_time")
        if end - start > self._window_max:
            hours = self._window_max / timedelta(hours=1)
            raise InvalidInput(
                f"a window is {hours:g} hours at most (R2); choose an earlier end",
                field="deployment.end_time",
            )

    def _check_room(self, txn: Transaction, deployment_id: str) -> None:
        if txn.get(DEPLOYMENTS, deployment_id.encode()) is not None:
            raise AlreadyExists(
                f"deployment {deployment_id} exists already; choose another name (an ended "
                "deployment's name stays taken)"
            )
        open_now = sum(record.state is not State.ENDED for _, record in txn.scan(DEPLOYMENTS))
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


def _in_state(txn: Transaction, state: State) -> list[DeploymentRecord]:
    return [record for _, record in txn.scan(DEPLOYMENTS) if record.state is state]


def _check_move(record: DeploymentRecord, to: State) -> None:
    if (record.state, to) not in MOVES:
        raise NotReady(
            f"deployment {record.deployment_id} is {record.state} and cannot become {to}; "
            f"see: cordon admin deployment show {record.deployment_id}"
        )


def _check_armable(record: DeploymentRecord, entry_count: int, now: datetime) -> None:
    if not record.start_time <= now < record.end_time:
        raise NotReady(
            f"the window of {record.deployment_id} is {record.start_time:%Y-%m-%d %H:%M} to "
            f"{record.end_time:%Y-%m-%d %H:%M} UTC; arm it within"
        )
    if not record.cameras:
        raise NotReady(f"deployment {record.deployment_id} names no camera; make one that does")
    if not entry_count:
        raise NotReady(
            f"the watchlist of {record.deployment_id} is empty; enrol first: "
            f"cordon admin watchlist import {record.deployment_id} FOLDER"
        )


def _check_camera(camera_id: str, record: CameraRecord | None) -> None:
    if record is None:
        raise NotFound(
            f"there is no camera {camera_id}; register it with: cordon admin camera add {camera_id}"
        )
    if record.revoke_time is not None:
        raise NotReady(f"camera {camera_id} is revoked; use another")
