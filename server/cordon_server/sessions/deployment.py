"""One open deployment: its database, watchlist, match log and cameras, opened together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from cordon_server.acts import Recorder
from cordon_server.authority.moves import check_recognising
from cordon_server.authority.records import DeploymentRecord
from cordon_server.authority.watchlist import Watchlist
from cordon_server.authority.watchlist_acts import ListRecord
from cordon_server.authority.watchlist_enrolment import Examiner
from cordon_server.authority.watchlist_likeness import NO_COHORT, Vectors
from cordon_server.authority.watchlist_proposal_records import PROPOSAL_TABLES
from cordon_server.authority.watchlist_proposals import Proposals
from cordon_server.authority.watchlist_records import LIST_TABLES
from cordon_server.authority.watchlist_rules import EntryRules, ListRules
from cordon_server.domain import StorageDamaged, StorageFull
from cordon_server.gallery import Gallery
from cordon_server.matches.drift_watch import Tell
from cordon_server.matches.log import MatchLog
from cordon_server.matches.room import TABLES as MATCH_TABLES
from cordon_server.matches.room import Matches, open_matches
from cordon_server.matches.views import ReviewRule
from cordon_server.recognition.decide import DecisionRule
from cordon_server.sessions.camera import CameraSession
from cordon_server.sessions.tally import COUNTS, Tally
from cordon_server.sessions.tested import PREFLIGHTS
from cordon_server.sessions.visits import Visits
from cordon_server.store.durable import remove_folder
from cordon_server.store.environment import Environment
from cordon_server.store.keyring import Keyring, Label
from cordon_server.store.requests import REQUESTS, RequestLedger
from cordon_server.store.sealing import DeploymentSealer

TABLES = (
    *LIST_TABLES,
    *PROPOSAL_TABLES,
    *MATCH_TABLES,
    COUNTS,
    PREFLIGHTS,
    REQUESTS,
)


@dataclass(slots=True)
class OpenDeployment:
    """A deployment that has not ended, with everything of it that is open."""

    record: DeploymentRecord
    environment: Environment
    watchlist: Watchlist
    proposals: Proposals
    matches: Matches
    ledger: RequestLedger
    visits: Visits
    tally: Tally
    cameras: dict[str, CameraSession] = field(default_factory=dict)
    logging: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a frame's sightings are judged and logged: one frame after the other."""

    @property
    def gallery(self) -> Gallery:
        return self.watchlist.gallery

    @property
    def log(self) -> MatchLog:
        return self.matches.log

    def check_open(self, now: datetime) -> None:
        """Raises `NotReady` unless it is armed, in its window, with a valid authority (R7, R8)."""
        check_recognising(self.record, now)

    def moved_to(self, record: DeploymentRecord) -> None:
        """Notes where it is now. Another threshold counts from the next loading of its gallery."""
        self.record = record
        rules = self.watchlist.rules
        if rules.threshold != record.threshold:
            self.watchlist.rules = replace(rules, threshold=record.threshold)

    async def close(self) -> None:
        """Ends the subscribers' waits and closes the database."""
        await self.log.close()
        await self.environment.close()


