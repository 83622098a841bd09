"""The field rules of the contract as one table, applied to every message at the edge.

A message that is not in the table has no rules; a test compares the table with the protos, so a
field cannot be renamed past its rule.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

from google.protobuf.message import Message

from cordon_server.authority.steps import ASSIGNEES_MAX
from cordon_server.domain import InvalidInput
from cordon_server.identity.names import NAME_PATTERN, parse_spiffe_id
from cordon_server.identity.passwords import LENGTH_MAX as PASSWORD_CHARACTERS_MAX
from cordon_server.identity.sessions import SESSION_ID_PATTERN

Rule = Callable[[Any], str | None]
"""Takes a field's value; returns the rule in words when the value breaks it."""

EXTERNAL_REF_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
PAGE_SIZE_DEFAULT = 100
PAGE_SIZE_MAX = 1000
TEXT_CHARACTERS_MAX = 200
RATIONALE_CHARACTERS_MAX = 500
LONG_TEXT_CHARACTERS_MAX = 1000
CAMERAS_PER_DEPLOYMENT_MAX = 64
FACES_PER_HOUR_MAX = 1_000_000
OPERATORS_MAX = 1000
SAMPLE_COUNT_MAX = 100
PROOF_PICTURES_MAX = 50
ZONE_CORNERS_MAX = 32
DEPLOYMENT_FIELDS = (
    "location",
    "purpose",
    "justification",
    "cameras",
    "zones",
    "threshold",
    "start_time",
    "end_time",
    "accountable_person",
    "impact_assessment",
    "notice_exemption",
    "urgent",
)
"""What may be changed of a deployment."""
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def matches(pattern: str, words: str) -> Rule:
    """The whole value matches the pattern."""
    compiled = re.compile(pattern)
    return lambda value: None if compiled.fullmatch(value) else f"must be {words}"


def one_of(*values: int) -> Rule:
    """An enum value that means something."""
    return lambda value: None if value in values else "must be one of the named values"


def optional(rule: Rule) -> Rule:
    """The rule, unless the value is empty."""
    return lambda value: rule(value) if value else None


def each(rule: Rule, count_max: int) -> Rule:
    """The rule for every item of a repeated field, and a bound on their number."""

    def check(values: Any) -> str | None:
        if len(values) > count_max:
            return f"must hold {count_max} items at most"
        return next((broken for value in values if (broken := rule(value))), None)

    return check


def some(rule: Rule, count_max: int) -> Rule:
    """The same for a field that needs one item at least."""
    several = each(rule, count_max)
    return lambda values: several(values) if values else "must not be empty"


def between(low: float, high: float) -> Rule:
    """A finite number within bounds, both included."""
    return lambda value: (
        None
        if math.isfinite(value) and low <= value <= high
        else f"must be from {low:g} to {high:g}"
    )


def text(value: str) -> str | None:
    """A short line of text."""
    fits = len(value) <= TEXT_CHARACTERS_MAX and value.isprintable()
    return None if fits else f"must be one line of {TEXT_CHARACTERS_MAX} characters at most"


def rationale(value: str) -> str | None:
    """Why, in a line or two."""
    fits = len(value) <= RATIONALE_CHARACTERS_MAX and value.isprintable()
    return None if fits else f"must be one line of {RATIONALE_CHARACTERS_MAX} characters at most"


def reason_text(value: str) -> str | None:
    """A line that says why."""
    return text(value) if value.strip() else "must say why"


def line(value: str) -> str | None:
    """A line that says something."""
    return text(value) if value.strip() else "must not be empty"


def long_text(value: str) -> str | None:
    """A longer line of text."""
    fits = len(value) <= LONG_TEXT_CHARACTERS_MAX and value.isprintable()
    return None if fits else f"must be one line of {LONG_TEXT_CHARACTERS_MAX} characters at most"


def exactly(count: int) -> Rule:
    """So many bytes."""
    return lambda value: None if len(value) == count else f"must have {count} bytes"


def secret(value: str) -> str | None:
    """A password as it is given; whether it is good enough is for who takes it as a new one."""
    fits = 0 < len(value) <= PASSWORD_CHARACTERS_MAX
    return None if fits else f"must have 1 to {PASSWORD_CHARACTERS_MAX} characters"


def present(value: Any) -> str | None:
    """Not empty."""
    return None if value else "must not be empty"


def _request_id(value: str) -> str | None:
    return None if not value or _UUID.fullmatch(value) else "must be a UUID or empty"


def _date(value: str) -> str | None:
    """A day of this age, or nothing."""
    if not value:
        return None
    try:
        fits = date.fromisoformat(value).isoformat() == value and value >= "1900"
    except ValueError:
        fits = False
    return None if fits else "must be a date like 2026-01-31"


