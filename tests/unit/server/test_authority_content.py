"""What is signed: the same bytes on both sides, and a signature over nothing else (R8)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from cordon_client.authority import SIGNED_PREFIX, authority_digest, canonical_content
from cordon_server.api import convert_deployment
from cordon_server.authority import content
from cordon_server.authority.records import Actor, DeploymentRecord
from cordon_server.authority.signing import is_signed
from cordon_server.authority.terms import ImpactAssessment, Submission, Zone

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
TEXTS = st.text(max_size=30)
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1), timezones=st.just(UTC))
FRACTIONS = st.floats(0, 1)
DIGESTS = st.binary(min_size=32, max_size=32)
ACTORS = st.builds(Actor, NAMES, NAMES.map("spiffe://site/admin/{}".format))
SUBMISSIONS = st.builds(
    Submission,
    requester=ACTORS,
    submit_time=MOMENTS,
    policy=NAMES,
    policy_digest=DIGESTS,
    list_digest=DIGESTS,
    model_id=TEXTS,
    assignees=st.lists(NAMES, max_size=3).map(tuple),
    forecast=TEXTS,
)
ZONES = st.builds(
    Zone, NAMES, st.lists(st.tuples(FRACTIONS, FRACTIONS), min_size=2, max_size=4).map(tuple)
)
RECORDS = st.builds(
    DeploymentRecord,
    location=TEXTS,
    cameras=st.lists(NAMES, max_size=3, unique=True).map(tuple),
    threshold=FRACTIONS,
    start_time=MOMENTS,
    end_time=MOMENTS,
    purpose=NAMES,
    justification=TEXTS,
    zones=st.lists(ZONES, max_size=2, unique_by=lambda zone: zone.camera_id).map(tuple),
    accountable_person=TEXTS,
    impact_assessment=st.none() | st.builds(ImpactAssessment, DIGESTS, TEXTS, MOMENTS),
    notice_exemption=TEXTS,
    is_urgent=st.booleans(),
    assignees=st.just(()),
    deployment_id=NAMES,
    create_time=MOMENTS,
    creator=ACTORS,
    submission=SUBMISSIONS,
)


def message(record: DeploymentRecord) -> Any:
    return convert_deployment.deployment(record, entries=0, references=0, matches=0)


@pytest.mark.serves("R8")
@settings(max_examples=150, deadline=None)
@given(RECORDS)
def test_the_client_hashes_what_it_is_shown_to_what_the_server_has_on_record(
    record: DeploymentRecord,
) -> None:
    assert record.submission is not None
    there = content.canonical(record, record.submission)
    sent = type(message(record)).FromString(message(record).SerializeToString())

    assert canonical_content(sent) == there
    assert authority_digest(sent) == content.digest(record, record.submission)
    assert content.SIGNED_PREFIX == SIGNED_PREFIX
    assert all(32 <= byte < 127 for byte in there)


def leaves(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [leaf for each in value.values() for leaf in leaves(each)]
    if isinstance(value, list):
        return [leaf for each in value for leaf in leaves(each)]
    return [value]


@settings(max_examples=30, deadline=None)
@given(RECORDS)
def test_every_leaf_of_the_content_is_a_string(record: DeploymentRecord) -> None:
    assert record.submission is not None
    said = json.loads(content.canonical(record, record.submission))
    assert all(isinstance(leaf, str) for leaf in leaves(said))


CHANGES: dict[str, Any] = {
    "location": "elsewhere",
    "cameras": ("north", "south"),
    "threshold": 0.51,
    "start_time": datetime(2026, 6, 1, 11, tzinfo=UTC),
    "end_time": datetime(2026, 6, 1, 13, tzinfo=UTC),
    "purpose": "other-trial",
    "justification": "another",
    "zones": (Zone("north", ((0.0, 0.0), (0.5, 0.5))),),
    "accountable_person": "another",
    "impact_assessment": ImpactAssessment(b"i" * 32, "x", datetime(2027, 1, 1, tzinfo=UTC)),
    "notice_exemption": "because",
    "is_urgent": True,
}
SUBMITTED: dict[str, Any] = {
    "requester": Actor("carl", "spiffe://site/admin/first"),
    "policy": "another",
    "policy_digest": b"q" * 32,
    "list_digest": b"m" * 32,
    "model_id": "another",
    "assignees": ("anna",),
    "forecast": "{}",
}


def a_record(**changes: Any) -> DeploymentRecord:
    now = datetime(2026, 6, 1, 12, tzinfo=UTC)
    asked: dict[str, Any] = {
        "location": "Market Street",
        "cameras": ("north",),
        "threshold": 0.5,
        "start_time": now,
        "end_time": now + timedelta(hours=4),
        "deployment_id": "market",
        "create_time": now,
        "creator": Actor("olga", "spiffe://site/admin/first"),
    }
    return DeploymentRecord(**asked | changes)


def a_submission() -> Submission:
    return Submission(
        Actor("olga", "spiffe://site/admin/first"),
        datetime(2026, 6, 1, 12, tzinfo=UTC),
        "demo",
        b"p" * 32,
        b"l" * 32,
        "model",
        (),
    )


@pytest.mark.serves("R8")
def test_each_thing_that_was_asked_for_is_part_of_what_is_signed() -> None:
    submission = a_submission()
    digests = {content.digest(a_record(), submission)}

    for field, value in CHANGES.items():
        digests.add(content.digest(a_record(**{field: value}), submission))
    for field, value in SUBMITTED.items():
        changed = msgspec.structs.replace(submission, **{field: value})
        digests.add(content.digest(a_record(), changed))
    digests.add(content.digest(a_record(deployment_id="fair"), submission))

    assert len(digests) == 2 + len(CHANGES) + len(SUBMITTED)


@pytest.mark.serves("R8")
@settings(max_examples=200, deadline=None)
@given(st.integers(0, 127), st.integers(0, 7))
def test_a_signature_with_one_bit_turned_or_over_another_digest_is_none(
    byte: int, bit: int
) -> None:
    key = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
    digest = b"d" * 32
    signed = bytearray(
        digest + key.sign(SIGNED_PREFIX + digest) + key.public_key().public_bytes_raw()
    )
    assert is_signed(bytes(signed[:32]), bytes(signed[32:96]), bytes(signed[96:]))

    signed[byte] ^= 1 << bit

    assert not is_signed(bytes(signed[:32]), bytes(signed[32:96]), bytes(signed[96:]))
    assert not is_signed(digest, key.sign(digest), key.public_key().public_bytes_raw())
