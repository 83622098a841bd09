"""The supply chain is known: every package and network by licence and hash (R30)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest

from cordon_server.config import Settings
from cordon_server.config.sections import Storage
from cordon_server.operations.components import (
    UNSTATED,
    Component,
    component_list,
    keep,
    packages,
)
from cordon_server.parts import made_of, model_components
from cordon_server.recognition.models.pack import load_pack
from tests.unit.test_project import closure, requirements

pytestmark = pytest.mark.serves("R30")


def test_every_package_that_the_server_needs_is_listed_with_a_licence() -> None:
    listed = {each.name.lower().replace("_", "-"): each for each in packages()}
    needed = closure(set(requirements("server")) | set(requirements()))

    assert sorted(needed - listed.keys()) == []
    assert [name for name in sorted(needed) if listed[name].licence == UNSTATED] == []
    assert {name: each.version for name, each in listed.items() if name in needed} == {
        name: metadata.version(name) for name in needed
    }


def test_every_network_is_listed_by_the_hash_of_its_file_and_its_licence() -> None:
    pack = load_pack()
    found = {each.name: each for each in model_components(pack)}

    for file in (pack.detector, pack.embedder):
        assert found[file.name].sha256 == hashlib.sha256(file.path.read_bytes()).hexdigest()
        assert found[file.name].licence in ("MIT", "Apache-2.0")
    assert len(found) == 2


def test_the_list_is_kept_under_its_digest_and_one_other_byte_is_another(tmp_path: Path) -> None:
    network = Component("model", "a", "", "MIT", "0" * 64)
    listed = component_list([network])
    changed = component_list([Component("model", "a", "", "MIT", "1" + "0" * 63)])

    digest, other = keep(listed, tmp_path / "c"), keep(changed, tmp_path / "c")

    assert listed == component_list([network])
    assert digest != other
    for name, content in ((digest, listed), (other, changed)):
        assert (tmp_path / "c" / f"{name}.json").read_bytes() == content
        assert hashlib.sha256(content).hexdigest() == name
    assert json.loads(listed)[0].keys() == {"kind", "name", "version", "licence", "sha256"}


def test_another_network_or_another_licence_is_another_list(tmp_path: Path) -> None:
    settings = Settings(site="test", storage=Storage(data=tmp_path))
    pack = load_pack()
    made = made_of(pack, settings)

    again = made_of(pack, settings)
    retrained = made_of(replace(pack, embedder=replace(pack.embedder, sha256="1" * 64)), settings)
    relicensed = made_of(replace(pack, detector=replace(pack.detector, licence="GPL")), settings)

    assert again == made
    assert len({each["components"] for each in (made, retrained, relicensed)}) == 3
    assert retrained["embedder_sha256"] == "1" * 64
    assert relicensed["detector_licence"] == "GPL"
    for each in (made, retrained, relicensed):
        assert (tmp_path / "components" / f"{each['components']}.json").is_file()