def _spiffe_id(value: str) -> str | None:
    return None if parse_spiffe_id(value) else "must be spiffe://SITE/ROLE/NAME"


def _point(value: Any) -> str | None:
    inside = between(0, 100_000)
    return None if value is None else inside(value.x) or inside(value.y)


def _corners(values: Any) -> str | None:
    fits = 2 <= len(values) <= ZONE_CORNERS_MAX
    return None if fits else f"must be 2 corners of a box or up to {ZONE_CORNERS_MAX} of a polygon"


def _deployment_mask(value: Any) -> str | None:
    paths = list(value.paths) if value is not None else []
    if not paths or len(set(paths)) != len(paths):
        return "must name fields, each once"
    unknown = [path for path in paths if path not in DEPLOYMENT_FIELDS]
    return "must name fields that may be changed, as the contract lists them" if unknown else None


_LABEL = "lower-case letters, digits and hyphens, 63 at most, no hyphen at either end"
_REF = "letters, digits, dots, underscores and hyphens, 63 at most, starting with one of the former"
_name = matches(NAME_PATTERN, _LABEL)
_camera = matches(f"cameras/{NAME_PATTERN}", "cameras/NAME")
_deployment = matches(f"deployments/{NAME_PATTERN}", "deployments/NAME")
_user = matches(f"users/{NAME_PATTERN}", "users/NAME")
_roles = some(one_of(1, 2, 3, 4, 5, 6), 6)
_entry = matches(
    f"deployments/{NAME_PATTERN}/entries/{EXTERNAL_REF_PATTERN}",
    "deployments/NAME/entries/REF",
)
_watchlist = matches(f"deployments/{NAME_PATTERN}/watchlist", "deployments/NAME/watchlist")
_proposal = matches(
    rf"deployments/{NAME_PATTERN}/proposals/[0-9a-f-]{{36}}", "deployments/NAME/proposals/UUID"
)
_digest = matches(r"[0-9a-fA-F]{64}", "a SHA-256 digest, 64 hexadecimal digits")
_match = matches(
    rf"deployments/{NAME_PATTERN}/matches/[1-9][0-9]{{0,18}}", "deployments/NAME/matches/SEQUENCE"
)
_hold = matches(f"holds/{NAME_PATTERN}", "holds/NAME")
_certificate = matches(r"certificates/[0-9a-f]{64}", "certificates/SHA256")
_page = {
    "page_size": between(0, PAGE_SIZE_MAX),
    "page_token": optional(matches(r"[A-Za-z0-9._=-]{1,128}", "a token from the page before")),
}
_mutation = {"request_id": _request_id}
_subject = {
    "external_ref": matches(EXTERNAL_REF_PATTERN, _REF),
    "category": present,
    "threshold": between(-1, 1),
    "image": present,
    "face_point": _point,
    "lawful_source": one_of(*range(7)),
    "rationale": rationale,
    "requester": text,
    "birth_date": _date,
    "age_group": one_of(0, 1, 2),
    "captured_on": _date,
    "override_reason": rationale,
}

