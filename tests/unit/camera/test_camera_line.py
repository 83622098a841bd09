"""The camera moves from channel to channel: a connection that is too old costs no frame."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cordon_camera.line import Line
from cordon_client.errors import ClientError
from cordon_client.identity import ClientIdentity
from tests.helpers.camera_run import LIVE, Camera, Endless, until
from tests.helpers.recognition_server import running_server

pytestmark = pytest.mark.slow

AGE = (("grpc.max_connection_age_ms", 700), ("grpc.max_connection_age_grace_ms", 30_000))


async def test_a_connection_that_the_server_finds_too_old_is_left_without_a_loss(
    tmp_path: Path,
) -> None:
    async with running_server(tmp_path, options=AGE) as server:
        camera = Camera(server.identity, LIVE, opener=lambda *_: Endless())
        streaming = asyncio.create_task(camera.stream.run())

        await until(lambda: streaming.done() or len(camera.events("connected")) > 3)
        streaming.cancel()
        await asyncio.gather(streaming, return_exceptions=True)

        told = camera.summary
        assert told["connections"] > 3
        assert told["lost"] <= server.servicer.script.credit  # On their way at the end.
        assert told["frames_sent"] - told["processed"] == told["lost"]
        assert server.servicer.overdrawn == 0
        assert camera.events("waiting") == []


async def test_a_renewal_that_fails_is_told_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[datetime] = []

    async def fails_once(identity: ClientIdentity) -> ClientIdentity:
        tries.append(datetime.now(UTC))
        if len(tries) == 1:
            raise ClientError("No server answers.", why="It restarts.")
        return replace(identity, folder=tmp_path / "moved")

    told: list[tuple[str, str]] = []
    async with running_server(tmp_path) as server:
        line = Line(server.identity, lambda *words: told.append(words))
        monkeypatch.setattr("cordon_camera.line.renewed", fails_once)
        due = iter([0.0, 3600.0])
        monkeypatch.setattr("cordon_camera.line._RETRY_BASE_S", 0.01)
        monkeypatch.setattr(Line, "_wait", lambda *_, **__: timedelta(seconds=next(due)))
        keeping = asyncio.create_task(line.keep())
        await until(line.turn.is_set)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)

    assert len(tries) == 2
    assert told[0] == ("not renewed", "No server answers. It restarts.")
    assert told[1][0] == "renewed"
    assert line.identity.folder == tmp_path / "moved"
