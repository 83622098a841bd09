from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from cordon_client.errors import ClientError
from cordon_demo import children as children_module
from cordon_demo.children import Children

pytestmark = pytest.mark.slow


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


SLEEPS = "import time; print('up', flush=True); time.sleep(60)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPS}"


async def is_up(log: Path) -> None:
    while "up" not in await asyncio.to_thread(log.read_text):
        await asyncio.sleep(0.02)


async def test_a_process_that_dies_early_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    async with Children(tmp_path) as children:
        await children.start("server", python("import sys; sys.exit('the port is taken')"))

        with pytest.raises(ClientError, match="server ended with code 1") as caught:
            await asyncio.wait_for(children.watch(), 10)

    assert "the port is taken" in caught.value.why


async def test_leaving_the_block_ends_every_process_even_a_deaf_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children_module, "_GRACE_S", 0.2)
    async with Children(tmp_path) as children:
        started = [await children.start(f"c{i}", python(c)) for i, c in enumerate((SLEEPS, DEAF))]
        for child in started:
            await asyncio.wait_for(is_up(child.log), 10)

    assert all(child.process.returncode is not None for child in started)


async def test_a_process_that_was_stopped_is_not_missed(tmp_path: Path) -> None:
    async with Children(tmp_path) as children:
        child = await children.start("camera", python(SLEEPS))
        watching = asyncio.create_task(children.watch())

        await children.stop(child)
        await asyncio.sleep(0.3)

        assert not watching.done()
        watching.cancel()


async def test_a_step_that_takes_too_long_is_an_error_and_ends(tmp_path: Path) -> None:
    async with Children(tmp_path) as children:
        child = await children.start("render", python(SLEEPS), lasts=False)

        with pytest.raises(ClientError, match="took more than"):
            await children.finish(child, 0.1)

    assert child.process.returncode is not None
