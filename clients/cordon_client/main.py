"""The program `cordon`: a table of commands, none of them imported before it is called."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from cordon_client.cli import ProfileOption
from cordon_client.errors import ClientError, ExitCode, print_error
from cordon_client.lazy import Lazy, LazyGroup


class Commands(LazyGroup):
    """What `cordon` can do."""

    table = {  # noqa: RUF012 - the base declares it ClassVar
        "server": Lazy("cordon_server.cli:app", "Run the recognition server.", "server"),
        "camera": Lazy("cordon_camera.cli:app", "Stream a camera to the server.", "camera"),
        "watch": Lazy("cordon_control.watch:watch", "Follow a deployment's matches.", "control"),
        "control": Lazy("cordon_control.cli:app", "Look at matches and decide them.", "control"),
        "admin": Lazy(
            "cordon_admin.cli:app",
            "Cameras, deployments, watchlists, certificates.",
            "admin",
        ),
        "status": Lazy("cordon_admin.health:status", "The server at a glance.", "admin"),
        "doctor": Lazy("cordon_admin.health:doctor", "Find out why nothing connects.", "admin"),
        "demo": Lazy("cordon_demo.cli:demo", "See the whole of it work, in a minute.", "demo"),
    }


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"cordon {version('cordon')}")
        raise typer.Exit


@app.callback()
def cordon(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
    profile: ProfileOption = None,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks and the transport's own log.")
    ] = False,
) -> None:
    """Live facial recognition that stays inside its authority.

    \b
    Examples:
      cordon demo
      cordon server run --config site/cordon.toml
      cordon admin --help
    """


def main() -> None:
    """Runs the command line. Nothing but an exit code and printed words leaves it."""
    debug = "--debug" in sys.argv[1:2]
    if not debug:
        # The transport's C core writes its own lines to standard error; ours say it better.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        command = typer.main.get_command(app)
        command(prog_name="cordon")
    except ClientError as error:
        print_error(error, debug=debug)
        sys.exit(error.exit_code)
    except Exception as error:  # noqa: BLE001 - the top: the person hears of it, with --debug in full
        print_error(error, debug=debug)
        sys.exit(ExitCode.FAILED)


if __name__ == "__main__":
    main()
