"""What the commands share: options, secrets from files, and errors in words."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cordon_server.domain import CallerFault, ConfigInvalid, CordonError

EXIT_FAILED = 1
EXIT_CONFLICT = 7


class Provider(StrEnum):
    """Where models run."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Level(StrEnum):
    """How much is logged."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", help="The settings file.", envvar="CORDON_CONFIG")
]
PortOption = Annotated[
    int | None,
    typer.Option(help="Port instead of the settings'; 0 takes a free one.", min=0, max=65535),
]
HostOption = Annotated[str | None, typer.Option(help="Address to bind instead of the settings'.")]
ProviderOption = Annotated[
    Provider | None,
    typer.Option(help="Where models run instead of the settings'. What is not there is an error."),
]


def overrides(
    host: str | None, port: int | None, provider: Provider | None
) -> dict[str, dict[str, object]]:
    """What was given of the settings on the command line."""
    sections: dict[str, dict[str, object]] = {
        "listen": {"host": host, "port": port},
        "recognition": {"provider": provider.value if provider else None},
    }
    return {
        name: {field: value for field, value in values.items() if value is not None}
        for name, values in sections.items()
    }


def secret(path: Path) -> str:
    """The first line of a file."""
    try:
        return path.read_text().splitlines()[0]
    except (OSError, UnicodeDecodeError, IndexError) as error:
        raise ConfigInvalid(f"{path} cannot be read as a line of text ({error})") from error


@contextmanager
def errors() -> Iterator[None]:
    """Prints what went wrong in words and exits; a traceback is for what nobody foresaw."""
    try:
        yield
    except (CordonError, ExceptionGroup) as raised:
        error = _innermost(raised)
        if not isinstance(error, CordonError):
            raise
        print(f"error: {error.message}", file=sys.stderr)
        raise typer.Exit(EXIT_CONFLICT if isinstance(error, CallerFault) else EXIT_FAILED) from None


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
