"""The manners that all commands share: options, running a coroutine, exit codes."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Context

from cordon_client.errors import ClientError, ExitCode, from_rpc, print_error
from cordon_client.identity import ClientIdentity, load_identity, split_address
from cordon_client.names import parse_match
from cordon_client.output import Format

if TYPE_CHECKING:
    from collections.abc import Coroutine

IdentityOption = Annotated[
    Path | None,
    typer.Option(
        "--identity",
        envvar="CORDON_IDENTITY",
        metavar="DIR",
        help="Identity folder (certificate, key, server).",
    ),
]
ServerOption = Annotated[
    str | None,
    typer.Option("--server", metavar="HOST:PORT", help="Another server than the identity's."),
]
ProfileOption = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="NAME",
        help="The identity folder ~/.config/cordon/profiles/NAME, for every command that follows.",
    ),
]
ReasonOption = Annotated[
    str,
    typer.Option("--reason", metavar="TEXT", help="Why; it goes on the record with your name."),
]
OutputOption = Annotated[Format, typer.Option("--output", "-o", help="How to print the answer.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Let the server check everything and change nothing.")
]
ConfirmOption = Annotated[
    str | None,
    typer.Option("--confirm", metavar="NAME", help="The object's name, in place of typing it."),
]

DeploymentArgument = Annotated[str, typer.Argument(metavar="DEPLOYMENT", help="Which deployment.")]
CameraOption = Annotated[
    str, typer.Option("--camera", metavar="CAMERA", help="Which of its cameras.")
]
MatchArgument = Annotated[
    str,
    typer.Argument(
        metavar="DEPLOYMENT/MATCH", help="Which match, as market/7.", callback=parse_match
    ),
]
"""Is handed to the command as the match's whole name."""
RefArgument = Annotated[
    str, typer.Argument(metavar="REF", help="Your own reference for the subject.")
]


def new_app(help: str, **settings: Any) -> typer.Typer:
    """A Typer app with the manners of this command line."""
    return typer.Typer(
        help=help,
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        **settings,
    )


def identity_for(role: str, given: Path | None, server: str | None = None) -> ClientIdentity:
    """The identity from the options, else the one at ~/.config/cordon/<role>."""
    folder = folder_for(role, given)
    if folder == default_folder(role) and not folder.exists():
        raise _nobody(role)
    identity = load_identity(folder)
    if server is None:
        return identity
    split_address(server)
    return replace(identity, server=server)


def folder_for(role: str, given: Path | None) -> Path:
    """The identity folder that is meant: --identity, --profile, CORDON_IDENTITY, the role's own."""
    profile, is_typed = _profile(), _is_typed("identity")
    if profile and given is not None and is_typed:
        raise ClientError(
            "--identity and --profile name two identities.",
            hint=f"cordon doctor --identity {given}",
            exit_code=ExitCode.USAGE,
        )
    if profile:
        return profile_folder(profile)
    return given or default_folder(role)


def default_folder(role: str) -> Path:
    """Where a role's identity lies when no option says otherwise."""
    return _settings_folder() / role


def profile_folder(name: str) -> Path:
    """Where a profile's identity lies."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", name):
        raise ClientError(
            f"{name!r} cannot be a profile's name.",
            why="It has to be letters, digits, dots, hyphens and underscores: it names a folder.",
            hint="cordon admin --profile office whoami",
            exit_code=ExitCode.USAGE,
        )
    return _settings_folder() / "profiles" / name


def group_name() -> str:
    """The group that the running command stands in: "admin" in `cordon admin sign-in`."""
    context = _context()
    parent = context.parent if context else None
    return (parent.info_name if parent else None) or "admin"


def run(coroutine: Coroutine[Any, Any, ExitCode | None], debug: bool = False) -> None:
    """Runs a command to its end and leaves with its exit code; errors are printed, once."""
    debug = debug or debug_asked()
    try:
        code = asyncio.run(coroutine)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except ClientError as error:
        print_error(error, debug=debug)
        raise typer.Exit(error.exit_code) from error
    except Exception as error:  # the top: translated where it can be, raised again where not
        translated = _translated(error)
        if translated is None:
            raise
        print_error(translated, debug=debug)
        raise typer.Exit(translated.exit_code) from error
    if code:
        raise typer.Exit(code)


def confirm(
    name: str, given: str | None, consequence: str, *, warning: str = "This cannot be undone."
) -> None:
    """Goes on only if the object's name was given or is typed now (exit code 2 otherwise)."""
    if given is None and sys.stdin.isatty():
        print(f"{consequence} {warning}", file=sys.stderr)
        # Not input(): its prompt goes to standard output, among the data.
        print(f"Type {name} to go on: ", end="", file=sys.stderr, flush=True)
        given = sys.stdin.readline()
    if given is None:
        raise ClientError(
            f"{name} was not confirmed.",
            why=f"{consequence} {warning} There is no terminal to ask at.",
            hint=again("--confirm", name),
            exit_code=ExitCode.USAGE,
        )
    if given.strip() != name:
        raise ClientError(
            f"{given.strip()!r} is not {name!r}; nothing was changed.", exit_code=ExitCode.USAGE
        )


def again(*more: str) -> str:
    """The command that was typed, with something added: a hint that runs."""
    return shlex.join(["cordon", *sys.argv[1:], *more])


def debug_asked() -> bool:
    """Whether `cordon --debug` was given."""
    context = _context()
    return bool(context and context.find_root().params.get("debug"))


def _context() -> Context | None:
    from typer._click.globals import get_current_context

    return get_current_context(silent=True)  # type: ignore[return-value]


def _settings_folder() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "cordon"


def _profile() -> str | None:
    """The profile named nearest to the command."""
    context: Any = _context()
    while context is not None:
        if name := context.params.get("profile"):
            return str(name)
        context = context.parent
    return None


def _is_typed(parameter: str) -> bool:
    """Whether an option of the running command was typed, rather than set in the environment."""
    context = _context()
    source = context.get_parameter_source(parameter) if context else None
    return source is None or source.name == "COMMANDLINE"


def _nobody(role: str) -> ClientError:
    return ClientError(
        f"No identity folder was named, and there is none at {default_folder(role)}.",
        why="The server talks to clients with a certificate only. `cordon server init` makes the "
        "first administrator's folder; everyone else enrols with a one-time token, which "
        "`cordon admin cert token` gives out.",
        hint=again("--identity", "DIR"),
        exit_code=ExitCode.SIGN_IN,
    )


def _translated(error: Exception) -> ClientError | None:
    import grpc

    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, ClientError):
        return error
    return from_rpc(error) if isinstance(error, grpc.aio.AioRpcError) else None
