from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cordon_server.authority.watchlist import Watchlist
from cordon_server.authority.watchlist_acts import ListRecord
from cordon_server.authority.watchlist_enrolment import Enrolment
from cordon_server.authority.watchlist_faces import SIMILAR_COUNT
from cordon_server.authority.watchlist_rules import Application, ListRules
from cordon_server.domain import (
    InvalidInput,
    LimitReached,
    NotFound,
    ReasonCode,
    Template,
    UnusablePicture,
)
from cordon_server.gallery import Gallery
from cordon_server.sessions.deployment import TABLES
from cordon_server.store.environment import Environment, Table
from tests.unit.server.rooms import (
    DIMENSION,
    ENTRY_RULES,
    MODEL,
    QUALITY,
    Clock,
    DegreesExaminer,
    KeptActs,
    Seen,
    facing,
    open_environment,
    picture,
)

RULES = ListRules(
    threshold=0.5, duplicate_score=0.8, entries_max=4, references_per_entry_max=7, entry=ENTRY_RULES
)
"""In degrees: nearer than 37 is a duplicate, nearer than 60 a look-alike."""


@pytest.fixture
async def environment(tmp_path: Path, writer: Executor) -> AsyncIterator[Environment]:
    environment = open_environment(tmp_path / "list", TABLES, writer)
    yield environment
    await environment.close()


@pytest.fixture
def watchlist(environment: Environment, writer: Executor, clock: Clock) -> Watchlist:
    return a_watchlist(environment, writer, clock)


def a_watchlist(
    environment: Environment, executor: Executor, clock: Clock, rules: ListRules = RULES
) -> Watchlist:
    return Watchlist(
        environment,
        lambda: Gallery(model_id=MODEL, dimension=DIMENSION, threshold=rules.threshold),
        rules,
        examiner=DegreesExaminer(),
        executor=executor,
        clock=clock,
        record=ListRecord(KeptActs(), "market"),
    )


def an_application(
    entry_id: str, degrees: float, take: int = 0, *, threshold: float | None = None
) -> Application:
    return Application(entry_id, "wanted", threshold, picture(degrees, take), None)


async def enrol(
    watchlist: Watchlist, application: Application, *, dry_run: bool = False
) -> Enrolment:
    if (known := await watchlist.known(application)) is not None:
        return known
    examined = await watchlist.examine(application.image, application.face_point)
    return await watchlist.enrol(application, examined, dry_run=dry_run)


async def test_an_enrolled_face_is_found_at_once(watchlist: Watchlist) -> None:
    enrolment = await enrol(watchlist, an_application("a", 10, threshold=0.6))

    (candidate,) = watchlist.gallery.search(facing(12).vector[None])
    assert enrolment.is_new
    assert candidate is not None
    assert (candidate.entry_id, candidate.reference_id) == ("a", enrolment.reference_id)
    assert candidate.threshold == pytest.approx(0.6)
    assert await watchlist.counts() == (1, 1)
    assert await watchlist.image("a", enrolment.reference_id) == b"face of 10 0"


async def test_the_same_picture_again_changes_nothing(watchlist: Watchlist) -> None:
    first = await enrol(watchlist, an_application("a", 10))
    known = await watchlist.known(an_application("a", 10))
    examined = await watchlist.examine(picture(10), None)
    again = await watchlist.enrol(an_application("a", 10), examined, dry_run=False)

    assert known == again == Enrolment(first.entry, first.reference_id, is_new=False)
    assert await watchlist.counts() == (1, 1)
    assert len(watchlist.gallery) == 1


async def test_the_same_picture_many_times_at_once_is_enrolled_once(watchlist: Watchlist) -> None:
    enrolments = await asyncio.gather(
        *(enrol(watchlist, an_application("a", 10)) for _ in range(6))
    )

    assert sum(each.is_new for each in enrolments) == 1
    assert len({each.reference_id for each in enrolments}) == 1
    assert len(watchlist.gallery) == 1


async def test_a_second_picture_joins_the_entry_which_keeps_its_own_rules(
    watchlist: Watchlist,
) -> None:
    await enrol(watchlist, an_application("a", 10, threshold=0.6))
    second = replace(an_application("a", 14, threshold=0.9), category="missing")
    enrolment = await enrol(watchlist, second)

    entry, references = await watchlist.get("a")
    assert enrolment.is_new
    assert enrolment.warnings == ()
    assert (entry.category, entry.threshold) == ("wanted", 0.6)
    assert len(references) == 2


async def test_one_picture_shows_one_subject(watchlist: Watchlist) -> None:
    await enrol(watchlist, an_application("a", 10))

    with pytest.raises(UnusablePicture, match="this very picture is enrolled as a") as refused:
        await enrol(watchlist, an_application("b", 10))

    (reason,) = refused.value.reasons
    assert reason.code is ReasonCode.DUPLICATE
    assert reason.reference.startswith("a/")
    assert reason.score == 1.0
    assert await watchlist.counts() == (1, 1)


async def test_a_face_that_is_listed_under_another_name_is_a_duplicate(
    watchlist: Watchlist,
) -> None:
    await enrol(watchlist, an_application("a", 10))

    with pytest.raises(UnusablePicture, match="the same face is enrolled as a") as refused:
        await enrol(watchlist, an_application("b", 40))

    (reason,) = refused.value.reasons
    assert reason.code is ReasonCode.DUPLICATE
    assert reason.score == pytest.approx(np.cos(np.radians(30)), abs=1e-6)
    assert "b" not in watchlist.gallery


async def test_a_look_alike_is_listed_with_a_warning(watchlist: Watchlist) -> None:
    first = await enrol(watchlist, an_application("a", 10))
    second = await enrol(watchlist, an_application("b", 60))
    third = await enrol(watchlist, an_application("c", 150))

    (warning,) = second.warnings
    assert warning.code is ReasonCode.LOOK_ALIKE
    assert warning.reference == f"a/{first.reference_id}"
    assert third.warnings == ()


