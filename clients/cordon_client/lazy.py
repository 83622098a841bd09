"""A command group that imports a command only when it is called.

Help and completion read a table of names and one-line helps; they know nothing of what is behind.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

import typer
from typer.core import TyperCommand, TyperGroup

from cordon_client.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Lazy:
    """Where a command is, and what help says of it before it is imported."""

    target: str
    """"module:attribute"; the attribute is a Typer app or a plain function."""
    help: str
    """One line."""
    extra: str = ""
    """The extra of the distribution that brings what it imports."""


class LazyGroup(TyperGroup):
    """A group whose commands are the rows of `table`, each imported when it is called."""

    table: ClassVar[Mapping[str, Lazy]] = {}

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, row in self.table.items():
            self.add_command(TyperCommand(name=name, help=row.help, short_help=row.help))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """As the base does, with the real command in place of its line in the table."""
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None and name in self.table:
            command = load(name, self.table[name])
        return name, command, rest


def load(name: str, row: Lazy) -> TyperCommand | TyperGroup:
    """The command that the row names; a ClientError says what to install where it is missing."""
    module_name, _, attribute = row.target.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except ModuleNotFoundError as error:
        raise _not_installed(name, row, error) from error
    return _as_command(name, found)


def _as_command(name: str, found: Any) -> TyperCommand | TyperGroup:
    if isinstance(found, typer.Typer):
        command: Any = typer.main.get_group(found)
    else:
        single = typer.Typer(
            add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
        )
        single.command(name)(found)
        command = typer.main.get_command(single)
    command.name = name
    return cast("TyperCommand | TyperGroup", command)


def _not_installed(name: str, row: Lazy, error: ModuleNotFoundError) -> ClientError:
    requirement = f"cordon[{row.extra}]" if row.extra else "cordon"
    return ClientError(
        f"The command `{name}` is not installed here.",
        why=f"It needs the Python module {error.name}.",
        hint=f"pip install '{requirement}'",
    )