@dataclass(frozen=True, slots=True)
class DeploymentOpener:
    """Opens deployments' databases under one folder, each sealed under a key of its own, and
    destroys both."""

    folder: Path
    keyring: Keyring
    model_id: str
    dimension: int
    size_bytes_max: int
    duplicate_score: float
    entries_max: int
    references_per_entry_max: int
    entry_rules: EntryRules
    recorder: Recorder
    examiner: Examiner
    examining: Executor
    writer: Executor
    clock: Callable[[], datetime]
    rule: DecisionRule
    review: ReviewRule
    cohort: Vectors = field(default_factory=lambda: NO_COHORT)
    """Strangers that lists are compared with; without any, each list serves itself."""
    on_drift: Tell = lambda _: None
    """Hears of the measure of every drift alarm."""

    async def open(self, record: DeploymentRecord) -> OpenDeployment:
        """Opens a deployment and fills its gallery from the database.

        Raises `StorageDamaged` where the database is there and its key is not: nobody can read it.
        """
        environment = await self.environment(record.deployment_id)
        watchlist = self._watchlist(record, environment)
        await watchlist.load()
        matches = open_matches(
            environment,
            deployment_id=record.deployment_id,
            model_id=self.model_id,
            rule=self.review,
            recorder=self.recorder,
            clock=self.clock,
            on_drift=self.on_drift,
        )
        ledger = RequestLedger(environment, clock=self.clock)
        kept = ListRecord(self.recorder, record.deployment_id)
        return OpenDeployment(
            record,
            environment,
            watchlist,
            Proposals(environment, watchlist, kept, clock=self.clock),
            matches,
            ledger,
            Visits(self.rule),
            Tally(environment),
        )

    async def environment(self, deployment_id: str) -> Environment:
        """A deployment's database, sealed under its key; both are made where they are not there."""
        key = await asyncio.to_thread(self._key, deployment_id)
        return Environment(
            self.folder / deployment_id,
            TABLES,
            size_bytes_max=self.size_bytes_max,
            sealer=DeploymentSealer(key, model_id=self.model_id),
            writer=self.writer,
        )

    def erase(self, deployment_id: str) -> None:
        """Destroys a deployment's key and removes its database; nothing happens where neither is
        there (R2).

        Raises `StorageDamaged` when something of it is left: biometrics must not stay unnoticed.
        """
        try:
            self._destroy_key(deployment_id)
            remove_folder(self.folder / deployment_id)
        except OSError as error:
            raise StorageDamaged(
                f"the ended deployment {deployment_id} could not be erased ({error}); remove "
                f"{self.folder / deployment_id} by hand, then start the server again"
            ) from error

    def kept(self) -> set[str]:
        """The deployments of which a key or a database is here."""
        folders = {each.name for each in self.folder.iterdir()} if self.folder.exists() else set()
        return folders | set(self.keyring.names(Label.DEPLOYMENT))

    def is_lost(self, deployment_id: str) -> bool:
        """Whether a database is here that nobody can read any more."""
        key = self.keyring.get(Label.DEPLOYMENT, deployment_id)
        return key is None and (self.folder / deployment_id).exists()

    def _key(self, deployment_id: str) -> bytes:
        if self.is_lost(deployment_id):
            raise StorageDamaged(
                f"the key of deployment {deployment_id} was destroyed and nobody can read what is "
                f"left of it; end it: cordon admin deployment end {deployment_id}"
            )
        return self.keyring.get_or_make(Label.DEPLOYMENT, deployment_id)

    def _destroy_key(self, deployment_id: str) -> None:
        try:
            self.keyring.destroy(Label.DEPLOYMENT, [deployment_id])
        except StorageFull:
            # Writing the keyring takes room; what the key is for gives it.
            remove_folder(self.folder / deployment_id)
            self.keyring.destroy(Label.DEPLOYMENT, [deployment_id])

    def _watchlist(self, record: DeploymentRecord, environment: Environment) -> Watchlist:
        rules = ListRules(
            threshold=record.threshold,
            duplicate_score=self.duplicate_score,
            entries_max=self.entries_max,
            references_per_entry_max=self.references_per_entry_max,
            entry=self.entry_rules,
        )

        def new_gallery() -> Gallery:
            # Read when it is made: a draft's threshold may have changed since it was opened.
            threshold = watchlist.rules.threshold if watchlist else record.threshold
            return Gallery(model_id=self.model_id, dimension=self.dimension, threshold=threshold)

        watchlist: Watchlist | None = None
        watchlist = Watchlist(
            environment,
            new_gallery,
            rules,
            examiner=self.examiner,
            executor=self.examining,
            clock=self.clock,
            record=ListRecord(self.recorder, record.deployment_id),
            cohort=self.cohort,
        )
        return watchlist
