"""A record that anyone changed does not pass for the one that was kept; an honest one always does.

Whoever tampers here may hold everything but two things that the auditor brings: the public key and
the newest checkpoint. Some even hold the private key.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from cordon_admin import verifier
from cordon_server.audit.leaves import canonical
from cordon_server.audit.notes import Checkpoint, Signer
from cordon_server.audit.room import make_signer, open_audit
from tests.unit.server.acts_kept import SITE, a_begun_record, an_act, exported
from tests.unit.server.rooms import NOON, Clock, open_keyring

TAMPERINGS = 1000
ACTIONS = ("match.raised", "deployment.counts", "deployment.armed", "/cordon.v1.X/Get")

Lines = list[bytes]


@dataclass(frozen=True)
class Honest:
    """A record, with exports from when it was younger."""

    signer: Signer
    lines: Lines
    kept: str
    """The newest checkpoint, as the auditor kept it."""
    older: list[Lines]


@cache
def honest() -> Honest:
    """Some 240 leaves with a checkpoint for each change of state and every hundred."""
    return asyncio.run(_record(random.Random(6962)))


async def _record(chance: random.Random) -> Honest:
    older: list[Lines] = []
    clock = Clock()
    with TemporaryDirectory() as name:
        places, signer = a_begun_record(Path(name), NOON)
        async with open_audit(places, open_keyring(Path(name)), clock=clock) as audit:
            for number in range(240):
                action = chance.choices(ACTIONS, (30, 30, 1, 10))[0]
                clock.advance(seconds=chance.choice((0, 1, 40, -5)))
                deployment = chance.choice(("", "market"))
                personal = {"person": "anna"} if chance.random() < 0.5 else {}
                await audit.record(
                    an_act(number, deployment_id=deployment, action=action, **personal)
                )
                if number % 4 == 0:
                    older.append(await exported(audit))
            lines = await exported(audit)
    return Honest(signer, lines, json.loads(lines[-1])["checkpoint"], older)


def is_whole(lines: Lines, kept: str = "", key: str = "") -> bool:
    return verifier.verify(lines, key or honest().signer.vkey, kept).is_whole


def is_leaf(line: bytes) -> bool:
    return line.startswith(b'{"leaf"')


def leaf_positions(lines: Lines) -> list[int]:
    return [at for at, line in enumerate(lines) if is_leaf(line)]


# Ways to tamper.


def turn_a_bit(lines: Lines, chance: random.Random) -> Lines:
    content = bytearray(b"".join(lines))
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return bytes(content).splitlines(keepends=True)


def edit(lines: Lines, chance: random.Random) -> Lines:
    """Another value in a leaf, written as an export writes it."""
    at = chance.choice(leaf_positions(lines))
    leaf = json.loads(lines[at])["leaf"]
    _edit(leaf, chance)
    return [*lines[:at], canonical({"leaf": leaf}) + b"\n", *lines[at + 1 :]]


def _edit(leaf: dict[str, Any], chance: random.Random) -> None:
    match chance.randrange(5):
        case 0:
            leaf["facts"] = {**leaf["facts"], "matches": chance.randrange(10**6)}
        case 1:
            leaf["action"] += "x"
        case 2:
            leaf["machine"] = f"spiffe://{SITE}/admin/x{chance.randrange(10**6)}"
        case 3:
            leaf["time"] = leaf["time"].replace("2026", "2027")
        case _:
            leaf["kind"] = "none" if leaf["kind"] != "none" else "erasure"


def unseal(lines: Lines, chance: random.Random) -> Lines:
    """The personal part of a leaf is taken out, or another's put in."""
    sealed = [at for at in leaf_positions(lines) if b'"sealed"' in lines[at]]
    one, other = chance.sample(sealed, 2)
    leaf = json.loads(lines[one])["leaf"]
    taken = json.loads(lines[other])["leaf"]["sealed"]
    if chance.random() < 0.5:
        leaf["sealed"] = taken
    else:
        del leaf["sealed"]
    return [*lines[:one], canonical({"leaf": leaf}) + b"\n", *lines[one + 1 :]]


