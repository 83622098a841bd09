"""Nothing of the contract is without a rule, or a reason for having none."""

from __future__ import annotations

import pytest
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor

from cordon_server.api import rule_table
from tests.unit.server.contract import MESSAGES, METHODS, REQUESTS

READS = ("Get", "List", "Check", "Subscribe", "Export", "Forecast")
STREAMS = {"StreamFrames", "ImportReferences"}
STARTS = {
    "ImportReferences": "cordon.v1.ImportStart",
    "PreflightCamera": "cordon.v1.PreflightStart",
}
"""What begins a stream that changes something."""
OF_THE_MOMENT = {
    "StreamFrames",
    *("SignIn", "RenewToken", "StepUp", "SignOut", "WhoAmI", "ChangePassword"),
    *("RenewCertificate", "Enrol"),
}
"""What is bound to who asks and when: an answer kept for a repeat would be a secret kept."""


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
            "Submission.requester",
            "Submission.requester_machine",
            "Submission.policy",
            "Submission.policy_digest",
            "Submission.list_digest",
            "Submission.model",
            "Submission.assignees",
            "Submission.forecast",
            "Authority.officer",
            "Authority.officer_machine",
            "Authority.digest",
            "Authority.public_key",
            "Authority.signature",
            "Notice.place",
            "Halting.cause",
            "User.name",
            "User.state",
        ),
        NOT_TAKEN,
    ),
    "Hello.source_kind": "what is not known is taken as video, as the contract says",
    "Frame.jpeg": "the frame's own gate answers it, and the stream goes on",
    "SubscribeMatchesRequest.after_sequence": "compared with the log's head, which no table knows",
    **dict.fromkeys(
        (
            "ListRecordsRequest.start_index",
            "GetInclusionProofRequest.index",
            "GetConsistencyProofRequest.first_size",
        ),
        "compared with the record's size, which no table knows",
    ),
    "ImagePoint.x": "the rule stands with face_point",
    "ImagePoint.y": "the rule stands with face_point",
    "ImportRow.row": "any number: it is echoed",
    "ImportStart.row_count": "any number: so many rows come",
    **dict.fromkeys(
        (
            "ImportRow.external_ref",
            "ImportRow.category",
            "ImportRow.threshold",
            "ImportRow.image",
            "ImportRow.lawful_source",
            "ImportRow.rationale",
            "ImportRow.requester",
            "ImportRow.birth_date",
            "ImportRow.age_group",
            "ImportRow.captured_on",
            "ImportRow.override_reason",
        ),
        "ROW_RULES: the row's report and not the stream's end",
    ),
}


def test_every_rule_names_a_message_and_a_field_of_the_contract() -> None:
    for name, fields in rule_table.RULES.items():
        assert name in REQUESTS, f"{name} is in no request"
        assert set(fields) <= set(MESSAGES[name].fields_by_name), name
    assert set(rule_table.ROW_RULES) <= set(MESSAGES["cordon.v1.ImportRow"].fields_by_name)


def is_value(field: FieldDescriptor) -> bool:
    """Whether it holds what could be wrong by itself: not a message, not a claim."""
    return field.message_type is None and field.type != FieldDescriptor.TYPE_BOOL


def test_every_value_of_every_request_has_a_rule_or_a_reason_for_having_none() -> None:
    without = {
        f"{message.name}.{field.name}"
        for name, message in REQUESTS.items()
        for field in message.fields
        if is_value(field) and field.name not in rule_table.RULES.get(name, {})
    }

    assert without == UNRULED.keys()


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_mutation_can_be_tried_and_repeated(method: MethodDescriptor) -> None:
    request = method.input_type
    if (start := STARTS.get(method.name)) is not None:
        request = MESSAGES[start]
    is_mutation = not method.name.startswith(READS) and method.name not in OF_THE_MOMENT

    has_both = {"request_id", "validate_only"} <= set(request.fields_by_name)

    assert has_both == is_mutation
    assert ("request_id" in rule_table.RULES.get(request.full_name, {})) == is_mutation


def test_every_method_takes_and_gives_messages_of_its_own() -> None:
    for method in METHODS:
        assert method.input_type.name == f"{method.name}Request"
        assert method.output_type.name == f"{method.name}Response"
