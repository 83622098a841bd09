from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cordon.v1 import (
    camera_pb2,
    deployment_pb2,
    identity_pb2,
    machine_pb2,
    match_pb2,
    recognition_pb2,
    watchlist_pb2,
)
from cordon_server.api import rules
from cordon_server.domain import InvalidInput

FILES = (
    camera_pb2,
    deployment_pb2,
    identity_pb2,
    machine_pb2,
    match_pb2,
    recognition_pb2,
    watchlist_pb2,
)
MESSAGES: dict[str, Descriptor] = {
    message.full_name: message
    for file in FILES
    for message in file.DESCRIPTOR.message_types_by_name.values()
}
METHODS: list[MethodDescriptor] = [
    method
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]
READS = ("Get", "List", "Check", "Subscribe")
STREAMS = {"StreamFrames", "ImportReferences"}
OF_THE_MOMENT = {
    "StreamFrames",
    *("SignIn", "RenewToken", "StepUp", "SignOut", "WhoAmI", "ChangePassword"),
    *("RenewCertificate", "Enrol"),
}
"""What is bound to who asks and when: an answer kept for a repeat would be a secret kept."""


def reachable(message: Descriptor) -> Iterator[Descriptor]:
    """A message and all of ours in it."""
    yield message
    for field in message.fields:
        inner = field.message_type
        if inner is not None and inner.file.package == "cordon.v1":
            yield from reachable(inner)


REQUESTS = {each.full_name: each for m in METHODS for each in reachable(m.input_type)}

NOT_TAKEN = "made by the server; what a request says is passed over"
UNRULED = {
    **dict.fromkeys(
        (
            "Camera.name",
            "Camera.state",
            "CameraLive.frames_received",
            "CameraLive.frames_processed",
            "CameraLive.frames_superseded",
            "CameraLive.frames_expired",
            "CameraLive.frames_rejected",
            "CameraLive.faces_searched",
            "CameraLive.deployment",
            "Deployment.name",
            "Deployment.state",
            "Deployment.entry_count",
            "Deployment.reference_count",
            "Deployment.match_count",
            "User.name",
            "User.state",
        ),
        NOT_TAKEN,
    ),
    "Hello.source_kind": "what is not known is taken as video, as the contract says",
    "Frame.jpeg": "the frame's own gate answers it, and the stream goes on",
    "SubscribeMatchesRequest.after_sequence": "compared with the log's head, which no table knows",
    "ImagePoint.x": "the rule stands with face_point",
    "ImagePoint.y": "the rule stands with face_point",
    "ImportRow.row": "any number: it is echoed",
    **dict.fromkeys(
        (
            "ImportRow.external_ref",
            "ImportRow.category",
            "ImportRow.threshold",
            "ImportRow.image",
        ),
        "ROW_RULES: the row's report and not the stream's end",
    ),
}


def test_every_rule_names_a_message_and_a_field_of_the_contract() -> None:
    for name, fields in rules.RULES.items():
        assert name in REQUESTS, f"{name} is in no request"
        assert set(fields) <= set(MESSAGES[name].fields_by_name), name
    assert set(rules.ROW_RULES) <= set(MESSAGES["cordon.v1.ImportRow"].fields_by_name)


def is_value(field: FieldDescriptor) -> bool:
    """Whether it holds what could be wrong by itself: not a message, not a claim."""
    return field.message_type is None and field.type != FieldDescriptor.TYPE_BOOL


def test_every_value_of_every_request_has_a_rule_or_a_reason_for_having_none() -> None:
    without = {
        f"{message.name}.{field.name}"
        for name, message in REQUESTS.items()
        for field in message.fields
        if is_value(field) and field.name not in rules.RULES.get(name, {})
    }

    assert without == UNRULED.keys()


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_mutation_can_be_tried_and_repeated(method: MethodDescriptor) -> None:
    request = method.input_type
    if method.name == "ImportReferences":
        request = MESSAGES["cordon.v1.ImportStart"]
    is_mutation = not method.name.startswith(READS) and method.name not in OF_THE_MOMENT

    has_both = {"request_id", "validate_only"} <= set(request.fields_by_name)

    assert has_both == is_mutation
    assert ("request_id" in rules.RULES.get(request.full_name, {})) == is_mutation


def test_every_method_takes_and_gives_messages_of_its_own() -> None:
    for method in METHODS:
        assert method.input_type.name == f"{method.name}Request"
        assert method.output_type.name == f"{method.name}Response"


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


def broken_in(message: Message, check: Callable[[Message], None] = rules.check) -> dict[str, str]:
    """The rules that a message breaks, by field; any other error is the test's end."""
    try:
        check(message)
    except InvalidInput as refused:
        return dict(refused.violations)
    return {}


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
    assert broken_in(row, rules.check_row).keys() <= rules.ROW_RULES.keys()