def take_out(lines: Lines, chance: random.Random) -> Lines:
    """A run of lines is gone."""
    start = chance.randrange(len(lines))
    end = min(len(lines), start + chance.choice((1, 1, 1, 2, 10)))
    return lines[:start] + lines[end:]


def take_out_and_count_anew(lines: Lines, chance: random.Random) -> Lines:
    """A leaf is gone and those after it have its numbers."""
    gone = chance.choice(leaf_positions(lines))
    return _numbered(lines[:gone] + lines[gone + 1 :])


def put_in(lines: Lines, chance: random.Random) -> Lines:
    """A leaf that was never recorded, with the numbers of the others moved."""
    at = chance.choice(leaf_positions(lines))
    return _numbered([*lines[:at], lines[at], *lines[at:]])


def double(lines: Lines, chance: random.Random) -> Lines:
    at = chance.randrange(len(lines))
    return [*lines[:at], lines[at], *lines[at:]]


def swap(lines: Lines, chance: random.Random) -> Lines:
    one, other = chance.sample(range(len(lines)), 2)
    changed = list(lines)
    changed[one], changed[other] = lines[other], lines[one]
    return changed


def swap_contents(lines: Lines, chance: random.Random) -> Lines:
    """Two leaves change places and keep the numbers of the places."""
    one, other = chance.sample(leaf_positions(lines), 2)
    changed = list(lines)
    changed[one], changed[other] = lines[other], lines[one]
    return _numbered(changed)


def cut(lines: Lines, chance: random.Random) -> Lines:
    """The end is gone, at any byte."""
    content = b"".join(lines)
    return content[: chance.randrange(len(content))].splitlines(keepends=True)


def cut_at_a_checkpoint(lines: Lines, chance: random.Random) -> Lines:
    """The end is gone, and what is left is signed to its last leaf."""
    ends = [at for at, line in enumerate(lines[:-1]) if at and not is_leaf(line)]
    return lines[: chance.choice(ends) + 1]


def roll_back(lines: Lines, chance: random.Random) -> Lines:
    """An honest export of an earlier day."""
    return chance.choice(honest().older)


def sign_with_another_key(lines: Lines, chance: random.Random) -> Lines:
    """A changed record signed anew from its first checkpoint on, the key in its head exchanged."""
    return signed_anew(edit(lines, chance), make_signer(SITE))


def sign_with_another_key_under_the_old_name(lines: Lines, chance: random.Random) -> Lines:
    """The same, with the head that was there."""
    return [lines[0], *signed_anew(edit(lines, chance), make_signer(SITE))[1:]]


def sign_with_the_stolen_key(lines: Lines, chance: random.Random) -> Lines:
    """A changed record signed anew by whoever holds the private key: only who kept a checkpoint
    can tell."""
    way = chance.choice((edit, unseal, take_out_and_count_anew, put_in, swap_contents))
    return signed_anew(way(lines, chance), honest().signer)


def sign_less_often_with_the_stolen_key(lines: Lines, chance: random.Random) -> Lines:
    """The same, with one signature over all of it."""
    changed = edit(lines, chance)
    leaves = [line for line in changed[:-1] if is_leaf(line)]
    return signed_anew([changed[0], *leaves, changed[-1]], honest().signer)


WAYS: tuple[Callable[[Lines, random.Random], Lines], ...] = (
    turn_a_bit,
    edit,
    unseal,
    take_out,
    take_out_and_count_anew,
    put_in,
    double,
    swap,
    swap_contents,
    cut,
    cut_at_a_checkpoint,
    roll_back,
    sign_with_another_key,
    sign_with_another_key_under_the_old_name,
    sign_with_the_stolen_key,
    sign_less_often_with_the_stolen_key,
)


def _numbered(lines: Lines) -> Lines:
    """Every leaf has the number of its place."""
    index, numbered = 0, []
    for line in lines:
        if is_leaf(line):
            leaf = json.loads(line)["leaf"] | {"index": index}
            line = canonical({"leaf": leaf}) + b"\n"
            index += 1
        numbered.append(line)
    return numbered


