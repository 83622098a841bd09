"""Following a match log against a real gRPC server that breaks off on purpose."""

from __future__ import annotations

import asyncio
import json
import stat
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from cordon.v1 import match_pb2
from cordon.v1.match_pb2_grpc import MatchServiceServicer, add_MatchServiceServicer_to_server
from cordon_client.errors import ClientError, ExitCode
from cordon_control.follow import Enough, Follower
from cordon_control.watch import Printer
from tests.helpers.pki import Authority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from cordon_client.identity import ClientIdentity

DEPLOYMENT = "deployments/market"

_Servicer: Any = MatchServiceServicer


@dataclass
class Matches(_Servicer):  # type: ignore[misc]  # the base is abstract in its stubs only
    """A log of `count` matches that breaks each stream off after so many of them."""

    count: int
    cuts: list[int] = field(default_factory=list)
    cut_code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE
    skips: int = 0
    """A sequence that the log has lost."""
    asked: list[int] = field(default_factory=list)

    async def SubscribeMatches(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802
        """From the position asked for to the cut, or to the end and on with heartbeats."""
        self.asked.append(request.after_sequence)
        left = self.cuts.pop(0) if self.cuts else self.count
        for sequence in range(request.after_sequence + 1, self.count + 1):
            if left == 0:
                await context.abort(self.cut_code, "")
            left -= 1
            if sequence != self.skips:
                yield match_pb2.SubscribeMatchesResponse(match=match(sequence))
        while True:
            heartbeat = match_pb2.Heartbeat(head_sequence=self.count)
            yield match_pb2.SubscribeMatchesResponse(heartbeat=heartbeat)
            await asyncio.sleep(0.05)

    async def GetMatchImages(self, request, context):  # type: ignore[no-untyped-def]  # noqa: N802
        """Pictures that say whose they are."""
        return match_pb2.GetMatchImagesResponse(
            probes=[match_pb2.MatchPicture(jpeg=b"probe " + request.name.encode())],
            references=[match_pb2.MatchPicture(jpeg=b"reference")],
        )


def match(sequence: int) -> match_pb2.Match:
    return match_pb2.Match(
        name=f"{DEPLOYMENT}/matches/{sequence}",
        sequence=sequence,
        camera="cameras/north",
        entry=f"{DEPLOYMENT}/entries/A-17",
        category="wanted",
        score=0.71,
        margin=0.4,
    )


@asynccontextmanager
async def serving(servicer: Matches, folder: Path) -> AsyncIterator[ClientIdentity]:
    authority = Authority()
    server = grpc.aio.server()
    add_MatchServiceServicer_to_server(servicer, server)
    port = server.add_secure_port("127.0.0.1:0", authority.server_credentials())
    await server.start()
    try:
        yield authority.client(folder / "identity", f"127.0.0.1:{port}", role="control")
    finally:
        await server.stop(None)


def following(
    identity: ClientIdentity, until: int, after: int = 0
) -> tuple[Follower, list[int], list[str]]:
    taken: list[int] = []
    troubles: list[str] = []

    async def take(_: Any, found: match_pb2.Match) -> None:
        taken.append(found.sequence)
        if found.sequence == until:
            raise Enough

    return Follower(identity, DEPLOYMENT, after, take, troubles.append), taken, troubles


async def test_what_is_there_already_comes_first_and_in_order(tmp_path: Path) -> None:
    async with serving(Matches(9), tmp_path) as identity:
        follower, taken, troubles = following(identity, until=9, after=3)
        await follower.run()

    assert taken == [4, 5, 6, 7, 8, 9]
    assert troubles == []


async def test_broken_streams_leave_neither_a_gap_nor_a_repetition(tmp_path: Path) -> None:
    servicer = Matches(20, cuts=[0, 3, 0, 1, 9])
    async with serving(servicer, tmp_path) as identity:
        follower, taken, troubles = following(identity, until=20)
        await follower.run()

    assert taken == list(range(1, 21))
    assert servicer.asked == sorted(servicer.asked)
    assert any("Trying again" in trouble for trouble in troubles)
    assert "Connected again." in troubles


async def test_a_match_that_could_not_be_finished_comes_again(tmp_path: Path) -> None:
    attempts: list[int] = []

    async def take(_: Any, found: match_pb2.Match) -> None:
        attempts.append(found.sequence)
        if attempts == [1, 2]:
            empty = grpc.aio.Metadata()
            raise grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, empty, empty, "cut")
        if found.sequence == 3:
            raise Enough

    async with serving(Matches(3), tmp_path) as identity:
        await Follower(identity, DEPLOYMENT, 0, take, lambda _: None).run()

    assert attempts == [1, 2, 2, 3]


async def test_a_gap_in_the_log_is_never_passed_over(tmp_path: Path) -> None:
    async with serving(Matches(5, skips=3), tmp_path) as identity:
        follower, taken, _ = following(identity, until=5)
        with pytest.raises(ClientError, match="jumped from #2 to #4"):
            await follower.run()

    assert taken == [1, 2]


async def test_a_refusal_is_final(tmp_path: Path) -> None:
    servicer = Matches(5, cuts=[2], cut_code=grpc.StatusCode.NOT_FOUND)
    async with serving(servicer, tmp_path) as identity:
        follower, _, _ = following(identity, until=5)
        with pytest.raises(ClientError) as refused:
            await follower.run()

    assert refused.value.exit_code is ExitCode.NOT_FOUND


async def test_pictures_are_saved_where_only_their_owner_reads_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "matches"
    async with serving(Matches(2), tmp_path) as identity:
        printer = Printer(as_json=True, folder=folder, left=2)
        await Follower(identity, DEPLOYMENT, 0, printer.take, print).run()

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["sequence"] for line in lines] == [1, 2]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {f.name: stat.S_IMODE(f.stat().st_mode) for f in folder.iterdir()} == {
        f"{sequence}{suffix}": 0o600
        for sequence in (1, 2)
        for suffix in ("-probe.jpg", "-reference.jpg", ".json")
    }
    assert (folder / "2-probe.jpg").read_bytes() == b"probe deployments/market/matches/2"
    assert json.loads((folder / "2.json").read_text()) == lines[1]


async def test_a_line_for_people_has_what_they_need(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serving(Matches(1), tmp_path) as identity:
        printer = Printer(as_json=False, folder=None, left=1)
        await Follower(identity, DEPLOYMENT, 0, printer.take, print).run()

    line = capsys.readouterr().out
    for word in ("#1", "north", "A-17", "wanted", "score 0.710", "margin 0.400"):
        assert word in line