def test_every_broken_field_is_named_at_any_depth() -> None:
    broken = broken_in(
        deployment_pb2.CreateDeploymentRequest(
            deployment_id="Not A Label",
            deployment=deployment_pb2.Deployment(
                location="two\nlines", cameras=["cameras/ok", "nope"], threshold=1.5
            ),
            request_id="1",
        )
    )

    assert broken.keys() == {
        "deployment_id",
        "request_id",
        "deployment.location",
        "deployment.cameras",
        "deployment.threshold",
    }


@pytest.mark.parametrize(
    ("name", "is_label"),
    [
        ("a", True),
        ("north-gate-2", True),
        ("0", True),
        ("a" * 63, True),
        ("a" * 64, False),
        ("", False),
        ("-a", False),
        ("a-", False),
        ("North", False),
        ("a.b", False),
        ("a/b", False),
        ("a\n", False),
        ("ä", False),
        ("٣", False),
    ],
)
def test_names_are_dns_labels(name: str, is_label: bool) -> None:
    for request in (
        camera_pb2.CreateCameraRequest(camera_id=name),
        camera_pb2.GetCameraRequest(name=f"cameras/{name}"),
        deployment_pb2.GetDeploymentRequest(name=f"deployments/{name}"),
    ):
        assert bool(broken_in(request)) != is_label


@pytest.mark.parametrize(
    ("sequence", "is_good"),
    [("1", True), ("9" * 19, True), ("9" * 20, False), ("0", False), ("01", False), ("", False)],
)
def test_match_names_carry_a_sequence_that_fits(sequence: str, is_good: bool) -> None:
    name = f"deployments/market/matches/{sequence}"

    assert bool(broken_in(match_pb2.GetMatchRequest(name=name))) != is_good
    assert int("9" * 19) < 2**64


@pytest.mark.parametrize("threshold", [float("nan"), float("inf"), -0.1, 1.01])
def test_a_threshold_is_a_number_within_bounds(threshold: float) -> None:
    deployment = deployment_pb2.Deployment(threshold=threshold)

    broken = broken_in(
        deployment_pb2.CreateDeploymentRequest(deployment_id="a", deployment=deployment)
    )

    assert broken == {"deployment.threshold": "must be from 0 to 1"}


def an_enrolment(**parts: Any) -> watchlist_pb2.EnrolReferenceRequest:
    return watchlist_pb2.EnrolReferenceRequest(
        **{
            "parent": "deployments/market",
            "external_ref": "s-1",
            "category": "wanted",
            "image": b"jpeg",
            **parts,
        }
    )


def test_what_may_be_absent_may_be_absent() -> None:
    assert broken_in(an_enrolment()) == {}
    assert broken_in(an_enrolment(threshold=0.0, face_point=watchlist_pb2.ImagePoint())) == {}
    assert broken_in(match_pb2.ListMatchesRequest(parent="deployments/market")) == {}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("parent", "deployments/market/entries/x"),
        ("external_ref", ".hidden"),
        ("external_ref", "a" * 64),
        ("external_ref", "a/b"),
        ("category", ""),
        ("image", b""),
        ("threshold", float("nan")),
        ("threshold", 1.5),
        ("face_point", watchlist_pb2.ImagePoint(x=float("nan"), y=1)),
        ("face_point", watchlist_pb2.ImagePoint(x=1, y=-1)),
        ("request_id", "0a1b2c3d000040008000000000000000"),
        ("request_id", "0a1b2c3d-0000-4000-8000-00000000000a\n"),
    ],
)
def test_each_field_of_an_enrolment_has_its_rule(field: str, value: Any) -> None:
    assert broken_in(an_enrolment(**{field: value})).keys() == {field}


def test_pages_and_lists_are_bounded() -> None:
    cameras = [f"cameras/c{n}" for n in range(rules.CAMERAS_PER_DEPLOYMENT_MAX + 1)]
    deployment = deployment_pb2.Deployment(cameras=cameras)

    assert broken_in(camera_pb2.ListCamerasRequest(page_size=1001)).keys() == {"page_size"}
    assert broken_in(camera_pb2.ListCamerasRequest(page_token="a" * 129)).keys() == {"page_token"}
    assert broken_in(
        deployment_pb2.CreateDeploymentRequest(deployment_id="a", deployment=deployment)
    ) == {"deployment.cameras": "must hold 64 items at most"}


@pytest.mark.parametrize("value", [0, 4, -1, 99])
def test_an_enum_without_meaning_is_refused(value: int) -> None:
    request = match_pb2.AdjudicateMatchRequest(name="deployments/a/matches/1")
    request.decision = value  # type: ignore[assignment]  # what the wire may carry
    assert broken_in(request).keys() == {"decision"}
