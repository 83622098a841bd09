"""`cordon demo`: the whole of Cordon at work, in a minute."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cordon_client.cli import run
from cordon_client.errors import ExitCode
from cordon_client.output import talk

if TYPE_CHECKING:
    from cordon_demo.plan import Plan
    from cordon_demo.show import Show


def demo(
    seconds: Annotated[float, typer.Option("--seconds", help="How long cameras stream.")] = 20.0,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where one picture per match goes.")
    ] = Path("demo-out"),
    wanted: Annotated[
        list[Path] | None,
        typer.Option("--wanted", metavar="PHOTO", help="Who is listed (repeatable)."),
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(
            "--source",
            metavar="URI",
            help="A file, a folder, webcam:0, rtsp://… or http://… (repeatable).",
        ),
    ] = None,
    provider: Annotated[
        str, typer.Option("--provider", help="What the models run on: auto, cpu or cuda.")
    ] = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object on standard output.")
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the site, and say how to go on with it.")
    ] = False,
) -> None:
    """See the whole of it work: a site, a server, two cameras, a watchlist, matches.

    Makes everything in a temporary folder and removes it again. Without --source, two drawn
    streets are shown to the cameras; without --wanted, a NASA portrait is listed and its face
    walks down both. Ends with 1 if a listed person was missed or a stranger matched. With
    --source, whether a match is false only you can tell (null in --json).

    \b
    Examples:
      cordon demo
      cordon demo --seconds 60 --wanted me.jpg --source webcam:0
      cordon demo --json --out /tmp/pictures
    """
    began_s = time.monotonic()
    # A deferred import: it takes half a second, and --help must not.
    from cordon_demo.plan import make_plan

    plan = make_plan(wanted or [], source or [], seconds, provider)
    run(_demo(plan, out.absolute(), began_s, as_json=as_json, keep=keep))


async def _demo(plan: Plan, out: Path, began_s: float, *, as_json: bool, keep: bool) -> ExitCode:
    from cordon_demo.outcome import is_good, make_outcome
    from cordon_demo.screen import Screen, summary
    from cordon_demo.show import Show

    ended_by = _end_on_signals()
    folder = Path(tempfile.mkdtemp(prefix="cordon-demo-"))
    show = Show(plan, folder, out, Screen(), began_s)
    try:
        await show.run()
    except asyncio.CancelledError:
        if not ended_by:  # Ctrl-C, which the caller knows how to say.
            raise
        raise typer.Exit(128 + ended_by[0]) from None
    finally:
        show.screen.close()
        _leave(folder, show, keep=keep)
    outcome = make_outcome(show)
    print(json.dumps(outcome) if as_json else summary(outcome, out))
    return ExitCode.OK if is_good(outcome) else ExitCode.FAILED


def _end_on_signals() -> list[int]:
    """SIGTERM and a closed terminal end the demo as Ctrl-C does, in order; which one it was."""
    task = asyncio.current_task()
    assert task is not None, "called from a coroutine"
    ended_by: list[int] = []

    def end(number: int) -> None:
        ended_by.append(number)
        task.cancel()

    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, end, number)
    return ended_by


def _leave(folder: Path, show: Show, *, keep: bool) -> None:
    """Removes the site, or says how to go on with it."""
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)
        return
    control, officer = folder / "control", folder / "officer"
    camera = show.plan.cameras[0]
    talk(
        f"""The site stays in {folder}: certificates, database, footage, logs. Go on with:
  export CORDON_PASSWORD_FILE={folder / "password"}
  cordon server run --config {folder / "site" / "cordon.toml"}
  cordon watch demo --identity {control}
  cordon camera run --identity {folder / camera} --webcam 0
  cordon admin watchlist list demo --identity {officer}
  rm -r {folder}"""
    )
