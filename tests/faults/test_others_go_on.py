"""One bad client changes nothing for the others."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterable
from pathlib import Path

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from cordon.v1 import match_pb2, match_pb2_grpc
from tests.helpers.frame_stream import PROCESSED, REJECTED, Stream, armed, now
from tests.helpers.rpc import channel_of
from tests.helpers.site import Site


@pytest.mark.slow
async def test_a_camera_that_sends_garbage_loses_its_frames_and_nobody_else_does(
    site: Site, portrait: bytes
) -> None:
    good, bad = site.add_camera(), site.add_camera()
    armed(site, good[0], bad[0])
    chance = random.Random(3)
    async with channel_of(good[1]) as one, channel_of(bad[1]) as other:
        fine, garbage = Stream(one), Stream(other)
        await fine.hello()
        await garbage.hello()

        for _ in range(40):
            junk = bytearray(portrait)
            for _ in range(chance.randrange(1, 60)):
                junk[chance.randrange(2, len(junk))] = chance.randrange(256)
            cut = bytes(junk[: chance.randrange(1, len(junk))])
            refused, served = await asyncio.gather(garbage.frame(cut), fine.frame(portrait))

            assert refused.outcome == REJECTED
            assert refused.error.reason.startswith("FRAME_")
            assert served.outcome == PROCESSED
            assert served.matches == 1


@pytest.mark.slow
async def test_a_subscriber_that_stops_reading_delays_nobody(site: Site, portrait: bytes) -> None:
    camera, identity = site.add_camera()
    deployment = armed(site, camera)
    desk = site.identity("control", "reading-desk")
    request = match_pb2.SubscribeMatchesRequest(parent=f"deployments/{deployment}")
    frames = 120
    async with channel_of(desk) as asleep, channel_of(desk) as awake, channel_of(identity) as eye:
        stuck = match_pb2_grpc.MatchServiceStub(asleep).SubscribeMatches(request)
        reading = asyncio.create_task(
            _read_matches(match_pb2_grpc.MatchServiceStub(awake).SubscribeMatches(request), frames)
        )
        stream = Stream(eye)
        await stream.hello()
        for _ in range(frames):
            assert (await stream.frame(portrait)).matches == 1

        sequences = await asyncio.wait_for(reading, 30)
        late = await asyncio.wait_for(_read_matches(stuck, frames), 30)

    assert sequences == list(range(1, frames + 1))
    assert late == sequences


async def _read_matches(
    responses: AsyncIterable[match_pb2.SubscribeMatchesResponse], count: int
) -> list[int]:
    sequences: list[int] = []
    async for response in responses:
        if response.WhichOneof("payload") == "match":
            sequences.append(response.match.sequence)
            if len(sequences) == count:
                break
    return sequences


async def _refusal(stream: Stream, sent_at: Timestamp | None = None) -> tuple[str, str]:
    """How the server refuses a stream: status and message."""
    with pytest.raises((grpc.aio.AioRpcError, AssertionError)):
        await stream.hello(sent_at)
    code, details = await stream.call.code(), await stream.call.details()
    return code.name, str(details)


async def _told_refusal(channel: grpc.aio.Channel) -> tuple[str, str]:
    """The same where the client, writing as it is refused, may hear its own error first."""
    async with asyncio.timeout(30):
        while True:
            code, words = await _refusal(Stream(channel))
            if words != "Internal error from Core":
                return code, words


@pytest.mark.slow
async def test_streams_that_may_not_be_are_refused_in_words(site: Site, portrait: bytes) -> None:
    camera, identity = site.add_camera()
    idle, idle_identity = site.add_camera()
    revoked, revoked_identity = site.add_camera()
    armed(site, camera, revoked)
    site.cordon("admin", "camera", "revoke", revoked, "--confirm", revoked)
    slow_clock = Timestamp()
    slow_clock.FromSeconds(now().seconds - 3600)
    async with (
        channel_of(identity) as channel,
        channel_of(idle_identity) as idle_channel,
        channel_of(revoked_identity) as revoked_channel,
    ):
        first = Stream(channel)
        welcome = await first.hello()
        assert welcome.camera == f"cameras/{camera}"

        code, words = await _refusal(Stream(channel))
        assert code == "ALREADY_EXISTS"
        assert "streaming already" in words
        code, words = await _refusal(Stream(idle_channel))
        assert code == "FAILED_PRECONDITION"
        assert f"no armed deployment names camera {idle}" in words
        code, words = await _told_refusal(revoked_channel)
        assert code == "UNAUTHENTICATED"
        assert "revoked" in words
        code, words = await _refusal(Stream(idle_channel), slow_clock)
        assert code == "FAILED_PRECONDITION"
        assert "behind the server's" in words
        assert "NTP" in words

        off = await first.frame(portrait, slow_clock)
        assert off.outcome == REJECTED
        assert off.error.reason == "CLOCK_OFF"
        assert (await first.frame(portrait)).outcome == PROCESSED


@pytest.mark.slow
async def test_frames_that_break_a_rule_are_told_which_and_the_stream_goes_on(
    site: Site, portrait: bytes, tmp_path: Path
) -> None:
    camera, identity = site.add_camera()
    armed(site, camera)
    async with channel_of(identity) as channel:
        stream = Stream(channel)
        await stream.hello()

        for jpeg, reason in _bad_frames(portrait):
            result = await stream.frame(jpeg)
            assert (result.outcome, result.error.reason) == (REJECTED, reason), reason
            assert result.error.message.endswith(".")
        assert (await stream.frame(portrait)).outcome == PROCESSED


def _bad_frames(portrait: bytes) -> list[tuple[bytes, str]]:
    from io import BytesIO

    from PIL import Image

    picture = Image.open(BytesIO(portrait))

    def saved(image: Image.Image, **options: object) -> bytes:
        out = BytesIO()
        image.save(out, **({"format": "JPEG"} | options))  # type: ignore[arg-type]  # Pillow's options
        return out.getvalue()

    return [
        (b"", "FRAME_EMPTY"),
        (b"not a picture at all", "FRAME_NOT_JPEG"),
        (saved(picture, format="PNG"), "FRAME_NOT_JPEG"),
        (portrait[: len(portrait) // 2], "FRAME_TRUNCATED"),
        (saved(picture, progressive=True), "FRAME_PROGRESSIVE"),
        (saved(picture.convert("CMYK")), "FRAME_COMPONENTS"),
        (saved(Image.new("RGB", (9000, 64))), "FRAME_DIMENSIONS"),
        (portrait + bytes(5 * 2**20), "FRAME_TOO_LARGE"),
    ]
