"""Applies the field rules of the contract to every message at the edge; the rules are a table."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.message import Message

from cordon_server.api.rule_kinds import Rule
from cordon_server.api.rule_table import ROW_RULES, RULES
from cordon_server.domain import InvalidInput

PAGE_SIZE_DEFAULT = 100
"""Items of a page where a request names no number."""


def check(message: Message) -> None:
    """Raises `InvalidInput` naming every field of the message, at any depth, that breaks a rule."""
    raise_for(list(_violations(message, "")))


def check_row(row: Message) -> None:
    """The same for an import row."""
    raise_for(list(_broken(row, ROW_RULES, "")))


def raise_for(violations: list[tuple[str, str]]) -> None:
    """Raises `InvalidInput` for (field, rule) pairs, if there are any."""
    if violations:
        words = "; ".join(f"{field} {rule}" for field, rule in violations)
        raise InvalidInput(words, field=violations[0][0], violations=tuple(violations))


def _violations(message: Message, path: str) -> Iterator[tuple[str, str]]:
    yield from _broken(message, RULES.get(message.DESCRIPTOR.full_name, {}), path)
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.file.package == "cordon.v1":
            for each_value in value if field.is_repeated else (value,):
                yield from _violations(each_value, f"{path}{field.name}.")


def _broken(message: Message, rules: dict[str, Rule], path: str) -> Iterator[tuple[str, str]]:
    for name, rule in rules.items():
        field = message.DESCRIPTOR.fields_by_name[name]
        if field.has_presence and field.message_type is None and not message.HasField(name):
            continue
        is_absent = field.has_presence and not message.HasField(name)
        value = None if is_absent else getattr(message, name)
        if (broken := rule(value)) is not None:
            yield f"{path}{name}", broken
