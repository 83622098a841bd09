"""What this server is made of: every installed package with its licence and what its files hash to,
and every network (R30). The list goes by its digest on record, and whole beside the data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from cordon_server.store.durable import write_whole

UNSTATED = "not stated"
"""Where a package says nothing of its licence; whoever answers for the system has to ask."""


@dataclass(frozen=True, slots=True, order=True)
class Component:
    """One part."""

    kind: str
    """package or model."""
    name: str
    version: str
    """Empty for a model: its hash says which it is."""
    licence: str
    sha256: str
    """Of a model's file; of a package, of its list of files, which holds the hash of each."""


def packages() -> list[Component]:
    """Every package that this interpreter can import, by name."""
    return sorted({_package(each) for each in metadata.distributions()})


def component_list(models: Iterable[Component]) -> bytes:
    """All components as JSON, the same bytes for the same components."""
    parts = [asdict(each) for each in sorted([*packages(), *models])]
    return json.dumps(parts, indent=1, sort_keys=True).encode()


def keep(components: bytes, folder: Path) -> str:
    """The digest that a component list goes by; keeps the list in the folder under it."""
    digest = hashlib.sha256(components).hexdigest()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / f"{digest}.json"
    if not file.exists():
        write_whole(file, components)
    return digest


def _package(distribution: metadata.Distribution) -> Component:
    files = distribution.read_text("RECORD") or ""
    return Component(
        "package",
        distribution.metadata["Name"],
        distribution.version,
        _licence(distribution),
        hashlib.sha256(files.encode()).hexdigest(),
    )


def _licence(distribution: metadata.Distribution) -> str:
    """As the package states it: by its expression, its field's first line or its classifiers."""
    said = distribution.metadata
    for field in ("License-Expression", "License"):
        lines = (said.get_all(field) or [""])[0].strip().splitlines()
        if lines and lines[0] != "UNKNOWN":
            return str(lines[0])
    kinds = [line for line in said.get_all("Classifier", []) if line.startswith("License ::")]
    return "; ".join(line.rsplit(" :: ", 1)[1] for line in kinds) or UNSTATED
