"""An import as its caller sees it; the list and the servicer are real, faces are angles."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from cordon.v1 import watchlist_pb2
from cordon_server.api.edge import _ADMITTED
from cordon_server.api.watchlist import WatchlistServicer
from cordon_server.api.watchlist_import import EXAMINED_AHEAD
from cordon_server.authority.watchlist import Watchlist
from cordon_server.authority.watchlist_acts import ListRecord
from cordon_server.authority.watchlist_rules import EntryRules, ListRules, Needed
from cordon_server.config.sections import Limits
from cordon_server.domain import NotReady
from cordon_server.gallery import Gallery
from cordon_server.identity.admission import Admitted
from cordon_server.identity.names import PersonRole
from cordon_server.sessions.deployment import TABLES
from tests.unit.server.persons import a_peer, a_person
from tests.unit.server.rooms import (
    DIMENSION,
    ENTRY_RULES,
    MODEL,
    Clock,
    DegreesExaminer,
    KeptActs,
    Seen,
    open_environment,
    picture,
)

ACCEPTED = watchlist_pb2.ENROL_OUTCOME_ACCEPTED
EXISTS = watchlist_pb2.ENROL_OUTCOME_ALREADY_ENROLLED
REJECTED = watchlist_pb2.ENROL_OUTCOME_REJECTED
WAIT_S = 10


class FirstIsSlowest(DegreesExaminer):
    """Has the first picture ready only when one that came after it is."""

    def __init__(self, first: bytes, later: bytes) -> None:
        self._first, self._later, self._done = first, later, Event()

    def examine(
        self, image: bytes, point: tuple[float, float] | None, *, overridden: bool = False
    ) -> Seen:
        if image == self._first:
            assert self._done.wait(WAIT_S)
        seen = super().examine(image, point)
        if image == self._later:
            self._done.set()
        return seen


class Context:
    """Keeps what the servicer writes."""

    def __init__(self) -> None:
        self.written: list[watchlist_pb2.ImportReferencesResponse] = []

    async def write(self, report: watchlist_pb2.ImportReferencesResponse) -> None:
        self.written.append(report)


async def test_of_two_rows_with_one_face_the_first_is_accepted(tmp_path: Path) -> None:
    images = [picture(10), b"nobody", b"nobody either", picture(10, take=2)]

    async with slow_at_first(tmp_path, images) as watchlist:
        written = await imported(watchlist, images)

    assert [(report.row, report.outcome) for report in written] == [
        (1, ACCEPTED),
        (2, REJECTED),
        (3, REJECTED),
        (4, REJECTED),
    ]
    assert written[3].reasons[0].reference == written[0].reference


async def test_it_is_the_first_with_a_picture_between_that_is_on_the_list_already(
    tmp_path: Path,
) -> None:
    images = [picture(10), picture(50), picture(10, take=2)]

    async with slow_at_first(tmp_path, images) as watchlist:
        before = await imported(watchlist, [b"nobody", images[1]])
        written = await imported(watchlist, images)

    assert [report.outcome for report in before] == [REJECTED, ACCEPTED]
    assert [report.outcome for report in written] == [ACCEPTED, EXISTS, REJECTED]
    assert written[2].reasons[0].reference == written[0].reference


@asynccontextmanager
async def slow_at_first(
    folder: Path, images: list[bytes], entry: EntryRules = ENTRY_RULES
) -> AsyncIterator[Watchlist]:
    """A list that has the first of the pictures examined when it has the last."""
    assert len(images) <= EXAMINED_AHEAD
    with ThreadPoolExecutor(1) as writer, ThreadPoolExecutor(EXAMINED_AHEAD) as examiners:
        environment = open_environment(folder / "list", TABLES, writer)
        async with asyncio.timeout(WAIT_S):
            yield Watchlist(
                environment,
                lambda: Gallery(model_id=MODEL, dimension=DIMENSION, threshold=0.5),
                ListRules(0.5, 0.8, entries_max=4, references_per_entry_max=7, entry=entry),
                examiner=FirstIsSlowest(images[0], images[-1]),
                executor=examiners,
                clock=Clock(),
                record=ListRecord(KeptActs(), "market"),
            )
        await environment.close()


async def imported(
    watchlist: Watchlist,
    images: Sequence[bytes] = (),
    *,
    rows: Sequence[watchlist_pb2.ImportRow] = (),
    row_count: int = 0,
) -> list[watchlist_pb2.ImportReferencesResponse]:
    """The reports of an import of the rows, or of a subject for each image."""
    sent = rows or [
        watchlist_pb2.ImportRow(row=row, external_ref=f"A-{row}", image=image, category="wanted")
        for row, image in enumerate(images, start=1)
    ]

    async def requests() -> AsyncIterator[watchlist_pb2.ImportReferencesRequest]:
        start = watchlist_pb2.ImportStart(parent="deployments/d-1", row_count=row_count)
        yield watchlist_pb2.ImportReferencesRequest(start=start)
        for row in sent:
            yield watchlist_pb2.ImportReferencesRequest(row=row)

    async def opened(_: str) -> Any:
        return SimpleNamespace(watchlist=watchlist, record=SimpleNamespace(deployment_id="d-1"))

    live: Any = SimpleNamespace(opened=opened)
    manifest: Any = None
    context: Any = Context()
    _ADMITTED.set(Admitted(a_peer(), a_person(PersonRole.WATCHLIST_OFFICER), ""))
    await WatchlistServicer(live, Limits(), manifest).ImportReferences(requests(), context)
    written: list[watchlist_pb2.ImportReferencesResponse] = context.written
    return written


@pytest.mark.serves("R6")
async def test_by_the_policy_many_rows_have_to_be_a_proposal(tmp_path: Path) -> None:
    rules = replace(ENTRY_RULES, proposal_rows_min=3)
    images = [picture(10), picture(100), picture(190)]

    async with slow_at_first(tmp_path, images[:2], rules) as watchlist:
        with pytest.raises(NotReady) as refused:
            await imported(watchlist, images, row_count=3)
        written = await imported(watchlist, images)
        count = await watchlist.counts()

    assert refused.value.reason == "PROPOSAL_NEEDED"
    assert [report.outcome for report in written] == [ACCEPTED, ACCEPTED, REJECTED]
    assert [each.code for each in written[2].reasons] == [watchlist_pb2.REASON_CODE_PROPOSAL_NEEDED]
    assert count == (2, 2)


@pytest.mark.serves("R6")
@pytest.mark.parametrize("parts", [(4,), (1, 1, 1, 1), (2, 2), (1, 3), (3, 1)])
async def test_no_split_of_an_import_gets_round_the_proposal(
    tmp_path: Path, parts: tuple[int, ...]
) -> None:
    rules = replace(ENTRY_RULES, proposal_rows_min=3)
    images = [picture(degrees) for degrees in (10, 100, 190, 280)]

    nobody = [picture(45), picture(46)]
    async with slow_at_first(tmp_path, nobody, rules) as watchlist:
        for number, count in enumerate(parts):
            first = sum(parts[:number])
            rows = [
                watchlist_pb2.ImportRow(
                    row=row, external_ref=f"A-{row}", image=images[row], category="wanted"
                )
                for row in range(first, first + count)
            ]
            written = await imported(watchlist, rows=rows, row_count=count if count < 3 else 0)

        (refused,) = written[-1].reasons
        assert refused.code == watchlist_pb2.REASON_CODE_PROPOSAL_NEEDED
        assert "2 were enrolled without" in refused.message
        assert await watchlist.counts() == (2, 2)


async def test_an_import_that_is_sent_again_is_no_larger_for_what_is_there(tmp_path: Path) -> None:
    rules = replace(ENTRY_RULES, proposal_rows_min=3)
    images = [picture(10), picture(100)]

    async with slow_at_first(tmp_path, [picture(45), picture(46)], rules) as watchlist:
        await imported(watchlist, images[:1], row_count=2)  # and the connection is lost
        written = await imported(watchlist, images, row_count=2)

    assert [report.outcome for report in written] == [EXISTS, ACCEPTED]


MUTATIONS: dict[str, dict[str, Any]] = {
    "CATEGORY_UNKNOWN": {"category": "other"},
    "BAD_FIELD": {"birth_date": "31.12.1990"},
    "THRESHOLD_BELOW_FLOOR": {"threshold": 0.2},
    "SOURCE_MISSING": {"lawful_source": 0},
    "RATIONALE_MISSING": {"rationale": "wanted"},
    "REQUESTER_MISSING": {"requester": ""},
    "BIRTH_MISSING": {"birth_date": "", "age_group": 0},
    "BIRTH_CONTRADICTED": {"age_group": watchlist_pb2.AGE_GROUP_MINOR},
    "MINOR_NOT_ALLOWED": {"birth_date": "2015-01-01", "age_group": 0},
    "IMAGE_DATE_MISSING": {"captured_on": ""},
    "IMAGE_STALE": {"captured_on": "2001-01-01"},
    "EXPIRED": {"expire_time": Timestamp(seconds=1)},
    "NO_FACE": {"image": b"a wall"},
    "IMAGE_TOO_LARGE": {"image": b"0" * (Limits().image_bytes_max + 1)},
    "DUPLICATE": {"image": picture(0, take=9)},
}
"""Code to what is wrong with a row that is good otherwise."""


@pytest.mark.serves("R6", "R18", "R23")
async def test_every_mutated_row_is_refused_by_its_code_and_the_others_go_on(
    tmp_path: Path,
) -> None:
    rules = replace(
        ENTRY_RULES,
        needed=frozenset(Needed),
        rationale_characters_min=10,
        image_age_max=timedelta(days=3653),
    )
    good: dict[str, Any] = {
        "category": "wanted",
        "image": picture(0),
        "lawful_source": watchlist_pb2.LAWFUL_SOURCE_CUSTODY,
        "rationale": "wanted on warrant",
        "requester": "unit 4",
        "birth_date": "1990-05-01",
        "age_group": watchlist_pb2.AGE_GROUP_ADULT,
        "captured_on": "2026-01-31",
    }
    wrong = [good | {"image": picture(180)} | change for change in MUTATIONS.values()]
    rows = [
        watchlist_pb2.ImportRow(row=number, external_ref=f"A-{number}", **said)
        for number, said in enumerate([good, *wrong, good | {"image": picture(90)}])
    ]

    async with slow_at_first(tmp_path, [b"none of them"], rules) as watchlist:
        first, *refused, last = await imported(watchlist, rows=rows)

    assert (first.outcome, last.outcome) == (ACCEPTED, ACCEPTED)
    assert {report.outcome for report in refused} == {REJECTED}
    codes = [
        [watchlist_pb2.ReasonCode.Name(each.code) for each in report.reasons] for report in refused
    ]
    assert codes == [[f"REASON_CODE_{code}"] for code in MUTATIONS]
