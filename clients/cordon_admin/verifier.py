#!/usr/bin/env python3
"""Verifies an exported audit record of Cordon, without a server and without the rest of Cordon.

    python verifier.py EXPORT [--key VKEY] [--checkpoint FILE] [--json] [--report FILE]

This one file can be copied anywhere; it needs Python 3.11 and the package `cryptography`.

An export is a file of lines, each one JSON object in canonical form (keys sorted, no blanks, ASCII
alone): first who signs, then every leaf since the record began, and after the last leaf that it
covers each checkpoint. A checkpoint is a signed note (c2sp.org/signed-note and tlog-checkpoint)
over the root of the Merkle tree of RFC 6962. Verified are the form of every line, the order and
times of the leaves, the numbers and signatures of the checkpoints, and that the tree of the leaves
has the root that each of them signs. So one changed bit is found, and so is what was left out, put
in or moved.

What no file shows by itself is that it is the newest, and whose. So bring what the one who exports
cannot change: the public key (--key), and the newest checkpoint that you have kept (--checkpoint).

With --report, every number of a deployment's report is computed again from the record, and what the
report says otherwise is named.

Exit codes: 0 the record is whole (and the report is what it says), 1 it is not, 2 it could not be
read.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import json
import math
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import NormalDist
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FORMAT = "cordon-audit-1"
KINDS = frozenset(
    ("collection", "alteration", "consultation", "disclosure", "combination", "erasure", "none")
)
LEAF_FIELDS: dict[str, type] = {
    "v": int,
    "index": int,
    "time": str,
    "kind": str,
    "action": str,
    "deployment": str,
    "resource": str,
    "machine": str,
    "facts": dict,
}
LEAF_FIELDS_OPTIONAL: dict[str, type] = {"clock": str, "sealed": dict}
SEALED_FIELDS = frozenset({"key", "nonce", "data"})
LEAF_VERSION = 1
ED25519 = b"\x01"
KEY_ID_BYTES = 4
SIGNATURE_PREFIX = "— "

Leaf = dict[str, Any]
"""A leaf as its JSON says it."""


class FaultError(Exception):
    """The record is not what was signed; says where and in which way."""


# Merkle trees, RFC 6962 section 2.1 and RFC 9162 sections 2.1.3.2 and 2.1.4.2.


def leaf_hash(content: bytes) -> bytes:
    """The hash of one leaf."""
    return hashlib.sha256(b"\0" + content).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees side by side."""
    return hashlib.sha256(b"\1" + left + right).digest()


class Tree:
    """A tree that leaves are added to; keeps no more than the hashes that its root needs."""

    def __init__(self) -> None:
        self.size = 0
        self._subtrees: list[bytes] = []

    def add(self, content: bytes) -> None:
        """Adds a leaf."""
        found, rest = leaf_hash(content), self.size
        while rest & 1:
            found, rest = node_hash(self._subtrees.pop(), found), rest >> 1
        self._subtrees.append(found)
        self.size += 1

    def root(self) -> bytes:
        """The root of the tree as it is."""
        if not self._subtrees:
            return hashlib.sha256(b"").digest()
        found = self._subtrees[-1]
        for each in reversed(self._subtrees[:-1]):
            found = node_hash(each, found)
        return found