RULES: dict[str, dict[str, Rule]] = {
    "cordon.v1.Hello": {"client_version": text, "sent_at": present},
    "cordon.v1.Frame": {"sequence": present, "captured_at": present},
    "cordon.v1.SubscribeMatchesRequest": {"parent": _deployment},
    "cordon.v1.GetMatchRequest": {"name": _match},
    "cordon.v1.ListMatchesRequest": {"parent": _deployment, **_page},
    "cordon.v1.GetMatchImagesRequest": {"name": _match},
    "cordon.v1.ClaimMatchRequest": {"name": _match, **_mutation},
    "cordon.v1.AdjudicateMatchRequest": {
        "name": _match,
        "decision": one_of(1, 2, 3),
        "reasons": some(one_of(1, 2, 3, 4, 5, 6, 7, 8), 3),
        "picture_ids": some(matches(r"[0-9a-f]{64}", "a SHA-256 in lower-case hexadecimal"), 8),
        **_mutation,
    },
    "cordon.v1.RecordOutcomeRequest": {
        "name": _match,
        "outcome": one_of(1, 2, 3, 4, 5, 6),
        **_mutation,
    },
    "cordon.v1.IssueReceiptRequest": {"name": _match, **_mutation},
    "cordon.v1.LookUpReceiptRequest": {
        "code": matches(r"[0-9A-Za-z -]{1,32}", "a receipt code"),
        **_mutation,
    },
    "cordon.v1.SeedCaseRequest": {
        "parent": _deployment,
        "external_ref": _subject["external_ref"],
        "camera": _camera,
        "image": present,
        "face_point": _point,
        **_mutation,
    },
    "cordon.v1.GetShiftReportRequest": {"parent": _deployment},
    "cordon.v1.RecordPassRequest": {
        "parent": _deployment,
        "external_ref": _subject["external_ref"],
        "camera": _camera,
        **_mutation,
    },
    "cordon.v1.GetTpirRequest": {"parent": _deployment},
    "cordon.v1.EnrolReferenceRequest": {"parent": _deployment, **_subject, **_mutation},
    "cordon.v1.ImportStart": {"parent": _deployment, **_mutation},
    "cordon.v1.CheckReferenceRequest": {
        "parent": _deployment,
        "image": present,
        "face_point": _point,
    },
    "cordon.v1.GetEntryRequest": {"name": _entry},
    "cordon.v1.ListEntriesRequest": {"parent": _deployment, **_page},
    "cordon.v1.RemoveEntryRequest": {"name": _entry, **_mutation},
    "cordon.v1.ApproveEntryRequest": {"name": _entry, **_mutation},
    "cordon.v1.GetWatchlistRequest": {"name": _watchlist},
    "cordon.v1.GetProposalRequest": {"name": _proposal},
    "cordon.v1.ListProposalsRequest": {"parent": _deployment},
    "cordon.v1.ListProposalRowsRequest": {"parent": _proposal, **_page},
    "cordon.v1.ApplyProposalRequest": {"name": _proposal, "digest": _digest, **_mutation},
    "cordon.v1.DiscardProposalRequest": {"name": _proposal, **_mutation},
    "cordon.v1.CheckWatchlistRequest": {"name": _watchlist},
    "cordon.v1.CheckDifferenceRequest": {"name": _watchlist, "other": _watchlist},
    "cordon.v1.GetEntrySampleRequest": {"name": _watchlist, "count": between(1, SAMPLE_COUNT_MAX)},
    "cordon.v1.ReviewWatchlistRequest": {
        "name": _watchlist,
        "digest": _digest,
        **_mutation,
    },
    "cordon.v1.CreateDeploymentRequest": {
        "deployment_id": _name,
        "deployment": present,
        **_mutation,
    },
    "cordon.v1.Deployment": {
        "location": text,
        "purpose": optional(_name),
        "justification": long_text,
        "accountable_person": text,
        "notice_exemption": long_text,
        "zones": each(present, CAMERAS_PER_DEPLOYMENT_MAX),
        "cameras": each(_camera, CAMERAS_PER_DEPLOYMENT_MAX),
        "assignees": each(_user, ASSIGNEES_MAX),
        "threshold": between(0, 1),
    },
    "cordon.v1.GetDeploymentRequest": {"name": _deployment},
    "cordon.v1.AssignDeploymentRequest": {
        "name": _deployment,
        "add": each(_user, ASSIGNEES_MAX),
        "remove": each(_user, ASSIGNEES_MAX),
        **_mutation,
    },
    "cordon.v1.ListDeploymentsRequest": _page,
    "cordon.v1.Zone": {"camera": _camera, "points": _corners},
    "cordon.v1.ZonePoint": {"x": between(0, 1), "y": between(0, 1)},
    "cordon.v1.ImpactAssessment": {
        "document_sha256": exactly(32),
        "owner": line,
        "review_time": present,
    },
    "cordon.v1.UpdateDeploymentRequest": {
        "name": _deployment,
        "deployment": present,
        "update_mask": _deployment_mask,
        **_mutation,
    },
    "cordon.v1.ForecastDeploymentRequest": {
        "name": _deployment,
        "faces_per_hour": between(1, FACES_PER_HOUR_MAX),
        "operators": between(0, OPERATORS_MAX),
        "threshold": between(0, 1),
    },
    "cordon.v1.SubmitDeploymentRequest": {
        "name": _deployment,
        "faces_per_hour": between(0, FACES_PER_HOUR_MAX),
        "operators": between(0, OPERATORS_MAX),
        **_mutation,
    },
    "cordon.v1.AuthoriseDeploymentRequest": {
        "name": _deployment,
        "digest": exactly(32),
        "signature": exactly(64),
        **_mutation,
    },
    "cordon.v1.GetNoticeRequest": {"name": _deployment},
    "cordon.v1.PublishNoticeRequest": {"name": _deployment, "place": line, **_mutation},
    "cordon.v1.ArmDeploymentRequest": {"name": _deployment, **_mutation},
    "cordon.v1.HaltDeploymentRequest": {"name": _deployment, **_mutation},
    "cordon.v1.ResumeDeploymentRequest": {"name": _deployment, **_mutation},
    "cordon.v1.RegisterSigningKeyRequest": {
        "public_key": exactly(32),
        "signature": exactly(64),
        **_mutation,
    },
    "cordon.v1.EndDeploymentRequest": {"name": _deployment, **_mutation},
    "cordon.v1.CheckListedRequest": {
        "parent": _deployment,
        "external_ref": matches(EXTERNAL_REF_PATTERN, _REF),
    },
    "cordon.v1.PlaceHoldRequest": {
        "hold_id": _name,
        "match": _match,
        "reason": reason_text,
        **_mutation,
    },
    "cordon.v1.LiftHoldRequest": {"name": _hold, "reason": reason_text, **_mutation},
    "cordon.v1.GetHoldRequest": {"name": _hold},
    "cordon.v1.ListHoldsRequest": _page,
    "cordon.v1.ProveForgettingRequest": {
        "pictures": some(present, PROOF_PICTURES_MAX),
        **_mutation,
    },
    "cordon.v1.CreateCameraRequest": {"camera_id": _name, **_mutation},
    "cordon.v1.Camera": {"display_name": text},
    "cordon.v1.GetCameraRequest": {"name": _camera},
    "cordon.v1.ListCamerasRequest": _page,
    "cordon.v1.RevokeCameraRequest": {"name": _camera, **_mutation},
    "cordon.v1.CreateEnrolmentTokenRequest": {"role": one_of(1, 2, 3), "id": _name, **_mutation},
    "cordon.v1.IssueCertificateRequest": {
        "role": one_of(1, 2, 3),
        "id": _name,
        "csr_der": present,
        **_mutation,
    },
    "cordon.v1.RenewCertificateRequest": {"csr_der": present},
    "cordon.v1.ListCertificatesRequest": {"spiffe_id": optional(_spiffe_id), **_page},
    "cordon.v1.RevokeCertificateRequest": {
        "name": optional(_certificate),
        "spiffe_id": optional(_spiffe_id),
        **_mutation,
    },
    "cordon.v1.EnrolRequest": {
        "token": matches(r"[\x21-\x7e]{1,256}", "a token"),
        "csr_der": present,
    },
    "cordon.v1.SignInRequest": {
        "name": _user,
        "password": secret,
        "new_password": optional(secret),
    },
    "cordon.v1.StepUpRequest": {"password": secret},
    "cordon.v1.ChangePasswordRequest": {"password": secret, "new_password": secret},
    "cordon.v1.CreateUserRequest": {
        "user_id": _name,
        "user": present,
        "password": secret,
        **_mutation,
    },
    "cordon.v1.User": {"display_name": text, "roles": _roles},
    "cordon.v1.GetUserRequest": {"name": _user},
    "cordon.v1.ListUsersRequest": _page,
    "cordon.v1.SetUserRolesRequest": {"name": _user, "roles": _roles, **_mutation},
    "cordon.v1.SetUserTrainingRequest": {"name": _user, **_mutation},
    "cordon.v1.ResetPasswordRequest": {"name": _user, "password": secret, **_mutation},
    "cordon.v1.LockUserRequest": {"name": _user, **_mutation},
    "cordon.v1.UnlockUserRequest": {"name": _user, **_mutation},
    "cordon.v1.RevokeUserRequest": {"name": _user, **_mutation},
    "cordon.v1.RevokeSessionsRequest": {
        "name": _user,
        "session_id": optional(
            matches(SESSION_ID_PATTERN, "the session_id of a token, 32 hexadecimal digits")
        ),
        **_mutation,
    },
    "cordon.v1.ListRecordsRequest": {"deployment": optional(_deployment), **_page},
}

