"""One deployment's watchlist: entries, reference pictures and templates, and how they change.

LMDB commits first, the gallery follows; a crash between the two loses nothing, for the gallery is
rebuilt from LMDB. Who may be listed is said in `watchlist_rules`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from datetime import datetime

from cordon_server.authority import watchlist_enrolment as enrolment
from cordon_server.authority import watchlist_tables as tables
from cordon_server.authority.carrying import carried_through
from cordon_server.authority.list_state import ListState
from cordon_server.authority.records import Actor
from cordon_server.authority.watchlist_acts import ListRecord
from cordon_server.authority.watchlist_approval import approve, check_reviewable, check_second
from cordon_server.authority.watchlist_enrolment import (
    Enrolment,
    Examined,
    Examiner,
    Joining,
    Standing,
)
from cordon_server.authority.watchlist_faces import SIMILAR_COUNT, neighbours
from cordon_server.authority.watchlist_likeness import NO_COHORT, Vectors, known_apart
from cordon_server.authority.watchlist_lint import Finding, findings
from cordon_server.authority.watchlist_reader import ListReader
from cordon_server.authority.watchlist_records import (
    ENTRIES,
    Approval,
    EntryRecord,
    ReferenceRecord,
    ReviewRecord,
)
from cordon_server.authority.watchlist_rules import (
    NOBODY,
    Application,
    ListRules,
    check_application,
    proposal_needed,
)
from cordon_server.domain import NotListable, Reason, Template
from cordon_server.gallery import Gallery, check_template
from cordon_server.store.environment import Environment, Transaction

OnChange = Callable[[bool], Awaitable[bool]]
"""Is awaited, with the list locked, before it changes: is told whether the list only narrows, and
raises `NotReady` when it must not change so. Returns whether an authority over the list stays, so
that what is removed has to leave its trace. It must not wait for another change of the list."""


async def _any_change(narrows: bool) -> bool:
    """The list is nobody's yet."""
    return False


