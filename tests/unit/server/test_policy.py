"""Policy profiles: strict, complete, and one digest for what they say."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cordon_server.authority.policy import SHIPPED, Policy, load_policy, parse_policy, shipped_text
from cordon_server.authority.policy_words import explain
from cordon_server.domain import ConfigInvalid


@pytest.fixture
def demo() -> str:
    return shipped_text("demo")


@pytest.mark.serves("R25")
@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_profile_is_named_as_its_file_and_read(name: str) -> None:
    policy = load_policy(name)

    assert (policy.name, policy.version) == (name, 1)
    assert len(policy.digest) == 32


@pytest.mark.serves("R25")
def test_the_digest_is_of_what_a_profile_says_and_not_of_how_it_is_written(demo: str) -> None:
    tables = demo.split("\n\n")
    turned = "\n\n".join([tables[0], *reversed(tables[1:])]).replace(" = ", "=  ")

    assert parse_policy(turned, "turned").digest == parse_policy(demo, "demo").digest
    assert len({load_policy(name).digest for name in SHIPPED}) == len(SHIPPED)


def leaves(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The paths of every value."""
    if not isinstance(value, dict):
        return [path]
    return [leaf for key, each in value.items() for leaf in leaves(each, (*path, key))]


def altered(value: Any, path: tuple[str, ...]) -> Any:
    """The same with the value at the path another one of its kind."""
    if path:
        return value | {path[0]: altered(value[path[0]], path[1:])}
    match value:
        case bool():
            return not value
        case int():
            return 2 if value == 1 else value + 1
        case float():
            return value / 2
        case str():
            return value + "-x"
    return ["rationale"]


@pytest.mark.serves("R25")
def test_whatever_is_changed_in_a_profile_changes_its_digest(demo: str) -> None:
    said = tomllib.loads(demo) | {"retention": {}}
    said["retention"] = {f"{each}match_h_max": 12 for each in ("", "true_", "false_")}
    said["authority"]["window_h_max"] = 12
    said["authority"]["urgent_h_max"] = 12
    digests = {msgspec.convert(said, Policy).digest}

    paths = leaves(said)
    digests |= {msgspec.convert(altered(said, path), Policy).digest for path in paths}

    assert len(digests) == len(paths) + 1


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[notice]\n", "[notice]\nloud = true\n", "loud"),
        ("[notice]\n", "[colours]\nsky = 'blue'\n\n[notice]\n", "colours"),
        ("needed = false\n", "", "needed"),
        ("[categories.barred]\n", "[categories.other]\n", "R6"),
        ("[categories.barred]\n", "[categories.volunteer]\n", "every policy"),
        ("[categories.barred]\n", "[categories.Barred]\n", "categories"),
        ("trial = ", "other = ", "R7"),
        ('trial = "Trial with people who have agreed to it"\n', "", "purposes"),
        ("reviewers = 1", "reviewers = 3", "reviewers"),
        ("fpir_max = 0.01", "fpir_max = 0", "fpir_max"),
        ("fields_needed = []", 'fields_needed = ["shoe_size"]', "fields_needed"),
        ("window_h_max = 24", "window_h_max = 25", "window_h_max"),
        ("preflight_tpir_min = 0", "preflight_tpir_min = 1.1", "preflight_tpir_min"),
        ("version = 1", 'version = "1"', "version"),
        ("version = 1", "version = ", "TOML"),
    ],
)
@pytest.mark.serves("R6", "R7", "R25")
def test_a_profile_that_breaks_a_rule_is_refused_by_name(
    demo: str, old: str, new: str, words: str
) -> None:
    assert old in demo

    with pytest.raises(ConfigInvalid, match=words):
        parse_policy(demo.replace(old, new, 1), "mine.toml")


def test_a_policy_is_one_of_the_shipped_or_a_file(demo: str, tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(demo.replace('name = "demo"', 'name = "mine"'))

    assert load_policy(str(mine)).name == "mine"
    for missing, words in (("lax", "there is no policy lax"), ("none.toml", "cannot be read")):
        with pytest.raises(ConfigInvalid, match=words):
            load_policy(missing)


@pytest.mark.serves("R25")
@pytest.mark.parametrize("name", SHIPPED)
def test_everything_that_a_policy_says_is_explained_once(name: str) -> None:
    policy = load_policy(name)
    said = msgspec.to_builtins(policy)
    of_people = {f"purposes.{each}" for each in policy.purposes}
    of_people |= {f"categories.{each}" for each in policy.categories}
    values = {
        f"{section}.{field}"
        for section, fields in said.items()
        if isinstance(fields, dict) and section not in ("purposes", "categories")
        for field in fields
    }

    lines = explain(policy)

    assert [line.key for line in lines if not (line.value and line.meaning)] == []
    assert sorted(line.key for line in lines) == sorted(of_people | values)
    assert all(line.requirements.startswith("R") for line in lines)
