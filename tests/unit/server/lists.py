"""What the tests of a list share: a list of faces by degrees, and how somebody joins it."""

from __future__ import annotations

from concurrent.futures import Executor

from cordon_server.authority.records import Actor
from cordon_server.authority.watchlist import Watchlist
from cordon_server.authority.watchlist_acts import ListRecord
from cordon_server.authority.watchlist_records import AgeGroup
from cordon_server.authority.watchlist_rules import Application, ListRules, Particulars
from cordon_server.domain import ReasonCode
from cordon_server.gallery import Gallery
from cordon_server.store.environment import Environment
from tests.unit.server.rooms import (
    DIMENSION,
    ENTRY_RULES,
    MODEL,
    OFFICER,
    Clock,
    DegreesExaminer,
    KeptActs,
    facing,
)

RULES = ListRules(
    threshold=0.5, duplicate_score=0.8, entries_max=9, references_per_entry_max=5, entry=ENTRY_RULES
)
CHILD = Particulars(age_group=AgeGroup.MINOR, rationale="ran away from home")


def a_watchlist(
    environment: Environment,
    executor: Executor,
    clock: Clock,
    rules: ListRules = RULES,
    acts: KeptActs | None = None,
) -> Watchlist:
    """An empty list, or the one of the database."""
    return Watchlist(
        environment,
        lambda: Gallery(model_id=MODEL, dimension=DIMENSION, threshold=rules.threshold),
        rules,
        examiner=DegreesExaminer(),
        executor=executor,
        clock=clock,
        record=ListRecord(acts or KeptActs(), "market"),
    )


async def enrol(
    watchlist: Watchlist,
    entry_id: str,
    image: bytes,
    particulars: Particulars | None = None,
    *,
    category: str = "missing",
    by: Actor = OFFICER,
) -> list[ReasonCode]:
    """Enrols as the servicer does; the codes of the warnings."""
    application = Application(
        entry_id, category, None, image, None, particulars or Particulars(), by
    )
    await watchlist.known(application)
    overridden = bool(application.particulars.override_reason)
    examined = await watchlist.examine(image, None, overridden=overridden)
    done = await watchlist.enrol(application, examined, dry_run=False)
    return [each.code for each in done.warnings]


def finds(watchlist: Watchlist, degrees: float) -> str | None:
    """Whose face it is to the running search."""
    (candidate,) = watchlist.gallery.search(facing(degrees).vector[None])
    return candidate.entry_id if candidate and candidate.score > 0.99 else None