ROW_RULES = _subject
"""Rules of an import row. Broken ones are the row's report, not the end of the stream."""


def check(message: Message) -> None:
    """Raises `InvalidInput` naming every field of the message, at any depth, that breaks a rule."""
    raise_for(list(_violations(message, "")))


def check_row(row: Message) -> None:
    """The same for an import row."""
    raise_for(list(_broken(row, ROW_RULES, "")))


def raise_for(violations: list[tuple[str, str]]) -> None:
    """Raises `InvalidInput` for (field, rule) pairs, if there are any."""
    if violations:
        words = "; ".join(f"{field} {rule}" for field, rule in violations)
        raise InvalidInput(words, field=violations[0][0], violations=tuple(violations))


def _violations(message: Message, path: str) -> Iterator[tuple[str, str]]:
    yield from _broken(message, RULES.get(message.DESCRIPTOR.full_name, {}), path)
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.file.package == "cordon.v1":
            for each_value in value if field.is_repeated else (value,):
                yield from _violations(each_value, f"{path}{field.name}.")


def _broken(message: Message, rules: dict[str, Rule], path: str) -> Iterator[tuple[str, str]]:
    for name, rule in rules.items():
        field = message.DESCRIPTOR.fields_by_name[name]
        if field.has_presence and field.message_type is None and not message.HasField(name):
            continue
        is_absent = field.has_presence and not message.HasField(name)
        value = None if is_absent else getattr(message, name)
        if (broken := rule(value)) is not None:
            yield f"{path}{name}", broken
