from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from cordon_server import domain
from cordon_server.api.errors import (
    DETAILS_KEY,
    INTERNAL_TEXT,
    STATUS,
    status_of,
    trailing_details,
)

HEADERS_BYTES_MAX = 8192
"""What clients take of a call's trailing metadata unless told otherwise."""


def tree(kind: type[domain.CordonError]) -> Iterator[type[domain.CordonError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from tree(each)


INTENDED = {
    domain.CordonError: "INTERNAL",
    domain.CallerFault: "INTERNAL",
    domain.InvalidInput: "INVALID_ARGUMENT",
    domain.InvalidFrame: "INVALID_ARGUMENT",
    domain.UnusablePicture: "INVALID_ARGUMENT",
    domain.NotListable: "INVALID_ARGUMENT",
    domain.NotFound: "NOT_FOUND",
    domain.AlreadyExists: "ALREADY_EXISTS",
    domain.NotReady: "FAILED_PRECONDITION",
    domain.Unauthenticated: "UNAUTHENTICATED",
    domain.NotPermitted: "PERMISSION_DENIED",
    domain.LimitReached: "RESOURCE_EXHAUSTED",
    domain.NotNow: "UNAVAILABLE",
    domain.OurFault: "INTERNAL",
    domain.ConfigInvalid: "INTERNAL",
    domain.ModelRefused: "INTERNAL",
    domain.ProviderUnavailable: "INTERNAL",
    domain.StorageFull: "RESOURCE_EXHAUSTED",
    domain.StorageDamaged: "INTERNAL",
    domain.NotRecorded: "RESOURCE_EXHAUSTED",
    domain.ModelFailed: "INTERNAL",
    domain.DeviceLost: "INTERNAL",
}
WORDS = "camera north is revoked; use another"


def an_error(kind: type[domain.CordonError], message: str = WORDS) -> domain.CordonError:
    if issubclass(kind, domain.NotListable):
        return kind((("field", domain.Reason(domain.ReasonCode.EXPIRED, message)),))
    if issubclass(kind, domain.UnusablePicture):
        return kind(message, (domain.Reason(domain.ReasonCode.NO_FACE, message),))
    return kind(message)


def details_of(error: BaseException) -> status_pb2.Status:
    ((key, value),) = trailing_details(error)
    assert key == DETAILS_KEY
    return status_pb2.Status.FromString(value)


def test_every_error_of_the_domain_has_an_intended_status() -> None:
    ours = {kind for kind in tree(domain.CordonError) if kind.__module__ == domain.__name__}

    assert ours == INTENDED.keys()


@pytest.mark.parametrize("kind", list(tree(domain.CordonError)), ids=lambda kind: kind.__name__)
def test_every_error_has_its_status_and_public_text(kind: type[domain.CordonError]) -> None:
    code, text = status_of(an_error(kind))

    intended = next(INTENDED[each] for each in kind.__mro__ if each in INTENDED)
    assert code is grpc.StatusCode[intended]
    assert text == (INTERNAL_TEXT if intended == "INTERNAL" else WORDS)


@pytest.mark.parametrize(
    "error",
    [
        domain.OurFault("the key is 0xdeadbeef"),
        domain.StorageDamaged("/srv/cordon/registry is damaged"),
        ValueError("secret"),
        KeyError("secret"),
        BaseExceptionGroup("secret", [KeyboardInterrupt()]),
    ],
)
def test_of_our_faults_the_public_reads_one_sentence_and_no_details(error: BaseException) -> None:
    assert status_of(error) == (grpc.StatusCode.INTERNAL, INTERNAL_TEXT)
    assert trailing_details(error) == ()


def test_the_table_is_of_our_errors_alone() -> None:
    assert all(issubclass(kind, domain.CordonError) for kind in STATUS)


def test_details_say_the_reason_in_our_domain_and_repeat_the_status() -> None:
    status = details_of(domain.NotFound("there is no camera x", reason="NO_SUCH_CAMERA"))

    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == ("NO_SUCH_CAMERA", "cordon")
    assert (status.code, status.message) == (5, "there is no camera x")
    assert len(status.details) == 1


def test_bad_input_names_every_field_and_its_rule() -> None:
    error = domain.InvalidInput("words", field="a", violations=(("a", "must be"), ("b.c", "may")))

    status = details_of(error)

    bad = error_details_pb2.BadRequest()
    assert status.details[1].Unpack(bad)
    named = [(each.field, each.description) for each in bad.field_violations]
    assert named == [("a", "must be"), ("b.c", "may")]
    assert {each.reason for each in bad.field_violations} == {"INVALID_INPUT"}


def test_a_state_that_forbids_is_a_precondition() -> None:
    status = details_of(domain.NotReady("end that one first", reason="CAMERA_IN_USE"))

    failure = error_details_pb2.PreconditionFailure()
    assert status.details[1].Unpack(failure)
    (violation,) = failure.violations
    assert (violation.type, violation.description) == ("CAMERA_IN_USE", "end that one first")


def test_a_full_limit_says_when_to_try_again_where_that_may_help() -> None:
    status = details_of(domain.LimitReached("wait", reason="NO_CAPACITY", retry_after_s=2.5))

    info = error_details_pb2.RetryInfo()
    assert status.details[1].Unpack(info)
    assert info.retry_delay.ToMilliseconds() == 2500
    assert len(details_of(domain.LimitReached("full")).details) == 1


def test_reasons_are_named_after_the_error_unless_given() -> None:
    assert domain.NotReady("x").reason == "NOT_READY"
    assert domain.UnusablePicture("x", ()).reason == "UNUSABLE_PICTURE"
    assert domain.InvalidFrame("x", reason="FRAME_NOT_JPEG").reason == "FRAME_NOT_JPEG"


@pytest.mark.parametrize("kind", list(INTENDED), ids=lambda kind: kind.__name__)
def test_an_endless_message_still_fits_a_header(kind: type[domain.CordonError]) -> None:
    assert_fits(an_error(kind, "x" * 100_000))


def test_endless_violations_still_fit_a_header() -> None:
    paths = [(f"deployment.field_{n}", "y" * 9000) for n in range(1000)]

    assert_fits(domain.InvalidInput("x" * 100_000, field="a", violations=tuple(paths)))


def assert_fits(error: BaseException) -> None:
    _, text = status_of(error)
    details = trailing_details(error)
    in_base64 = sum(4 * (len(value) + 2) // 3 for _, value in details)
    assert len(text) + in_base64 + 200 < HEADERS_BYTES_MAX
