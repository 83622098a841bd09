"""A list is loaded beside the event loop, and what is changed meanwhile is neither lost nor twice
there."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from concurrent.futures import Executor

import pytest

from cordon_server.authority.watchlist import Watchlist
from cordon_server.authority.watchlist_acts import ListRecord
from cordon_server.authority.watchlist_rules import Application, ListRules
from cordon_server.gallery import Gallery, Reference
from cordon_server.store.environment import Environment
from tests.unit.server.rooms import (
    DIMENSION,
    ENTRY_RULES,
    MODEL,
    Clock,
    DegreesExaminer,
    KeptActs,
    picture,
)

RULES = ListRules(
    threshold=0.5,
    duplicate_score=0.999,
    entries_max=90,
    references_per_entry_max=7,
    entry=ENTRY_RULES,
)
PATIENCE_S = 20.0


class SlowGallery(Gallery):
    """Waits before it takes what is loaded."""

    may_go_on = threading.Event()
    has_begun = threading.Event()

    def add(self, references: Iterable[Reference]) -> None:
        self.has_begun.set()
        assert self.may_go_on.wait(PATIENCE_S)
        super().add(references)


@pytest.fixture
def watchlist(environment: Environment, writer: Executor, clock: Clock) -> Watchlist:
    SlowGallery.may_go_on.set()
    SlowGallery.has_begun.clear()
    return Watchlist(
        environment,
        lambda: SlowGallery(model_id=MODEL, dimension=DIMENSION, threshold=RULES.threshold),
        RULES,
        examiner=DegreesExaminer(),
        executor=writer,
        clock=clock,
        record=ListRecord(KeptActs(), "market"),
    )


async def _enrol(watchlist: Watchlist, entry_id: str, degrees: float) -> None:
    image = picture(degrees)
    examined = await watchlist.examine(image, None)
    application = Application(entry_id, "wanted", None, image, None)
    await watchlist.enrol(application, examined, dry_run=False)


async def test_the_loop_goes_on_while_a_list_is_loaded_and_changes_wait_for_it(
    watchlist: Watchlist,
) -> None:
    for number in range(10):
        await _enrol(watchlist, f"s-{number}", 9.0 * number)
    searched = watchlist.gallery
    SlowGallery.has_begun.clear()
    SlowGallery.may_go_on.clear()

    loading = asyncio.create_task(watchlist.load())
    assert await asyncio.to_thread(SlowGallery.has_begun.wait, PATIENCE_S)
    changing = asyncio.gather(
        _enrol(watchlist, "late", 120.0), watchlist.remove("s-3", dry_run=False)
    )
    await asyncio.sleep(0)
    while_loading = (
        watchlist.gallery is searched,
        len(watchlist.gallery),
        await watchlist.counts(),
    )
    SlowGallery.may_go_on.set()
    await loading
    await changing

    assert while_loading == (True, 10, (10, 10))
    assert watchlist.gallery is not searched
    assert len(watchlist.gallery) == 10
    assert "late" in watchlist.gallery
    assert "s-3" not in watchlist.gallery
    assert await watchlist.counts() == (10, 10)


async def test_a_load_that_is_given_up_changes_nothing(watchlist: Watchlist) -> None:
    await _enrol(watchlist, "s-1", 10.0)
    searched = watchlist.gallery
    SlowGallery.has_begun.clear()
    SlowGallery.may_go_on.clear()

    loading = asyncio.create_task(watchlist.load())
    assert await asyncio.to_thread(SlowGallery.has_begun.wait, PATIENCE_S)
    loading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loading
    SlowGallery.may_go_on.set()
    await _enrol(watchlist, "s-2", 100.0)

    assert watchlist.gallery is searched
    assert len(watchlist.gallery) == 2


async def test_of_changes_and_loads_in_any_order_all_that_is_on_disk_is_searched(
    watchlist: Watchlist,
) -> None:
    for turn in range(8):
        await asyncio.gather(
            _enrol(watchlist, f"s-{turn}", 9.0 * turn),
            watchlist.load(),
            _enrol(watchlist, f"t-{turn}", 90.0 + 9.0 * turn),
            watchlist.load(),
        )
        await asyncio.gather(watchlist.load(), watchlist.remove(f"s-{turn}", dry_run=False))

    assert sorted(f"t-{turn}" for turn in range(8) if f"t-{turn}" in watchlist.gallery) == sorted(
        f"t-{turn}" for turn in range(8)
    )
    assert (await watchlist.counts())[1] == len(watchlist.gallery) == 8