def is_included(content: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether the audit path shows that the leaf is in the tree."""
    if not 0 <= index < size:
        return False
    at, last, found = index, size - 1, leaf_hash(content)
    for each in path:
        if last == 0:
            return False
        if at & 1 or at == last:
            found = node_hash(each, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, each)
        at, last = at >> 1, last >> 1
    return last == 0 and found == root


def is_consistent(
    old: int, old_root: bytes, new: int, new_root: bytes, path: Sequence[bytes]
) -> bool:
    """Whether the proof shows that the old tree is the beginning of the new one."""
    if not 0 <= old <= new:
        return False
    if old in (0, new):
        return not path and (old_root == new_root if old else old_root == Tree().root())
    hashes = list(path) if old & (old - 1) else [old_root, *path]
    if not hashes:
        return False
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    first = second = hashes[0]
    for each in hashes[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            first, second = node_hash(each, first), node_hash(each, second)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            second = node_hash(second, each)
        at, last = at >> 1, last >> 1
    return last == 0 and first == old_root and second == new_root


# Signed notes and checkpoints.


@dataclass(frozen=True, slots=True)
class Key:
    """A public key as name+id+key, the form in which verifiers are given it."""

    name: str
    key_id: bytes
    public: bytes

    @property
    def vkey(self) -> str:
        """The text of it."""
        public = base64.b64encode(ED25519 + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{public}"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint says."""

    origin: str
    size: int
    root: bytes
    number: int
    time: str


def read_key(vkey: str) -> Key:
    """The key that a text is; raises `FaultError`."""
    name, _, rest = vkey.strip().partition("+")
    key_id, _, encoded = rest.partition("+")
    public = _base64(encoded, "the public key")
    found = Key(name, _key_id(name, public[1:]), public[1:])
    if public[:1] != ED25519 or len(public) != 33 or key_id != found.key_id.hex():
        raise FaultError(f"{vkey!r} is no public key of an audit record (name+id+key)")
    return found


def read_note(note: str, key: Key) -> Checkpoint:
    """The checkpoint in a note that the key has signed; raises `FaultError` for any other."""
    text, blank, signature = note.partition("\n\n")
    text += "\n"
    prefix = f"{SIGNATURE_PREFIX}{key.name} "
    if not (blank and signature.startswith(prefix) and signature.endswith("\n")):
        raise FaultError(f"a checkpoint is not signed by {key.name}")
    raw = _base64(signature.removeprefix(prefix).removesuffix("\n"), "a signature")
    if raw[:KEY_ID_BYTES] != key.key_id:
        raise FaultError("a checkpoint is signed with another key")
    try:
        public = Ed25519PublicKey.from_public_bytes(key.public)
        public.verify(raw[KEY_ID_BYTES:], text.encode())
    except (InvalidSignature, ValueError) as error:
        raise FaultError("the signature of a checkpoint does not fit what it says") from error
    return _checkpoint(text, key)


def _checkpoint(text: str, key: Key) -> Checkpoint:
    lines = text.split("\n")
    ours = lines[3].split(" ") if len(lines) == 5 else []
    is_ours = len(ours) == 3 and ours[0] == "checkpoint"
    if not (is_ours and lines[1].isdecimal() and ours[1].isdecimal()):
        raise FaultError("a checkpoint has another form than it should")
    if lines[0] != key.name:
        raise FaultError(f"a checkpoint is of {lines[0]} and signed by {key.name}")
    _moment(ours[2])
    root = _base64(lines[2], "the root of a checkpoint")
    return Checkpoint(lines[0], int(lines[1]), root, int(ours[1]), ours[2])


def _key_id(name: str, public: bytes) -> bytes:
    digest = hashlib.sha256(name.encode() + b"\n" + ED25519 + public).digest()
    return digest[:KEY_ID_BYTES]


def _base64(text: str, what: str) -> bytes:
    """Strictly: of the texts that mean the same bytes, the one that an encoder writes."""
    try:
        found = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error) as error:
        raise FaultError(f"{what} is no base64") from error
    if base64.b64encode(found).decode() != text:
        raise FaultError(f"{what} is no canonical base64")
    return found


# The lines of an export.