class Watchlist(ListReader):
    """The list of one deployment that has not ended. Used from the event loop."""

    def __init__(
        self,
        environment: Environment,
        new_gallery: Callable[[], Gallery],
        rules: ListRules,
        *,
        examiner: Examiner,
        executor: Executor,
        clock: Callable[[], datetime],
        record: ListRecord,
        cohort: Vectors = NO_COHORT,
    ) -> None:
        super().__init__(environment)
        self._record = record
        self._cohort = cohort
        self._examiner = examiner
        self._executor = executor
        self._clock = clock
        self._change = asyncio.Lock()
        self.new_gallery = new_gallery
        self._by_category: Counter[str] = Counter()
        self._by_hand: Counter[str] = Counter()
        self._ends: dict[str, datetime] = {}
        self.rules = rules
        self.gallery = new_gallery()
        self.on_change: OnChange = _any_change

    async def load(self) -> None:
        """Builds the gallery from LMDB, away from the event loop; changes wait until it is there.

        Who looks like whom is worked out here, and holds until the list is loaded again.

        Raises `InvalidInput` on a template that fails the gate.
        """
        async with self._change:
            await self._load()
        self.drop_expired()

    async def grow(self, act: Callable[[], Awaitable[None]]) -> None:
        """Lets `act` write to the list, with nothing else changing it; the gallery follows, also
        when `act` breaks off half way."""

        async def change() -> None:
            await self.on_change(False)
            try:
                await act()
            finally:
                await self._load()

        async with self._change:
            await carried_through(change())
        self.drop_expired()

    async def _load(self) -> None:
        gallery, now = self.new_gallery(), self._clock()
        listed, by_hand = await self._environment.read(
            lambda txn: (tables.whole_list(txn), tables.by_hand(txn))
        )

        def fill() -> None:
            references = [
                reference
                for entry, records in listed.values()
                for reference in tables.searched(entry, records, now)
            ]
            gallery.add(known_apart(references, self._cohort, self.rules.threshold))

        await asyncio.to_thread(fill)
        self.gallery = gallery
        self._by_hand = by_hand
        self._by_category = Counter(entry.category for entry, _ in listed.values())
        self._ends = {
            entry.entry_id: entry.expire_time
            for entry, _ in listed.values()
            if entry.expire_time is not None
        }

    def drop_expired(self) -> None:
        """Takes what has expired out of the gallery: the next search does not know it."""
        now = self._clock()
        for entry_id in [each for each, end in self._ends.items() if end <= now]:
            del self._ends[entry_id]
            self.gallery.remove_entry(entry_id)

    async def examine(
        self, image: bytes, point: tuple[float, float] | None, *, overridden: bool = False
    ) -> Examined:
        """Finds the face to enrol, away from the event loop; raises `UnusablePicture`."""
        return await asyncio.get_running_loop().run_in_executor(
            self._executor, lambda: self._examiner.examine(image, point, overridden=overridden)
        )

    async def known(self, application: Application) -> Enrolment | None:
        """The enrolment of this very picture if it is there, whoever sends it again.

        Raises `UnusablePicture` (DUPLICATE) when it is there under another entry, `NotListable`
        when the rules do not take what is not there.
        """
        digest = application.image_sha256

        def act(txn: Transaction) -> Enrolment | None:
            there = enrolment.found_picture(txn, digest)
            if there is None or there[0] != application.entry_id:
                there_already = txn.get(ENTRIES, application.entry_id.encode())
                check_application(
                    application, self.rules, self._clock(), is_new=there_already is None
                )
            return enrolment.known(txn, application, digest)

        return await self._environment.read(act)

    async def enrol(
        self, application: Application, examined: Examined, *, dry_run: bool
    ) -> Enrolment:
        """Puts the face on the list; when it returns, that is on disk.

        Raises `UnusablePicture` (DUPLICATE), `NotListable`, also where it takes a proposal,
        `LimitReached`, or `InvalidInput` for a template that fails the gallery's gate.
        """
        check_template(examined.template, self.gallery.model_id, self.gallery.dimension)
        digest = application.image_sha256
        async with self._change:
            looks = self._neighbours(application.entry_id, examined.template)
            now = self._clock()

            def act(txn: Transaction, keeps: bool) -> Enrolment | Joining:
                if (there := enrolment.known(txn, application, digest)) is not None:
                    return there
                made = enrolment.joining(
                    application,
                    examined,
                    enrolment.reference_id_of(txn, digest),
                    self.rules,
                    self.standing(txn, application),
                    now,
                )
                if keeps:
                    tables.put(txn, made.entry, made.reference, examined.face_jpeg)
                return made

            made = await self._environment.read(lambda txn: act(txn, False))
            if isinstance(made, Enrolment):
                return made
            by_hand = self._by_hand.total()
            if (needed := proposal_needed(self.rules.entry, by_hand, 1)) is not None:
                raise NotListable((("payload", needed),))

            async def change() -> None:
                await self.on_change(False)
                await self._record.enrolled(made.entry, made.reference, application.applicant)
                await self._environment.write(lambda txn: act(txn, True))
                self._joined(made, now)

            if not dry_run:
                await carried_through(change())
            warnings = looks + made.warnings
            return Enrolment(made.entry, made.reference.reference_id, True, warnings)

    async def remove(self, entry_id: str, *, by: Actor = NOBODY, dry_run: bool) -> int:
        """Removes a subject; the number of references that went. Raises `NotFound`."""
        async with self._change:
            entry, records = await self.get(entry_id)
            if dry_run:
                return len(records)

            async def change() -> None:
                leaves_trace = await self.on_change(True)
                await self._record.removed(entry, len(records), by)
                await self._environment.write(
                    lambda txn: tables.erase(txn, entry_id, leaves_trace=leaves_trace)
                )
                self._by_category[entry.category] -= 1
                del self._by_hand[entry_id]
                self._ends.pop(entry_id, None)
                self.gallery.remove_entry(entry_id)

            await carried_through(change())
            return len(records)

    async def approve(
        self, entry_id: str, approver: Actor, *, dry_run: bool
    ) -> tuple[EntryRecord, list[ReferenceRecord]]:
        """What waited of an entry may be searched: a minor (R18), pictures below the gate (R23).

        Raises `NotFound`, `NotReady`, `NotPermitted`, or `UnusablePicture` when the same face has
        been enrolled under another entry meanwhile.
        """
        async with self._change:
            before = await self.get(entry_id)
            now = self._clock()
            entry, records = approve(*before, Approval(approver, now))
            references = tables.searched(entry, records, now)
            for reference in references:
                self._neighbours(entry_id, reference.template)

            async def change() -> None:
                await self.on_change(False)
                await self._record.approved(before, approver)
                await self._environment.write(lambda txn: tables.put_records(txn, entry, records))
                self.gallery.add(references)

            if not dry_run:
                await carried_through(change())
            return entry, records

    async def review(
        self, digest: bytes, reviewer: Actor, requester: Actor, *, dry_run: bool
    ) -> ListState:
        """Records that a person looked through exactly this list (R5, R26).

        It has to be another person than who asked for the deployment and who enrolled anything, at
        another workstation. Raises `NotReady` or `NotPermitted`.
        """
        async with self._change:
            check_reviewable(await self.state(), digest)
            check_second([requester, *await self.enrolled_by()], reviewer, "review this watchlist")
            if not dry_run:
                record = ReviewRecord(digest, reviewer, self._clock())
                await self._record.reviewed(await self.state(), reviewer)
                await self._environment.write(lambda txn: tables.review(txn, record))
                self._by_hand.clear()
            return await self.state()

    async def findings(self) -> tuple[list[Finding], ListState]:
        """What a person should look at before the list is used, and the list that it is about."""
        state, listed = await self.state(), await self.whole()
        return await asyncio.to_thread(
            findings, listed, self._cohort, self.rules, self._clock()
        ), state

    @property
    def cohort(self) -> Vectors:
        """Strangers that the list is compared with; none where the site gives none."""
        return self._cohort

    @property
    def cohort_count(self) -> int:
        """How many strangers the list is compared with; 0 where the list itself serves."""
        return len(self._cohort)

    def standing(self, txn: Transaction, application: Application) -> Standing:
        """What the list holds where an application would join it."""
        return enrolment.standing(txn, application, self._by_category)

    def similar(self, template: Template) -> list[tuple[str, str, float]]:
        """The most similar references: (entry id, reference id, score), best first."""
        return self.gallery.similar(template, SIMILAR_COUNT)

    def _neighbours(self, entry_id: str, template: Template) -> tuple[Reason, ...]:
        return neighbours(
            self.gallery.similar,
            entry_id,
            template,
            threshold=self.rules.threshold,
            duplicate_score=self.rules.duplicate_score,
            own_max=self.rules.references_per_entry_max,
        )

    def _joined(self, made: Joining, now: datetime) -> None:
        self._by_hand[made.entry.entry_id] += 1
        if made.makes_entry:
            self._by_category[made.entry.category] += 1
        if made.entry.expire_time is not None:
            self._ends[made.entry.entry_id] = made.entry.expire_time
        self.gallery.add(tables.searched(made.entry, [made.reference], now))
