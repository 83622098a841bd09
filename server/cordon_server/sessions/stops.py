"""How deployments stop: halted by people, ended by people or by time, erased.

| move      | on record                | where the record cannot be written   |
|-----------|--------------------------|--------------------------------------|
| halt      | when recognition stopped | it has stopped all the same          |
| end       | before it ends           | it does not end; halt it             |
| time over | before it ends           | it ends all the same                 |
| erase     | when biometrics are gone | they are gone; it is recorded later  |

What protects people asks no leave: a full disk keeps neither recognition going nor biometrics.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from contextlib import suppress
from datetime import datetime

import structlog

from cordon_server.acts import Fact
from cordon_server.authority import checks, steps
from cordon_server.authority.moves import check_move
from cordon_server.authority.records import DeploymentRecord, State
from cordon_server.authority.steps import Counts
from cordon_server.authority.terms import Actor, HaltCause
from cordon_server.domain import CordonError, NotReady, OurFault
from cordon_server.sessions.camera import HaltReason
from cordon_server.sessions.counting import Counting
from cordon_server.sessions.deployment import OpenDeployment
from cordon_server.sessions.ground import Ground

log = structlog.get_logger()

LOOK_EVERY_S = 1.0
"""How long a deployment that is open may outlive its time."""
LOOK_AT_ALL_EVERY_S = 15.0
"""How long one that nobody has opened may."""


class Stops:
    """Stops deployments. Used from the event loop alone."""

    def __init__(self, ground: Ground, counting: Counting) -> None:
        self._ground = ground
        self._counting = counting
        self._looked_s = float("-inf")

    # What the server does by itself.

    async def settle(self) -> None:
        """At a start: finishes what a crash left half done, ends what is over, and loads what is
        armed, halted where its authority is not good for what is on record."""
        await self._end_all_over()
        for record in await self._ground.deployments.all_in(State.ARMED, State.HALTED):
            opened = await self._ground.live.opened(record.deployment_id)
            if record.state is State.ARMED:
                await self._halt_unless_good(opened)

    async def run(self) -> None:
        """Ends what is over, as long as the server runs."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Ends what is over: what is open now, what nobody has opened every now and then."""
        ground = self._ground
        now = ground.clock.now()
        is_over = any(each.record.until <= now for each in ground.live.open_deployments)
        if is_over or time.monotonic() - self._looked_s >= LOOK_AT_ALL_EVERY_S:
            self._looked_s = time.monotonic()
            await self._end_all_over()
            await ground.clock.keep()

    async def _end_all_over(self) -> None:
        deployments = self._ground.deployments
        for record in await deployments.all_over():
            await self._try(self._end(record.deployment_id, None), record)
        for record in await deployments.all_in(State.ENDED):
            await self._try(self._erase_again(record.deployment_id), record)

    async def _try(self, ending: Coroutine[None, None, object], record: DeploymentRecord) -> None:
        """The others end all the same, and this is tried again."""
        try:
            await ending
        except CordonError as error:
            log.error("deployment.not_gone", deployment=record.deployment_id, error=error.message)

    async def _halt_unless_good(self, opened: OpenDeployment) -> None:
        record, ground = opened.record, self._ground
        try:
            present = await ground.present(opened)
            checks.check_authority(record, present, ground.authoriser_key(record))
        except NotReady as error:
            log.error(
                "deployment.authority_not_good",
                deployment=record.deployment_id,
                reason=error.reason,
                error=error.message,
            )
            await self.halt(record.deployment_id, None, HaltCause.AUTHORITY, dry_run=False)

    # What people do.

    async def halt(
        self, deployment_id: str, actor: Actor | None, cause: HaltCause, *, dry_run: bool
    ) -> DeploymentRecord:
        """ARMED to HALTED: when it returns no frame is worked on and no match raised, on any stream
        (R13, R16). Halting what is halted changes nothing."""
        return await self._ground.through(self._halt(deployment_id, actor, cause, dry_run=dry_run))

    async def _halt(
        self, deployment_id: str, actor: Actor | None, cause: HaltCause, *, dry_run: bool
    ) -> DeploymentRecord:
        ground = self._ground
        opened = await ground.live.opened(deployment_id)
        now = ground.clock.now()
        step = ground.taking(deployment_id, lambda record: steps.halted(record, cause, now))
        if dry_run:
            return opened.record if opened.record.state is State.HALTED else await step(True)
        # Before anything is written, and before any move that is under way.
        self._stop(opened, cause, now)
        async with opened.logging:
            pass  # What was being logged is through; what waits finds it halted.
        action = "halted" if cause is HaltCause.PERSON else "suspended"
        async with ground.turns[deployment_id]:
            # A move that was under way has told where it left it, and let cameras in again.
            self._stop(opened, cause, now)
            if (await ground.deployments.get(deployment_id)).state is State.HALTED:
                return opened.record
            await self._counting.try_record(opened)
            try:
                await ground.record(action, opened.record, actor, {"cause": cause.value})
            finally:
                ground.moved(await step(False))
        return opened.record

    def _stop(self, opened: OpenDeployment, cause: HaltCause, now: datetime) -> None:
        """Stops every stream and lets none in; raises `NotReady` unless it is armed or halted."""
        if opened.record.state is not State.HALTED:
            opened.record = steps.halted(opened.record, cause, now)
        self._ground.live.send_away(
            opened,
            HaltReason.DEPLOYMENT_HALTED,
            f"deployment {opened.record.deployment_id} is halted; its authoriser may resume it",
        )

    async def suspend(self, deployment_id: str) -> DeploymentRecord:
        """Halts a deployment because of its false alerts (R16)."""
        return await self.halt(deployment_id, None, HaltCause.CEILING, dry_run=False)

    async def end(self, deployment_id: str, actor: Actor, *, dry_run: bool) -> DeploymentRecord:
        """Stops recognition, then destroys list and log (R2)."""
        if not dry_run:
            return await self._ground.through(self._end(deployment_id, actor))
        counts, now = await self._counts(deployment_id), self._ground.clock.now()
        step = self._ground.taking(deployment_id, lambda record: steps.ended(record, counts, now))
        return await step(True)

    async def _end(self, deployment_id: str, actor: Actor | None) -> DeploymentRecord:
        ground = self._ground
        async with ground.turns[deployment_id]:
            record = await ground.deployments.get(deployment_id)
            check_move(record, State.ENDED, by="end")
            counts, now = await self._counts(deployment_id), ground.clock.now()
            facts: dict[str, Fact] = {
                "entries": counts.entries,
                "references": counts.references,
                "matches": counts.matches,
                "is_over": record.until <= now,
            }
            if record.state in (State.ARMED, State.HALTED):
                await self._count_last(deployment_id)
            try:
                await ground.record("ended", record, actor, facts)
            except CordonError as error:
                if actor is not None:
                    raise
                log.error("deployment.end_not_recorded", deployment=deployment_id, error=str(error))
            step = ground.taking(deployment_id, lambda each: steps.ended(each, counts, now))
            ended = await step(False)
            await ground.live.forget(ended)
            return await self._erase(ended)

    async def _erase(self, record: DeploymentRecord) -> DeploymentRecord:
        """Destroys biometrics, records that, notes it; what failed is tried again."""
        ground = self._ground
        await ground.live.erase(record.deployment_id)
        await ground.record("erased", record, None, {})
        now = ground.clock.now()
        return await ground.taking(record.deployment_id, lambda each: steps.erased(each, now))(
            False
        )

    async def _erase_again(self, deployment_id: str) -> None:
        async with self._ground.turns[deployment_id]:
            record = await self._ground.deployments.get(deployment_id)
            if record.state is State.ENDED:
                await self._erase(record)

    async def _count_last(self, deployment_id: str) -> None:
        """Puts on record what its cameras have shown since the last minute (R20)."""
        with suppress(OurFault):  # Who cannot read it any more hears so from `_counts`.
            await self._counting.try_record(await self._ground.live.opened(deployment_id))

    async def _counts(self, deployment_id: str) -> Counts:
        """Of list and log; none where nobody can read them any more."""
        try:
            opened = await self._ground.live.opened(deployment_id)
            entries, references = await opened.watchlist.counts()
            return Counts(entries, references, await opened.log.count_alerts())
        except OurFault as error:
            log.error("deployment.not_counted", deployment=deployment_id, error=error.message)
            return Counts(0, 0, 0)