def canonical(value: object) -> bytes:
    """The one way to write a value as JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")


def leaf_bytes(leaf: Leaf) -> bytes:
    """The bytes of a leaf that are hashed."""
    return canonical(leaf)


def _parsed(line: bytes) -> dict[str, Any]:
    """The object of a line; raises `FaultError` unless it is written as an export writes it."""
    try:
        found = json.loads(line)
        is_canonical = canonical(found) + b"\n" == line
    except (ValueError, RecursionError) as error:
        raise FaultError("is no line of an export") from error
    if not isinstance(found, dict) or not is_canonical:
        raise FaultError("is not written as an export writes it")
    return found


def _check_leaf(leaf: object, index: int) -> Leaf:
    """The leaf, when it has every field that the record must have (R12)."""
    if not isinstance(leaf, dict):
        raise FaultError("holds no leaf")
    allowed = LEAF_FIELDS | LEAF_FIELDS_OPTIONAL
    wrong = [name for name in leaf if type(leaf[name]) is not allowed.get(name)]
    wrong += [name for name in LEAF_FIELDS if name not in leaf]
    if wrong:
        raise FaultError(f"is a leaf whose field {wrong[0]!r} is not in order")
    if leaf["v"] != LEAF_VERSION:
        raise FaultError(f"is a leaf of version {leaf['v']}; take a newer verifier")
    if leaf["kind"] not in KINDS:
        raise FaultError(f"is a leaf of the unknown kind {leaf['kind']!r}")
    if "sealed" in leaf and leaf["sealed"].keys() != SEALED_FIELDS:
        raise FaultError("is a leaf whose sealed part is not in order")
    if leaf["index"] != index:
        raise FaultError(f"is leaf {leaf['index']} where leaf {index} has to be")
    return leaf


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise FaultError(f"says {text!r}, which is no time") from error
    if found.isoformat(timespec="microseconds").replace("+00:00", "Z") != text:
        raise FaultError(f"says {text!r}, which is no time as an export writes it")
    return found


# Verifying.


@dataclass(slots=True)
class Verdict:
    """What was found."""

    is_whole: bool = False
    fault: str = ""
    """Where and in which way it is not; empty where it is whole."""
    leaves: int = 0
    checkpoints: int = 0
    origin: str = ""
    key: str = ""
    is_key_given: bool = False
    """Or it was read from the export itself, and whoever wrote that may have made it."""
    is_checkpoint_given: bool = False
    first_time: str = ""
    last_time: str = ""
    newest: str = ""
    """The newest checkpoint of the export, a signed note: keep it for the next time."""
    is_report_given: bool = False
    """And was compared, for the record is whole."""
    report: list[str] = field(default_factory=list)
    """In what the report is not what the record says."""


@dataclass(slots=True)
class _Pass:
    """One pass over the lines of an export."""

    verdict: Verdict
    key: Key | None = None
    known: Checkpoint | None = None
    """The checkpoint that was kept elsewhere."""
    tree: Tree = field(default_factory=Tree)
    last: Checkpoint | None = None
    time: str = ""

    def take(self, number: int, line: bytes) -> None:
        found = _parsed(line)
        if number == 1:
            self._header(found)
        elif found.keys() == {"leaf"}:
            self._leaf(found["leaf"])
        elif found.keys() == {"checkpoint"}:
            self._checkpoint(found["checkpoint"])
        else:
            raise FaultError("is neither leaf nor checkpoint")

    def finish(self) -> None:
        """Raises `FaultError` for what only the end shows."""
        if self.last is None:
            raise FaultError("the export holds no checkpoint: nothing in it is signed")
        if self.last.size != self.tree.size:
            left = self.tree.size - self.last.size
            raise FaultError(f"the last {left} leaves are covered by no checkpoint")
        if self.known is not None and self.known.number > self.last.number:
            raise FaultError(
                f"the record ends with {self.tree.size} leaves and checkpoint {self.last.number}, "
                f"but checkpoint {self.known.number} of {self.known.time} signed "
                f"{self.known.size}: this is an older record, or one cut short"
            )

    def _header(self, found: dict[str, Any]) -> None:
        if found.keys() != {"format", "vkey"} or found["format"] != FORMAT:
            raise FaultError(f"is not the head of an export ({FORMAT})")
        theirs = read_key(str(found["vkey"]))
        if self.key is not None and theirs != self.key:
            raise FaultError(f"names the key {theirs.vkey}, which is not the one that was given")
        self.key = theirs
        self.verdict.origin, self.verdict.key = theirs.name, theirs.vkey

    def _leaf(self, found: object) -> None:
        leaf = _check_leaf(found, self.tree.size)
        self._go_on(leaf["time"])
        if "clock" in leaf:
            _moment(leaf["clock"])
        self.tree.add(leaf_bytes(leaf))
        self.verdict.first_time = self.verdict.first_time or leaf["time"]
        self.verdict.leaves += 1

    def _checkpoint(self, note: object) -> None:
        assert self.key is not None
        found = read_note(str(note), self.key)
        wanted = 1 if self.last is None else self.last.number + 1
        if found.number != wanted:
            raise FaultError(f"is checkpoint {found.number} where {wanted} has to be")
        if found.size != self.tree.size:
            raise FaultError(
                f"is a checkpoint over {found.size} leaves and there are {self.tree.size}"
            )
        if found.root != self.tree.root():
            since = 0 if self.last is None else self.last.size
            raise FaultError(
                f"signs another root: a leaf from {since} to {found.size - 1} was changed"
            )
        self._go_on(found.time)
        if self.known is not None and self.known.number == found.number and self.known != found:
            raise FaultError(f"is another checkpoint {found.number} than the one that was given")
        self.last = found
        self.verdict.newest = str(note)
        self.verdict.checkpoints += 1

    def _go_on(self, time: str) -> None:
        _moment(time)
        if time < self.time:
            raise FaultError(f"is of {time}, before what stands ahead of it")
        self.time = self.verdict.last_time = time


def verify(lines: Iterable[bytes], key: str = "", checkpoint: str = "") -> Verdict:
    """What is to be said of an export, given its lines.

    `key` is the public key from somewhere else; `checkpoint` a signed note that was kept: the
    record has to hold it, or it is not the record that it was.
    """
    verdict = Verdict(is_key_given=bool(key), is_checkpoint_given=bool(checkpoint))
    going = _Pass(verdict)
    number = 0
    try:
        going.key = read_key(key) if key else None
        for number, line in enumerate(lines, 1):
            going.take(number, line)
            if number == 1 and checkpoint:
                going.known = _known(checkpoint, going.key)
        number = 0
        if going.key is None or not going.tree.size:
            raise FaultError("the file is empty or holds no leaf")
        going.finish()
    except FaultError as error:
        verdict.fault = f"line {number} {error}" if number else str(error)
    verdict.is_whole = not verdict.fault
    return verdict


def _known(note: str, key: Key | None) -> Checkpoint:
    assert key is not None
    try:
        return read_note(note, key)
    except FaultError as error:
        raise FaultError(f"does not go with the checkpoint that was given: {error}") from error


def verify_file(path: Path, key: str = "", checkpoint: str = "") -> Verdict:
    """The same of a file; raises OSError when that cannot be read."""
    with path.open("rb") as file:
        return verify(file, key, checkpoint)


# What reports are computed from: the decoded leaves of a record, and nothing else. Functions here
# take leaves and return values; they open nothing, so that whoever holds an export can call them.


def leaves(path: Path) -> Iterator[Leaf]:
    """The leaves of an export in order, as their JSON says them; verify the file first.

    `facts` hold the numbers. What is in `sealed` can be read by the server alone, and by nobody
    once its key is erased: no number depends on it.
    """
    with path.open("rb") as file:
        for line in file:
            found = json.loads(line)
            if "leaf" in found:
                yield found["leaf"]


REPORT_SCHEMA = "cordon.report/1"
REPORT_CONFIDENCE = 0.95
"""Of every interval of a report."""
_LIFE = (
    "created",
    "submitted",
    "authorised",
    "voided",
    "armed",
    "halted",
    "resumed",
    "suspended",
    "ended",
    "erased",
)
_STOPS = ("halted", "suspended", "ended")
_NETWORKS = ("detector", "embedder")
_FATES = ("searched", "too_small", "too_poor", "shed", "outside_zone")
_JUDGED = ("true", "false", "undecided")


def recompute(record: Iterable[Leaf], deployment_id: str) -> dict[str, Any]:
    """The report of one deployment, as JSON has it.

    `record` are leaves in order; `time`, `action`, `deployment`, `resource` and `facts` of each are
    read. Raises `FaultError` where none is this deployment's.
    """
    told = [
        leaf
        for leaf in record
        if leaf["deployment"] == deployment_id or leaf["action"] == "server.started"
    ]
    own = [leaf for leaf in told if leaf["deployment"] == deployment_id]
    life = [leaf for leaf in own if leaf["action"].removeprefix("deployment.") in _LIFE]
    if not life:
        raise FaultError(f"holds no deployment {deployment_id}")
    known: dict[str, Any] = {}
    for leaf in life:
        known |= leaf["facts"]
    counts = [leaf for leaf in own if leaf["action"] == "deployment.counts"]
    last = counts[-1]["facts"] if counts else {}
    alerts = _alerts(own)
    seen, searched = last.get("people", 0), last.get("people_searched", 0)
    return {
        "schema": REPORT_SCHEMA,
        "deployment": deployment_id,
        "place": known.get("location", ""),
        "use_case": known.get("purpose", ""),
        "policy": {
            "name": known.get("policy", ""),
            "version": str(known.get("policy_version", "")),
            "digest": known.get("policy_digest", ""),
        },
        "authority_digest": known.get("authority", ""),
        "window": {"start": known.get("start_time", ""), "end": known.get("end_time", "")},
        "life": [
            {
                "time": leaf["time"],
                "state": leaf["action"].removeprefix("deployment."),
                "reason": str(leaf["facts"].get("cause", "")),
            }
            for leaf in life
        ],
        "made_of": _made_of(told),
        "list": _list(life),
        "threshold": known.get("threshold"),
        "forecast": json.loads(known.get("forecast") or "null"),
        "ceiling": _prefixed(known, "ceiling."),
        "faces": {
            "frames": last.get("frames", 0),
            "seen": seen,
            "searched": searched,
            "not_searched": seen - searched,
            "detections": last.get("faces", 0),
            "detections_by_fate": {fate: last.get(fate, 0) for fate in _FATES},
        },
        "alerts": alerts["counts"],
        "outcomes": dict(sorted(alerts["outcomes"].items())),
        "receipts": sum(leaf["action"] == "match.receipt" for leaf in own),
        "seeded": alerts["seeded"],
        "rates": _rates(alerts["counts"], seen, searched),
        "timeline": [
            {"time": leaf["time"], "faces_seen": leaf["facts"].get("people", 0)} for leaf in counts
        ],
        "alert_times": alerts["times"],
    }


def share(count: int, of: int) -> dict[str, Any]:
    """A share with Wilson's interval (Probable inference, the law of succession, and statistical
    inference, 1927); no value where there is nothing to divide by."""
    if of <= 0:
        return {"count": count, "of": of, "value": None, "low": 0.0, "high": 1.0}
    z = NormalDist().inv_cdf(0.5 + REPORT_CONFIDENCE / 2.0)
    value = min(1.0, count / of)
    middle = (value + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * math.sqrt(value * (1 - value) / of + (z / (2 * of)) ** 2)
    return {
        "count": count,
        "of": of,
        "value": value,
        "low": 0.0 if count == 0 else max(0.0, middle - half),
        "high": 1.0 if count >= of else min(1.0, middle + half),
    }


def _made_of(told: Iterable[Leaf]) -> list[dict[str, Any]]:
    """What recognised from when on: the components of each server that armed or resumed the
    deployment, or was started while it was armed, where they are others than before (R30)."""
    found: list[dict[str, Any]] = []
    is_armed = False
    for leaf in told:
        move, facts = leaf["action"].removeprefix("deployment."), leaf["facts"]
        is_armed = (is_armed and move not in _STOPS) or move in ("armed", "resumed")
        if not is_armed or "components" not in facts:
            continue
        made = {"components": facts["components"]} | {
            part: {
                "name": facts[part],
                "sha256": facts[f"{part}_sha256"],
                "licence": facts[f"{part}_licence"],
            }
            for part in _NETWORKS
        }
        if not found or made != {name: found[-1][name] for name in made}:
            found.append({"time": leaf["time"], **made})
    return found


def _list(life: list[Leaf]) -> dict[str, Any]:
    """The list as it was armed: what was removed later had been looked for until then."""
    armed: Leaf = next((leaf["facts"] for leaf in life if leaf["action"] == "deployment.armed"), {})
    by_category = _prefixed(armed, "entries.") or {}
    return {
        "entries": sum(by_category.values()),
        "by_category": dict(sorted(by_category.items())),
        "references": armed.get("references", 0),
    }


def _prefixed(facts: Leaf, prefix: str) -> dict[str, Any] | None:
    """The facts under a heading; None where there are none."""
    found = {key.removeprefix(prefix): facts[key] for key in facts if key.startswith(prefix)}
    return found or None


def _alerts(own: list[Leaf]) -> dict[str, Any]:
    """What became of the alerts; seeded cases are nobody's alerts and are counted by themselves."""
    raised = {leaf["resource"]: leaf for leaf in own if leaf["action"] == "match.raised"}
    seeded = {name: leaf for name, leaf in raised.items() if leaf["facts"].get("seeded")}
    real = {name: leaf for name, leaf in raised.items() if name not in seeded}
    decided: dict[str, str] = {}
    outcomes: dict[str, str] = {}
    for leaf in own:
        if leaf["action"] == "match.adjudicated" and leaf["facts"].get("decision"):
            decided[leaf["resource"]] = leaf["facts"]["decision"]
        elif leaf["action"] == "match.outcome":
            outcomes[leaf["resource"]] = leaf["facts"]["outcome"]
    of_real = Counter(decided[name] for name in real if name in decided)
    judged = {each: of_real[each] for each in _JUDGED}
    return {
        "counts": {
            "raised": len(real),
            **judged,
            "unresolved": len(real) - judged["true"] - judged["false"],
            "by_category": _counted(leaf["facts"]["category"] for leaf in real.values()),
            "by_camera": _counted(leaf["facts"]["camera"] for leaf in real.values()),
        },
        "outcomes": Counter(outcomes[name] for name in real if name in outcomes),
        "seeded": {
            "shown": len(seeded),
            "judged": sum(name in decided for name in seeded),
            "right": sum(
                decided.get(name) == str(leaf["facts"]["seeded"]) for name, leaf in seeded.items()
            ),
        },
        "times": [leaf["time"] for leaf in real.values()],
    }