def signed_anew(lines: Lines, signer: Signer) -> Lines:
    """The lines with a head and checkpoints that fit them, in the places of the old ones."""
    tree, number, signed = verifier.Tree(), 0, []
    for line in lines[1:]:
        if is_leaf(line):
            tree.add(line[8:-2])
            signed.append(line)
            continue
        number += 1
        time = json.loads(line)["checkpoint"].split("\n")[3].split(" ")[2]
        text = Checkpoint(tree.size, tree.root(), number, time).text(signer.name)
        signed.append(canonical({"checkpoint": signer.sign(text)}) + b"\n")
    head = canonical({"format": verifier.FORMAT, "vkey": signer.vkey}) + b"\n"
    return [head, *signed]


@pytest.mark.slow
@pytest.mark.serves("R12")
def test_a_thousand_tamperings_are_all_found() -> None:
    chance = random.Random(20261123)
    record, missed, tried = honest(), Counter[str](), Counter[str]()
    assert is_whole(record.lines, record.kept)

    for number in range(TAMPERINGS):
        way = WAYS[number % len(WAYS)]
        changed = way(record.lines, chance)
        assert changed != record.lines, way.__name__
        tried[way.__name__] += 1
        missed[way.__name__] += is_whole(changed, record.kept)

    print(f"\n{TAMPERINGS} tamperings in {len(tried)} ways, {missed.total()} not found")
    assert not missed.total(), missed


@pytest.mark.slow
@pytest.mark.serves("R12")
def test_honest_records_of_every_age_are_whole_and_hold_what_was_kept_before() -> None:
    record = honest()
    exports = [*record.older, record.lines]
    kept = [json.loads(lines[-1])["checkpoint"] for lines in exports]

    flagged = 0
    for at, lines in enumerate(exports):
        flagged += not is_whole(lines)
        for earlier in {0, at // 2, at}:
            flagged += not is_whole(lines, kept[earlier])

    print(f"\n{len(exports)} honest records, {flagged} flagged")
    assert flagged == 0


def test_signing_anew_what_was_not_changed_is_an_honest_record() -> None:
    record = honest()

    assert signed_anew(record.lines, record.signer) == record.lines


def test_what_the_verifier_says_names_the_place() -> None:
    lines = list(honest().lines)
    lines[5] = lines[5].replace(b'"v":1', b'"v":2')

    verdict = verifier.verify(lines)

    assert verdict.fault == "line 6 is a leaf of version 2; take a newer verifier"


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ([], "the file is empty"),
        ([b"\n"], "line 1 is no line of an export"),
        ([b"[" * 100_000], "line 1 is no line of an export"),
        ([b"{}\n"], "line 1 is not the head of an export"),
        ([b'{"a": 1}\n'], "line 1 is not written as an export writes it"),
        ([b'{"a":NaN}\n'], "line 1 is no line of an export"),
        ([b'{"a":1,"a":1}\n'], "line 1 is not written as an export writes it"),
        ([b"\xff\xfe\n"], "line 1 is no line of an export"),
    ],
)
def test_what_is_no_export_is_said_to_be_none(lines: Lines, fault: str) -> None:
    verdict = verifier.verify(lines)

    assert not verdict.is_whole
    assert verdict.fault.startswith(fault)


def test_without_key_and_checkpoint_the_words_say_what_was_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "record.jsonl"
    file.write_bytes(b"".join(honest().lines))
    kept = tmp_path / "kept"
    kept.write_text(honest().kept)

    assert verifier.main([str(file)]) == 0
    bare = capsys.readouterr().out
    arguments = ["--key", honest().signer.vkey, "--checkpoint", str(kept)]
    assert verifier.main([str(file), *arguments]) == 0
    full = capsys.readouterr().out
    assert verifier.main([str(tmp_path / "none")]) == 2
    assert verifier.main([str(file), "--report", str(kept)]) == 2

    assert "only --key VKEY would show whose it is" in bare
    assert "a record cut short would look the same" in bare
    assert "the one that was given" in full
    assert "goes on from there" in full
