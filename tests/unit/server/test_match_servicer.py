"""The match log over the wire: what goes out of a match, by every way there is."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest
from google.protobuf.message import Message

from cordon.v1 import match_pb2 as pb
from cordon_server.api import edge
from cordon_server.api.matches import MatchServicer
from cordon_server.domain import CordonError, NotFound
from cordon_server.identity.admission import Admitted
from cordon_server.identity.names import PersonRole, Role
from cordon_server.identity.people import Person
from cordon_server.matches.receipts import RECEIPT_TABLES, Receipts
from cordon_server.matches.views import ReviewRule
from cordon_server.sessions.deployment import OpenDeployment
from cordon_server.store.environment import Environment, Transaction
from cordon_server.store.requests import REQUESTS
from tests.unit.server.live_rooms import LiveSite, a_live_site, no_ceiling
from tests.unit.server.persons import a_peer
from tests.unit.server.rooms import (
    NOON,
    Clock,
    KeptActs,
    a_frame,
    a_sighting,
    facing,
    open_environment,
)

CONTEXT = cast(edge.Context, None)
"""None of these methods asks it anything."""
PARENT, NAME = "deployments/market", "deployments/market/matches/1"
WHOM = "zz-somebody-wanted"
TOLD_BEFORE = {
    "name",
    "sequence",
    "camera",
    "frame_sequence",
    "captured_at",
    "create_time",
    "withheld",
}
"""Of a match, before its reviewer has judged; "revision" too, where it is not 0."""


def sit_down(name: str, *roles: PersonRole) -> None:
    """Who calls from now on, each at a workstation of his own."""
    roles = roles or (PersonRole.OPERATOR,)
    person = Person(name, frozenset(roles), f"session of {name}", NOON, NOON, None)
    sha256 = name.encode().hex().ljust(64, "0")
    edge._ADMITTED.set(Admitted(a_peer(Role.CONTROL, f"desk-{name}", sha256), person, ""))


@dataclass
class Room:
    """The service on a deployment in which two people judge blind."""

    site: LiveSite
    opened: OpenDeployment
    servicer: MatchServicer

    async def raise_match(self) -> None:
        sighting = replace(
            a_sighting(WHOM, 0.73125), probe_jpeg=b"a view", vector=facing(20).vector
        )
        (entry,) = await self.opened.watchlist.page("", 1)
        reference = entry[1][0].reference_id
        candidate = replace(sighting.candidate, category="wanted", reference_id=reference)
        await self.opened.log.append(a_frame(7), (replace(sighting, candidate=candidate),))

    async def pictures(self) -> list[str]:
        images = await self.servicer.GetMatchImages(pb.GetMatchImagesRequest(name=NAME), CONTEXT)
        return [each.picture_id for each in (*images.probes, *images.references)]

    async def judge(self, decision: pb.Decision.ValueType = pb.DECISION_TRUE) -> pb.Match:
        reason = {
            pb.DECISION_TRUE: pb.ADJUDICATION_REASON_FEATURES_AGREE,
            pb.DECISION_FALSE: pb.ADJUDICATION_REASON_FEATURES_DIFFER,
        }[decision]
        request = pb.AdjudicateMatchRequest(
            name=NAME, decision=decision, reasons=[reason], picture_ids=await self.pictures()
        )
        return (await self.servicer.AdjudicateMatch(request, CONTEXT)).match

    async def outbound(self) -> dict[str, Message | str]:
        """What every method of the service tells the caller of the one match."""
        answers: dict[str, Message | str] = {}
        judgement: dict[str, Any] = {
            "decision": pb.DECISION_FALSE,
            "reasons": [pb.ADJUDICATION_REASON_FEATURES_DIFFER],
            "picture_ids": await self.pictures(),
            "validate_only": True,
        }
        for method, request in {
            "GetMatch": pb.GetMatchRequest(name=NAME),
            "ListMatches": pb.ListMatchesRequest(parent=PARENT),
            "GetMatchImages": pb.GetMatchImagesRequest(name=NAME),
            "ClaimMatch": pb.ClaimMatchRequest(name=NAME),
            "AdjudicateMatch": pb.AdjudicateMatchRequest(name=NAME, **judgement),
            "RecordOutcome": pb.RecordOutcomeRequest(
                name=NAME, outcome=pb.MATCH_OUTCOME_STOPPED_WRONG
            ),
        }.items():
            try:
                answers[method] = await getattr(self.servicer, method)(request, CONTEXT)
            except CordonError as error:
                answers[method] = f"{error.reason}: {error.message}"
        subscribe = pb.SubscribeMatchesRequest(parent=PARENT)
        stream = self.servicer.SubscribeMatches(subscribe, CONTEXT)
        async with aclosing(cast(Any, stream)) as responses:
            answers["SubscribeMatches"] = await anext(responses)
        return answers


@pytest.fixture
async def room(
    tmp_path: Path, registry: Environment, writer: Executor, clock: Clock
) -> AsyncIterator[Room]:
    kept = open_environment(tmp_path / "receipts", RECEIPT_TABLES, writer)
    receipts = Receipts(kept, site="site.local", recorder=KeptActs(), clock=clock)
    rule = ReviewRule(reviewers=2, is_blind=True)
    async with a_live_site(tmp_path, registry, writer, clock, rule) as site:
        opened = await site.draft("market", "north")
        await opened.watchlist.remove("s-1", dry_run=False)
        for degrees in (10, 12, 14, 16, 18):
            await site.enrol(opened, WHOM, degrees)
        await site.arm()
        room = Room(
            site, opened, MatchServicer(site.live, receipts, no_ceiling(), subscribers_max=3)
        )
        await room.raise_match()
        sit_down("ben")
        yield room
    await kept.close()


def matches_in(answer: Message | str) -> Iterator[pb.Match]:
    """Every match in a message, at any depth."""
    if isinstance(answer, str):
        return
    if isinstance(answer, pb.Match):
        yield answer
    for field, value in answer.ListFields():
        if field.message_type is not None:
            for each in value if field.is_repeated else [value]:
                yield from matches_in(each)


@pytest.mark.serves("R10")
async def test_of_an_unjudged_match_every_way_out_tells_pictures_camera_and_time_alone(
    room: Room,
) -> None:
    answers = await room.outbound()

    assert set(answers) == {m.name for m in pb.DESCRIPTOR.services_by_name["MatchService"].methods}
    for method, answer in answers.items():
        spoken = answer.encode() if isinstance(answer, str) else answer.SerializeToString()
        assert WHOM.encode() not in spoken, method
        assert b"wanted" not in spoken, method
        for match in matches_in(answer):
            assert {field.name for field, _ in match.ListFields()} == TOLD_BEFORE, method
    assert sum(1 for answer in answers.values() for _ in matches_in(answer)) == 4
    assert str(answers["RecordOutcome"]).startswith("NOT_DECIDED")


@pytest.mark.serves("R11")
async def test_no_way_out_shows_that_somebody_else_has_judged(room: Room) -> None:
    before = await room.outbound()
    sit_down("anna")
    assert (await room.judge()).entry.endswith(WHOM)
    sit_down("ben")

    assert await room.outbound() == before


@pytest.mark.serves("R10")
async def test_after_ones_own_judgement_a_match_is_told_whole_and_then_with_the_decision(
    room: Room,
) -> None:
    sit_down("anna")
    own = await room.judge()
    sit_down("ben")
    decided = await room.judge(pb.DECISION_FALSE)

    assert not own.HasField("adjudication")
    assert [each.reviewer for each in own.judgements] == ["users/anna"]
    assert (own.category, own.withheld) == ("wanted", False)
    assert own.score == pytest.approx(0.73125)
    assert decided.adjudication.decision == pb.DECISION_UNDECIDED
    assert [each.decision for each in decided.judgements] == [pb.DECISION_TRUE, pb.DECISION_FALSE]
    sit_down("carl")
    answers = await room.outbound()
    for method in ("GetMatch", "ListMatches", "SubscribeMatches"):
        (match,) = matches_in(answers[method])
        assert match.adjudication.decision == pb.DECISION_UNDECIDED, method


@pytest.mark.serves("R10")
async def test_a_pair_is_four_pictures_against_four_at_most_the_best_first(room: Room) -> None:
    for number in range(5):
        better = replace(a_sighting(WHOM, 0.8), probe_jpeg=b"view %d" % number)
        await room.opened.log.append(a_frame(8 + number), (better,), (1,))

    images = await room.servicer.GetMatchImages(pb.GetMatchImagesRequest(name=NAME), CONTEXT)

    assert [each.jpeg for each in images.probes] == [b"view %d" % n for n in (4, 3, 2, 1)]
    assert len(images.references) == 4
    assert len({each.picture_id for each in images.references}) == 4


@pytest.mark.serves("R10")
async def test_that_an_entry_was_removed_is_said_without_naming_it(room: Room) -> None:
    await room.opened.watchlist.remove(WHOM, dry_run=False)

    with pytest.raises(NotFound) as refused:
        await room.pictures()

    assert WHOM not in refused.value.message


async def test_an_answer_kept_for_a_repeat_is_not_for_somebody_else(room: Room) -> None:
    same = "0a1b2c3d-0000-4000-8000-00000000000a"
    sit_down("anna")
    request = pb.AdjudicateMatchRequest(
        name=NAME,
        decision=pb.DECISION_TRUE,
        reasons=[pb.ADJUDICATION_REASON_FEATURES_AGREE],
        picture_ids=await room.pictures(),
        request_id=same,
    )
    own = await room.servicer.AdjudicateMatch(request, CONTEXT)
    assert await room.servicer.AdjudicateMatch(request, CONTEXT) == own
    person = replace(edge.the_person(), user_id="eve", session_id="of eve")
    edge._ADMITTED.set(Admitted(edge.caller(), person, ""))

    with pytest.raises(CordonError) as refused:
        await room.servicer.AdjudicateMatch(request, CONTEXT)

    assert refused.value.reason == "NOT_THIS_DESK"


@pytest.mark.serves("R4")
async def test_no_answer_that_is_kept_for_a_repeat_outlives_what_it_says_of_a_match(
    room: Room,
) -> None:
    reasons = [pb.ADJUDICATION_REASON_FEATURES_AGREE]
    for person in ("anna", "ben"):
        sit_down(person)
        judgement = pb.AdjudicateMatchRequest(
            name=NAME,
            decision=pb.DECISION_TRUE,
            reasons=reasons,
            picture_ids=await room.pictures(),
            request_id=str(uuid.uuid4()),
        )
        judged = await room.servicer.AdjudicateMatch(judgement, CONTEXT)
        assert judged.match.entry.endswith(WHOM)
    outcome = pb.RecordOutcomeRequest(
        name=NAME, outcome=pb.MATCH_OUTCOME_LOST, request_id=str(uuid.uuid4())
    )
    recorded = await room.servicer.RecordOutcome(outcome, CONTEXT)
    assert await room.servicer.RecordOutcome(outcome, CONTEXT) == recorded

    await room.opened.log.purge(1)

    def answers(txn: Transaction) -> list[bytes]:
        return [kept.response for _, kept in txn.scan(REQUESTS)]

    kept = await room.opened.environment.read(answers)
    assert len(kept) == 3
    assert not any(WHOM.encode() in answer for answer in kept)
    with pytest.raises(NotFound):
        await room.servicer.RecordOutcome(outcome, CONTEXT)


@pytest.mark.serves("R4")
async def test_a_subscriber_is_told_of_what_was_deleted_and_goes_on(room: Room) -> None:
    await room.raise_match()
    await room.opened.log.purge(1)

    subscribe = pb.SubscribeMatchesRequest(parent=PARENT)
    stream = cast(Any, room.servicer.SubscribeMatches(subscribe, CONTEXT))
    async with aclosing(stream) as responses:
        told = [await anext(responses) for _ in range(2)]

    assert told[0].deletion.through_sequence == 1
    assert told[1].match.sequence == 2
