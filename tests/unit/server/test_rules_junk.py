"""Whatever comes over the wire is taken or refused by its fields, and nothing else happens."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cordon_server.api import rule_table, rules
from tests.unit.server.contract import MESSAGES, METHODS, broken_in

# Words that look right and break one thing, beside whatever comes to mind.
LOOKS = st.sampled_from(
    [
        "cameras/north",
        "users/anna",
        "deployments/market",
        "deployments/market/entries/a.b",
        "deployments/market/matches/1",
        "deployments/market/matches/0",
        "cameras/",
        "cameras/-",
        "north\n",
        "0a1b2c3d-0000-4000-8000-00000000000a",
        "wanted",
        "x" * 5000,
        "\u0000",
        "\u202egate",
        "a/b",
        "../../etc/passwd",
    ]
)
TEXTS = LOOKS | st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
NUMBERS: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.TYPE_FLOAT: st.floats(width=32),
    FieldDescriptor.TYPE_UINT32: st.integers(0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: st.integers(0, 2**64 - 1),
    FieldDescriptor.TYPE_ENUM: st.integers(-(2**31), 2**31 - 1) | st.integers(0, 5),
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_STRING: TEXTS,
    FieldDescriptor.TYPE_BYTES: st.binary(max_size=40),
}
SECONDS = st.integers(-(2**63), 2**63 - 1) | st.integers(0, 2_000_000_000)
NANOS = st.integers(-(2**31), 2**31 - 1)


def values(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    """Anything the wire can carry in a field."""
    if field.message_type is None:
        one = NUMBERS[field.type]
    elif field.message_type.full_name == "google.protobuf.Timestamp":
        one = st.builds(Timestamp, seconds=SECONDS, nanos=NANOS)
    elif field.message_type.full_name == "google.protobuf.Duration":
        one = st.builds(Duration, seconds=SECONDS, nanos=NANOS)
    else:
        one = junk(field.message_type)
    return st.lists(one, max_size=70) if field.is_repeated else one


def junk(message: Descriptor) -> st.SearchStrategy[Message]:
    """Any message of a type, each field set or not."""
    made = message_factory.GetMessageClass(message)
    fields = {field.name: values(field) for field in message.fields}

    def build(parts: dict[str, Any]) -> Message:
        return made(**parts)

    return st.fixed_dictionaries({}, optional=fields).map(build)


def has_field(message: Descriptor, path: str) -> bool:
    first, _, rest = path.partition(".")
    field = message.fields_by_name.get(first)
    if field is None:
        return False
    return not rest or (field.message_type is not None and has_field(field.message_type, rest))


@pytest.mark.slow
@pytest.mark.parametrize("message", [m.input_type for m in METHODS], ids=lambda m: m.name)
def test_junk_is_refused_naming_its_fields_and_in_no_other_way(message: Descriptor) -> None:
    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(junk(message))
    def one(request: Message) -> None:
        for path, rule in broken_in(request).items():
            assert has_field(message, path), path
            assert rule.startswith("must ")
            assert len(rule) < 150

    one()


@settings(max_examples=100, deadline=None)
@given(junk(MESSAGES["cordon.v1.ImportRow"]))
def test_a_junk_row_is_refused_naming_its_fields(row: Message) -> None:
    assert broken_in(row, rules.check_row).keys() <= rule_table.ROW_RULES.keys()
