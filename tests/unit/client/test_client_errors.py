from __future__ import annotations

import grpc
import pytest
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from cordon_client.errors import ClientError, ExitCode, from_rpc, print_error


def rpc_error(
    code: grpc.StatusCode, text: str, *details: Message, raw: bytes | None = None
) -> grpc.aio.AioRpcError:
    status = status_pb2.Status(code=code.value[0], message=text)
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    value = status.SerializeToString() if raw is None else raw
    trailing = grpc.aio.Metadata(("grpc-status-details-bin", value))
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, details=text)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, ExitCode.SIGN_IN),
        (grpc.StatusCode.PERMISSION_DENIED, ExitCode.NOT_PERMITTED),
        (grpc.StatusCode.NOT_FOUND, ExitCode.NOT_FOUND),
        (grpc.StatusCode.ALREADY_EXISTS, ExitCode.CONFLICT),
        (grpc.StatusCode.FAILED_PRECONDITION, ExitCode.CONFLICT),
        (grpc.StatusCode.ABORTED, ExitCode.CONFLICT),
        (grpc.StatusCode.UNAVAILABLE, ExitCode.UNAVAILABLE),
        (grpc.StatusCode.DEADLINE_EXCEEDED, ExitCode.UNAVAILABLE),
        (grpc.StatusCode.INVALID_ARGUMENT, ExitCode.FAILED),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, ExitCode.FAILED),
        (grpc.StatusCode.INTERNAL, ExitCode.FAILED),
    ],
)
def test_every_status_has_its_exit_code(code: grpc.StatusCode, expected: ExitCode) -> None:
    assert from_rpc(rpc_error(code, "words")).exit_code is expected


def test_the_servers_own_words_come_first() -> None:
    error = from_rpc(rpc_error(grpc.StatusCode.UNAVAILABLE, "loading the models; try again"))

    assert error.what == "loading the models; try again"


def test_field_violations_are_told_with_their_fields() -> None:
    violation = error_details_pb2.BadRequest.FieldViolation
    request = error_details_pb2.BadRequest(
        field_violations=[
            violation(field="deployment_id", description="must be lower case"),
            violation(field="cameras", description="must not be empty"),
        ]
    )
    info = error_details_pb2.ErrorInfo(reason="INVALID_INPUT", domain="cordon")

    error = from_rpc(rpc_error(grpc.StatusCode.INVALID_ARGUMENT, "two rules", request, info))

    assert error.why == "deployment_id: must be lower case cameras: must not be empty"
    assert error.reason == "INVALID_INPUT"


def test_how_long_the_server_asks_to_wait_is_kept() -> None:
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromMilliseconds(2500)

    full = from_rpc(rpc_error(grpc.StatusCode.RESOURCE_EXHAUSTED, "no room", retry))

    assert full.retry_after_s == 2.5
    assert from_rpc(rpc_error(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")).retry_after_s == 0


def test_details_that_cannot_be_read_leave_the_words() -> None:
    broken = rpc_error(grpc.StatusCode.NOT_FOUND, "no such camera", raw=b"\xff\xff")

    assert from_rpc(broken).what == "no such camera"


def test_a_transport_failure_without_words_gets_some() -> None:
    bare = grpc.aio.AioRpcError(
        grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), "Socket closed"
    )

    error = from_rpc(bare)

    assert "Socket closed" not in error.what
    assert error.hint == "cordon doctor"


def test_an_error_is_printed_as_what_why_and_hint(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(ClientError("It broke.", why="It fell.", hint="cordon doctor"))

    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "error: It broke.\nwhy: It fell.\nhint: cordon doctor\n"


def test_a_traceback_is_for_debug_only(capsys: pytest.CaptureFixture[str]) -> None:
    fault = ZeroDivisionError("secret 4711")

    print_error(fault)
    plain = capsys.readouterr().err
    print_error(fault, debug=True)
    debugged = capsys.readouterr().err

    assert "ZeroDivisionError" in plain
    assert "4711" not in plain
    assert "4711" in debugged


def test_a_file_that_cannot_be_opened_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(PermissionError(13, "Permission denied", "/srv/report.csv"))

    assert capsys.readouterr().err == "error: /srv/report.csv: Permission denied.\n"
