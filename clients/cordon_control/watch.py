"""`cordon watch`: the match stream of a deployment, line by line."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cordon_client.cli import DeploymentArgument, IdentityOption, ServerOption, identity_for, run
from cordon_client.names import deployment_name
from cordon_client.output import talk, to_json
from cordon_control.follow import Enough, Follower
from cordon_control.pictures import save_match
from cordon_control.records import match_line, match_record

if TYPE_CHECKING:
    from cordon.v1 import match_pb2
    from cordon.v1.match_pb2_grpc import MatchServiceAsyncStub
    from cordon_client.identity import ClientIdentity


def watch(
    deployment: DeploymentArgument,
    after: Annotated[
        int,
        typer.Option(
            "--after", metavar="SEQ", min=0, help="The last you have, as a watch tells at its end."
        ),
    ] = 0,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    save: Annotated[
        Path | None,
        typer.Option("--save", metavar="DIR", help="Write each match's two pictures here."),
    ] = None,
    exit_after: Annotated[
        int | None, typer.Option("--exit-after", metavar="N", min=1, help="End after N matches.")
    ] = None,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Follow a deployment's matches, across lost connections and restarts of the server.

    First come the matches that are there already, then new ones as they happen. Ctrl-C ends it.

    \b
    Examples:
      cordon watch market
      cordon watch market --after 12 --json --save matches/
    """
    who = identity_for("control", identity, server)
    printer = Printer(as_json=json, folder=save, left=exit_after)
    run(_watch(who, deployment_name(deployment), after, printer))


class Printer:
    """Prints each match, once its pictures are saved, and counts down to the last wanted one."""

    def __init__(self, *, as_json: bool, folder: Path | None, left: int | None) -> None:
        self._as_json = as_json
        self._folder = folder
        self._left = left

    async def take(self, stub: MatchServiceAsyncStub, match: match_pb2.Match) -> None:
        """Raises Enough after the last one."""
        if self._folder is not None:
            await save_match(stub, match, self._folder)
        record = match_record(match)
        print(to_json(record) if self._as_json else match_line(record), flush=True)
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                raise Enough


async def _watch(identity: ClientIdentity, deployment: str, after: int, printer: Printer) -> None:
    follower = Follower(identity, deployment, after, on_match=printer.take, on_trouble=talk)
    this = asyncio.current_task()
    assert this is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, this.cancel)
    try:
        await follower.run()
    except asyncio.CancelledError:
        this.uncancel()
        talk(f"Ended. To go on: --after {follower.last}")