def _counted(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def _rates(counts: Leaf, seen: int, searched: int) -> dict[str, Any]:
    resolved = counts["true"] + counts["false"]
    return {
        "confidence": REPORT_CONFIDENCE,
        "alerts_per_face": share(counts["raised"], seen),
        "false_per_face": share(counts["false"], seen),
        "false_per_face_searched": share(counts["false"], searched),
        "false_per_alert": share(counts["false"], counts["raised"]),
        "false_per_resolved_alert": share(counts["false"], resolved),
        "true_per_resolved_alert": share(counts["true"], resolved),
    }


def differences(told: object, found: object, at: str = "") -> Iterator[str]:
    """Where a report says something else than the record."""
    if isinstance(told, dict) and isinstance(found, dict):
        for name in sorted(told.keys() | found.keys()):
            yield from differences(told.get(name), found.get(name), f"{at}.{name}" if at else name)
    elif told != found:
        yield f"{at}: the report says {json.dumps(told)}, the record {json.dumps(found)}"


# The command.


def main(arguments: Sequence[str] | None = None) -> int:
    """Verifies one export; the exit code."""
    parser = argparse.ArgumentParser(
        prog="verifier.py", description="Verify an exported audit record of Cordon."
    )
    parser.add_argument("export", type=Path, metavar="EXPORT", help="The exported file.")
    parser.add_argument("--key", default="", metavar="VKEY", help="The public key, or its file.")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="One that you kept.")
    parser.add_argument("--json", action="store_true", help="One JSON object.")
    parser.add_argument("--report", type=Path, metavar="FILE", help="A report (JSON) to check.")
    given = parser.parse_args(arguments)
    try:
        checkpoint = given.checkpoint.read_text("utf-8") if given.checkpoint else ""
        verdict = verify_file(given.export, key_text(given.key), checkpoint)
        if verdict.is_whole and given.report:
            told = json.loads(given.report.read_text("utf-8"))
            verdict.is_report_given = True
            verdict.report = report_verdict(told, given.export, verdict)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if given.json:
        print(json.dumps(asdict(verdict)))
    else:
        print("\n".join(in_words(verdict)))
    return 0 if verdict.is_whole and not verdict.report else 1


