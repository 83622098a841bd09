"""The permission table as the README shows it; run as a module, it prints that."""

from __future__ import annotations

from cordon_server.acts import AuditClass
from cordon_server.identity.permissions import (
    EVERYONE,
    MACHINES,
    PERMISSIONS,
    Permission,
    Scope,
    words,
)


def role_table() -> str:
    """The table as Markdown, a row for each set of methods of one service with the same rule."""
    rows: dict[tuple[str, Permission], list[str]] = {}
    for path, row in PERMISSIONS.items():
        service, method = path[1:].split("/")
        rows.setdefault((service.rsplit(".", 1)[1], row), []).append(method)
    lines = [
        "| methods | certificate | person | also | does to personal data |",
        "|---|---|---|---|---|",
    ]
    for (service, row), names in rows.items():
        cells = (
            f"{service}: {', '.join(dict.fromkeys(names))}",
            words(row.machines) if row.machines != MACHINES else "any",
            _people(row),
            _also(row),
            row.audit if row.audit is not AuditClass.NONE else f"nothing: {row.reason}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _people(row: Permission) -> str:
    if not row.people:
        return "—"
    people = words(row.people) if row.people != EVERYONE else "any"
    return f"{people}, or none" if row.person_optional else people


def _also(row: Permission) -> str:
    conditions = {
        str(row.scope): row.scope is not Scope.NONE,
        "even an expired token": row.even_expired,
        "training": row.training,
        "four eyes": row.four_eyes is not None,
        "fresh password": row.step_up,
        "a reason": row.justification,
    }
    return ", ".join(name for name, holds in conditions.items() if holds) or "—"


if __name__ == "__main__":
    print(role_table())