async def test_ones_own_pictures_do_not_hide_a_duplicate(watchlist: Watchlist) -> None:
    for take in range(SIMILAR_COUNT + 1):
        await enrol(watchlist, an_application("a", 0, take))
    await enrol(watchlist, an_application("b", 45))

    with pytest.raises(UnusablePicture, match="enrolled as b"):
        await enrol(watchlist, an_application("a", 20))


async def test_a_picture_without_a_face_is_refused_with_its_reason(watchlist: Watchlist) -> None:
    with pytest.raises(UnusablePicture) as refused:
        await watchlist.examine(b"a wall", None)

    assert [each.code for each in refused.value.reasons] == [ReasonCode.NO_FACE]


async def test_a_full_list_takes_no_new_subject_but_more_pictures(watchlist: Watchlist) -> None:
    for number in range(RULES.entries_max):
        await enrol(watchlist, an_application(f"s-{number}", number * 90))

    with pytest.raises(LimitReached, match=r"limits\.entries_max"):
        await enrol(watchlist, an_application("s-more", 45))
    await enrol(watchlist, an_application("s-0", 5))

    assert await watchlist.counts() == (4, 5)
    assert "s-more" not in watchlist.gallery


async def test_a_subject_has_so_many_pictures_and_no_more(watchlist: Watchlist) -> None:
    for take in range(RULES.references_per_entry_max):
        await enrol(watchlist, an_application("a", 10, take))

    with pytest.raises(LimitReached, match=r"limits\.references_per_entry_max"):
        await enrol(watchlist, an_application("a", 10, 99))

    assert await watchlist.counts() == (1, RULES.references_per_entry_max)


async def test_a_subject_whose_name_begins_with_anothers_is_not_that_one(
    watchlist: Watchlist,
) -> None:
    await enrol(watchlist, an_application("a", 0))
    await enrol(watchlist, an_application("a-2", 90))
    await enrol(watchlist, an_application("a.3", 180))

    assert await watchlist.remove("a", dry_run=False) == 1
    assert [record.entry_id for record, _ in await watchlist.page("", 9)] == ["a-2", "a.3"]


async def test_a_dry_run_says_the_same_and_writes_nothing(watchlist: Watchlist) -> None:
    await enrol(watchlist, an_application("a", 10))

    trial = await enrol(watchlist, an_application("b", 60), dry_run=True)
    with pytest.raises(UnusablePicture):
        await enrol(watchlist, an_application("b", 15), dry_run=True)
    assert await watchlist.remove("a", dry_run=True) == 1

    assert trial.is_new
    assert [each.code for each in trial.warnings] == [ReasonCode.LOOK_ALIKE]
    assert await watchlist.counts() == (1, 1)
    assert "a" in watchlist.gallery
    assert "b" not in watchlist.gallery
    with pytest.raises(NotFound):
        await watchlist.image("b", trial.reference_id)


async def test_a_removed_subject_leaves_nothing_and_may_be_enrolled_anew(
    watchlist: Watchlist, environment: Environment
) -> None:
    first = await enrol(watchlist, an_application("a", 10))
    await enrol(watchlist, an_application("a", 12))

    assert await watchlist.remove("a", dry_run=False) == 2

    assert watchlist.gallery.search(facing(10).vector[None]) == [None]
    tables: tuple[Table[Any], ...] = TABLES
    assert not any(await environment.read(lambda txn: [txn.count(each) for each in tables]))
    for asked in (watchlist.get("a"), watchlist.image("a", first.reference_id)):
        with pytest.raises(NotFound):
            await asked
    with pytest.raises(NotFound):
        await watchlist.remove("a", dry_run=False)
    assert (await enrol(watchlist, an_application("b", 10))).is_new


async def test_a_reloaded_list_finds_what_the_first_found(
    watchlist: Watchlist, environment: Environment, writer: Executor, clock: Clock
) -> None:
    for number in range(4):
        own = 0.7 if number % 2 else None
        await enrol(watchlist, an_application(f"s-{number}", number * 70, threshold=own))
        await enrol(watchlist, an_application(f"s-{number}", number * 70 + 3))
    await watchlist.remove("s-1", dry_run=False)
    again = a_watchlist(environment, writer, clock)
    assert len(again.gallery) == 0

    await again.load()

    probes = np.stack([facing(degrees).vector for degrees in range(0, 360, 7)])
    assert again.gallery.search(probes) == watchlist.gallery.search(probes)
    assert await again.counts() == (3, 6)


async def test_pages_follow_each_other_by_name(watchlist: Watchlist) -> None:
    for number, name in enumerate(("b", "d", "a", "c")):
        await enrol(watchlist, an_application(name, number * 90))

    first = await watchlist.page("", 3)
    rest = await watchlist.page(first[-1][0].entry_id, 3)

    assert [record.entry_id for record, _ in first] == ["a", "b", "c"]
    assert [(record.entry_id, len(refs)) for record, refs in rest] == [("d", 1)]


@pytest.mark.parametrize(
    "template",
    [
        Template(np.full(DIMENSION, np.nan, dtype=np.float32), MODEL),
        Template(np.eye(DIMENSION, dtype=np.float32)[0], "another"),
    ],
)
async def test_a_bad_template_never_reaches_the_disk(
    watchlist: Watchlist, template: Template
) -> None:
    examined = Seen(template, QUALITY, b"face")

    with pytest.raises(InvalidInput):
        await watchlist.enrol(an_application("a", 10), examined, dry_run=False)

    assert await watchlist.counts() == (0, 0)
    await watchlist.load()