def report_of(path: Path, deployment_id: str, verdict: Verdict) -> dict[str, Any]:
    """The report of a deployment from a whole export; raises `FaultError` where it is not in it."""
    _, size, root = verdict.newest.split("\n")[:3]
    record = {"origin": verdict.origin, "size": int(size), "root": root}
    return {**recompute(leaves(path), deployment_id), "record": record}


def report_verdict(told: object, path: Path, verdict: Verdict) -> list[str]:
    """In what a report is not what the record says; nothing where it is."""
    deployment_id = told.get("deployment", "") if isinstance(told, dict) else ""
    try:
        return list(differences(told, report_of(path, str(deployment_id), verdict)))
    except FaultError as error:
        return [str(error)]


def key_text(given: str) -> str:
    """The public key as it was given: itself, or a file that holds it."""
    is_file = bool(given) and Path(given).is_file()
    return Path(given).read_text("utf-8").strip() if is_file else given


def in_words(verdict: Verdict) -> Iterator[str]:
    """A verdict as people read it."""
    if not verdict.is_whole:
        yield f"NOT WHOLE: {verdict.fault}"
        return
    yield f"whole: {verdict.leaves} leaves, {verdict.checkpoints} checkpoints of {verdict.origin}"
    yield f"  from      {verdict.first_time}"
    yield f"  to        {verdict.last_time}"
    if verdict.is_key_given:
        yield "  key       the one that was given"
    else:
        yield "  key       the export's own: consistent, but only --key VKEY would show whose it is"
    if verdict.is_checkpoint_given:
        yield "  newest    holds the checkpoint that was given, and goes on from there"
    else:
        yield "  newest    a record cut short would look the same; --checkpoint FILE would show it"
    yield from (f"  NOT THE REPORT: {difference}" for difference in verdict.report)
    if verdict.is_report_given and not verdict.report:
        yield "  report    says what the record says"


if __name__ == "__main__":
    sys.exit(main())
