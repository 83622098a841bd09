"""What the server forgets by itself, and what it writes down before: lists that are armed for R3.

At a start it removes what a kill, a restored backup or a lost key has left: databases and keys of
deployments that are over or that nobody knows, and what no legal hold keeps any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import structlog

from cordon_server.acts import Act, AuditClass, Recorder
from cordon_server.authority.deployments import Deployments
from cordon_server.authority.manifest import Manifest
from cordon_server.authority.records import DeploymentRecord, State
from cordon_server.authority.watchlist_records import EntryRecord
from cordon_server.domain import CordonError
from cordon_server.matches.records import MatchRecord
from cordon_server.sessions.deployment import DeploymentOpener, OpenDeployment
from cordon_server.sessions.holds import Holds
from cordon_server.sessions.live import Live
from cordon_server.sessions.match_classes import MatchClasses, class_of

log = structlog.get_logger()

LOOK_S = 5.0
"""How much longer than its class allows a match may be kept."""
OLD_LOOKED_EVERY = timedelta(hours=1)
PAGE = 500


class Forgetting:
    """Keeps what has to be kept and forgets the rest. Used from the event loop alone."""

    def __init__(
        self,
        deployments: Deployments,
        live: Live,
        opener: DeploymentOpener,
        manifest: Manifest,
        holds: Holds,
        classes: MatchClasses,
        recorder: Recorder,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._deployments = deployments
        self._live = live
        self._opener = opener
        self._manifest = manifest
        self._holds = holds
        self._classes = classes
        self._recorder = recorder
        self._clock = clock
        self._written: dict[str, datetime | None] = {}
        self._looked = datetime.min.replace(tzinfo=clock().tzinfo)

    async def clear_up(self) -> None:
        """Removes what must not be here any more; before anything is opened (R2). A full record
        keeps nothing of it.

        Raises `StorageDamaged` where something cannot be removed: the server does not start beside
        biometrics that it should have forgotten.
        """
        known = {record.deployment_id: record for record in await self._all()}
        for name in sorted(self._opener.kept()):
            if (why := self._why_not(name, known.get(name))) is not None:
                log.warning("deployment.cleared_up", deployment=name, why=why)
                with _told("erasure.not_recorded", name):
                    await self._record(name, why)
                await asyncio.to_thread(self._opener.erase, name)
        for hold_id in await self._holds.remove_strays():
            log.warning("hold.cleared_up", hold=hold_id)

    async def run(self) -> None:
        """Looks after it all, as long as the server runs."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Writes down the lists that were armed since; forgets what was kept for long enough."""
        for record in await self._deployments.all_in(State.ARMED):
            if self._written.get(record.deployment_id) != record.arm_time:
                with _told("list.not_written_down", record.deployment_id):
                    await self.write_down(record)
        if self._clock() - self._looked >= OLD_LOOKED_EVERY:
            with _told("manifest.not_forgotten"):
                await self._manifest.forget_old()
                self._looked = self._clock()
        for opened in self._live.open_deployments:
            await self._forget_matches(opened)

    async def _forget_matches(self, opened: OpenDeployment) -> None:
        """Deletes the matches that have been kept for as long as their class allows (R4); of those
        that are held the copy stays."""
        with _told("match.not_forgotten", opened.record.deployment_id):
            for record in await self._classes.over(opened, self._clock()):
                await self._holds.refresh(opened, record.match_id)
                await self._recorder.record(_forgotten(opened, record))
                await opened.log.purge(record.match_id)

    async def write_down(self, record: DeploymentRecord) -> None:
        """Writes down who is on the list of a deployment (R3)."""
        opened = await self._live.opened(record.deployment_id)
        await self._manifest.keep(record.deployment_id, await _entries(opened))
        self._written[record.deployment_id] = record.arm_time

    async def before_end(self, opened: OpenDeployment) -> None:
        """Saves what outlives a deployment, as far as that can be: its list's names, and what is
        held of its matches."""
        name = opened.record.deployment_id
        with _told("list.not_written_down", name):
            await self._manifest.keep(name, await _entries(opened))
        with _told("match.not_kept", name):
            await self._holds.refresh(opened)

    def _why_not(self, name: str, record: DeploymentRecord | None) -> str | None:
        """Why nothing of a deployment may be here; None where it may."""
        if record is None:
            return "unknown"
        if record.has_ended:
            return "ended"
        return "key_lost" if self._opener.is_lost(name) else None

    async def _record(self, name: str, why: str) -> None:
        act = Act(
            AuditClass.ERASURE,
            "erasure.deployment",
            deployment_id=name,
            resource=f"deployments/{name}",
            facts={"cause": why},
        )
        await self._recorder.record(act)

    async def _all(self) -> list[DeploymentRecord]:
        records: list[DeploymentRecord] = []
        while page := await self._deployments.page(
            records[-1].deployment_id if records else "", PAGE
        ):
            records += page
        return records


@contextmanager
def _told(event: str, deployment_id: str = "") -> Iterator[None]:
    """What fails is told in the log, and keeps nothing else from going on."""
    try:
        yield
    except CordonError as error:
        log.error(event, deployment=deployment_id, error=error.message)


def _forgotten(opened: OpenDeployment, record: MatchRecord) -> Act:
    name = opened.record.deployment_id
    return Act(
        AuditClass.ERASURE,
        "retention.match",
        deployment_id=name,
        resource=f"deployments/{name}/matches/{record.match_id}",
        facts={"match": record.match_id, "class": class_of(record)},
    )


async def _entries(opened: OpenDeployment) -> list[EntryRecord]:
    entries: list[EntryRecord] = []
    while page := await opened.watchlist.page(entries[-1].entry_id if entries else "", PAGE):
        entries += [entry for entry, _ in page]
    return entries
