"""`cordon control claim|adjudicate|outcome`: a person's decision on a match, from its pictures to
what came of it (R10)."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cordon.v1 import match_pb2
from cordon.v1.match_pb2_grpc import MatchServiceStub
from cordon_client.channel import call, connected, new_request_id
from cordon_client.cli import (
    DryRunOption,
    IdentityOption,
    MatchArgument,
    OutputOption,
    ServerOption,
    identity_for,
    run,
)
from cordon_client.output import Format, emit, local_time, talk
from cordon_client.times import moment
from cordon_control.pictures import save_match, saved_pictures
from cordon_control.records import MATCH_DETAILS, match_record

if TYPE_CHECKING:
    from cordon_client.identity import ClientIdentity


class Verdict(StrEnum):
    """What a person may hold."""

    TRUE = "true"
    FALSE = "false"
    UNDECIDED = "undecided"


class Why(StrEnum):
    """Why."""

    FEATURES_AGREE = "features-agree"
    MARKS_AGREE = "marks-agree"
    FEATURES_DIFFER = "features-differ"
    MARKS_DIFFER = "marks-differ"
    AGE_DIFFERS = "age-differs"
    LOOK_ALIKE = "look-alike"
    PICTURE_POOR = "picture-poor"
    FACE_HIDDEN = "face-hidden"


class Came(StrEnum):
    """What came of it."""

    NO_ACTION = "no-action"
    LOST = "lost"
    STOPPED_WRONG = "stopped-wrong"
    STOPPED_CONFIRMED = "stopped-confirmed"
    ARRESTED = "arrested"
    SAFEGUARDED = "safeguarded"


PICTURES = Path("matches")
"""Where the pictures are saved when no option says otherwise."""


def claim(
    match: MatchArgument,
    save: Annotated[
        Path, typer.Option("--save", metavar="DIR", help="Write its pictures here, to look at.")
    ] = PICTURES,
    dry_run: DryRunOption = False,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Take a match for two minutes, so that nobody else judges it in your place, and save its
    pictures.

    \b
    Example:
      cordon control claim market/7 --save matches/
    """
    request = match_pb2.ClaimMatchRequest(
        name=match, request_id=new_request_id(), validate_only=dry_run
    )
    run(_claim(identity_for("control", identity, server), request, save, output))


def adjudicate(
    match: MatchArgument,
    verdict: Annotated[Verdict, typer.Argument(metavar="VERDICT", help="Is it the same person?")],
    because: Annotated[
        list[Why],
        typer.Option("--because", metavar="REASON", help="Why; repeat it, three at most."),
    ],
    pictures: Annotated[
        Path,
        typer.Option("--pictures", metavar="DIR", help="Where the pictures were saved."),
    ] = PICTURES,
    dry_run: DryRunOption = False,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Record your judgement on a match. It carries your name, and it stands.

    It names the pictures that you looked at: the ones that `claim`, `show --save` or `watch --save`
    wrote. Reasons for true: features-agree, marks-agree; for false: features-differ, marks-differ,
    age-differs, look-alike; for undecided: picture-poor, face-hidden, look-alike.

    \b
    Example:
      cordon control adjudicate market/7 false --because features-differ
    """
    who = identity_for("control", identity, server)
    run(_adjudicate(who, _judgement(match, verdict, because, dry_run), pictures, output))


def outcome(
    match: MatchArgument,
    came: Annotated[Came, typer.Argument(metavar="OUTCOME", help="What came of it.")],
    dry_run: DryRunOption = False,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Record what came of a decided match; a later outcome takes the earlier one's place.

    OUTCOME is no-action, lost, stopped-wrong, stopped-confirmed, arrested or safeguarded.
    Whoever was stopped wrongly is not taken for that person again in this deployment, unless a
    later outcome says otherwise.

    \b
    Example:
      cordon control outcome market/7 stopped-confirmed
    """
    request = match_pb2.RecordOutcomeRequest(
        name=match,
        outcome=match_pb2.MatchOutcome.Value(f"MATCH_OUTCOME_{came.name}"),
        request_id=new_request_id(),
        validate_only=dry_run,
    )
    run(_outcome(identity_for("control", identity, server), request, output))


def _judgement(
    name: str, verdict: Verdict, because: list[Why], dry_run: bool
) -> match_pb2.AdjudicateMatchRequest:
    reason = match_pb2.AdjudicationReason.Value
    return match_pb2.AdjudicateMatchRequest(
        name=name,
        decision=match_pb2.Decision.Value(f"DECISION_{verdict.name}"),
        reasons=[reason(f"ADJUDICATION_REASON_{why.name}") for why in because],
        request_id=new_request_id(),
        validate_only=dry_run,
    )


async def _claim(
    identity: ClientIdentity, request: match_pb2.ClaimMatchRequest, save: Path, output: Format
) -> None:
    async with connected(identity) as channel:
        stub = MatchServiceStub(channel)
        claimed = await call(stub.ClaimMatch, request)
        if request.validate_only:
            talk("The match could be claimed; nothing was changed.")
            return
        asked = match_pb2.GetMatchRequest(name=request.name)
        match = (await call(stub.GetMatch, asked)).match
        await save_match(stub, match, save)
    until = moment(claimed, "expire_time")
    talk(f"It is yours until {local_time(until) if until else '-'}. The pictures are in {save}.")
    emit([match_record(match)], MATCH_DETAILS, output, single=True)


async def _adjudicate(
    identity: ClientIdentity,
    request: match_pb2.AdjudicateMatchRequest,
    pictures: Path,
    output: Format,
) -> None:
    request.picture_ids.extend(saved_pictures(request.name, pictures))
    async with connected(identity) as channel:
        response = await call(MatchServiceStub(channel).AdjudicateMatch, request)
    if request.validate_only:
        talk("The judgement could be recorded; nothing was changed.")
        return
    if not response.match.HasField("adjudication"):
        talk("Another person has to judge the match before there is a decision.")
    emit([match_record(response.match)], MATCH_DETAILS, output, single=True)


async def _outcome(
    identity: ClientIdentity, request: match_pb2.RecordOutcomeRequest, output: Format
) -> None:
    async with connected(identity) as channel:
        response = await call(MatchServiceStub(channel).RecordOutcome, request)
    if request.validate_only:
        talk("The outcome could be recorded; nothing was changed.")
        return
    emit([match_record(response.match)], MATCH_DETAILS, output, single=True)
