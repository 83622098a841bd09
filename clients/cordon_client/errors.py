"""What a client can fail with, in words and exit codes; the only printer of errors.

It knows gRPC's statuses, not what any command does.
"""

from __future__ import annotations

import os
import sys
import traceback
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import grpc
    from google.rpc.status_pb2 import Status

    from cordon_client.identity import ClientIdentity


class ExitCode(IntEnum):
    """What the process returns; the same for every command."""

    OK = 0
    FAILED = 1
    USAGE = 2
    PARTLY = 3
    SIGN_IN = 4
    NOT_PERMITTED = 5
    NOT_FOUND = 6
    CONFLICT = 7
    UNAVAILABLE = 8


class Reason(StrEnum):
    """The server's codes for what a person can mend on the spot."""

    SIGN_IN_NEEDED = "SIGN_IN_NEEDED"
    SESSION_OVER = "SESSION_OVER"
    SESSION_EXPIRED = "SESSION_EXPIRED"
    STEP_UP_NEEDED = "STEP_UP_NEEDED"
    PASSWORD_CHANGE_NEEDED = "PASSWORD_CHANGE_NEEDED"


class ClientError(Exception):
    """Something went wrong that a person can mend.

    `what` is a sentence, `why` another, `hint` a command that runs. `reason` is the server's code
    for it and `retry_after_s` how long it asks to wait, where the server gave them.
    """

    def __init__(
        self,
        what: str,
        why: str = "",
        hint: str = "",
        exit_code: ExitCode = ExitCode.FAILED,
        reason: str = "",
        retry_after_s: float = 0.0,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.hint = hint
        self.exit_code = exit_code
        self.reason = reason
        self.retry_after_s = retry_after_s


_EXIT_CODES = {
    "UNAUTHENTICATED": ExitCode.SIGN_IN,
    "PERMISSION_DENIED": ExitCode.NOT_PERMITTED,
    "NOT_FOUND": ExitCode.NOT_FOUND,
    "ALREADY_EXISTS": ExitCode.CONFLICT,
    "FAILED_PRECONDITION": ExitCode.CONFLICT,
    "ABORTED": ExitCode.CONFLICT,
    "UNAVAILABLE": ExitCode.UNAVAILABLE,
    "DEADLINE_EXCEEDED": ExitCode.UNAVAILABLE,
}
"""Every other status is FAILED."""

_TRANSPORT = ("UNAVAILABLE", "DEADLINE_EXCEEDED")
"""Statuses that the client's own transport makes up when the server said nothing."""


def from_rpc(error: grpc.aio.AioRpcError, identity: ClientIdentity | None = None) -> ClientError:
    """The error in a person's words.

    With an identity, a broken connection is looked into (seconds, blocking): is the server there,
    is its certificate ours, is our own still good.
    """
    status = error.code().name
    told = rich_status(error)
    if told is None and (status in _TRANSPORT or is_masked(error)):
        return _no_answer(error, identity)
    return ClientError(
        error.details() or f"The server answered {status} without a word.",
        why=_why(told, status, identity),
        hint=_hint(status, _reason(told), identity),
        exit_code=_EXIT_CODES.get(status, ExitCode.FAILED),
        reason=_reason(told),
        retry_after_s=_retry_after_s(told),
    )


def is_masked(error: grpc.aio.AioRpcError) -> bool:
    """Whether a failed write hides why the stream ended (grpc/grpc#36066).

    It counts as a lost connection: the one on which the server has refused looks the same, but a
    server that refused will say so again.
    """
    return error.code().name == "INTERNAL" and error.details() == "Internal error from Core"


def rich_status(error: grpc.aio.AioRpcError) -> Status | None:
    """The google.rpc.Status that came with the error, if one did."""
    from google.protobuf.message import DecodeError
    from google.rpc.status_pb2 import Status

    metadata = error.trailing_metadata()
    if not metadata:
        return None
    for key, value in metadata:
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            try:
                return Status.FromString(value)
            except DecodeError:
                return None
    return None


def wants_sign_in(reason: str) -> bool:
    """Whether a server's code says that its caller has to sign in, again or at all."""
    signs = (Reason.SIGN_IN_NEEDED, Reason.SESSION_OVER, Reason.SESSION_EXPIRED)
    return reason in signs or reason.startswith("TOKEN_")


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """The server's code for the error; empty where it gave none."""
    return _reason(rich_status(error))


def print_error(error: BaseException, *, debug: bool = False) -> None:
    """Says on standard error what went wrong, why, and what to run next."""
    if debug:
        traceback.print_exception(error)
    if isinstance(error, ClientError):
        _say("error", error.what)
        _say("why", error.why)
        _say("hint", error.hint)
    elif isinstance(error, OSError) and error.filename:
        _say("error", f"{error.filename}: {error.strerror}.")
    else:
        _say("error", f"Unexpected {type(error).__name__}. This is a fault in cordon itself.")
        _say("hint", "cordon --debug … (the same command again, with a traceback)")


def _say(label: str, text: str) -> None:
    if not text:
        return
    head = f"{label}:"
    if sys.stderr.isatty() and "NO_COLOR" not in os.environ:
        head = f"\x1b[{31 if label == 'error' else 2}m{head}\x1b[0m"
    print(f"{head} {text}", file=sys.stderr)


def _no_answer(error: grpc.aio.AioRpcError, identity: ClientIdentity | None) -> ClientError:
    if identity is not None:
        from cordon_client.probe import diagnose

        found = diagnose(identity)
        if found is not None:
            return found
    server = identity.server if identity else "the server"
    late = error.code().name == "DEADLINE_EXCEEDED"
    return ClientError(
        f"{server} did not answer in time." if late else f"The connection to {server} broke.",
        why="The server is busy." if late else "The server may be restarting.",
        hint=_doctor(identity),
        exit_code=ExitCode.UNAVAILABLE,
    )


def _why(told: Status | None, status: str, identity: ClientIdentity | None) -> str:
    violations = _violations(told) if told else []
    if violations:
        return " ".join(violations)
    if status == "PERMISSION_DENIED" and identity is not None:
        return f"You are {identity.spiffe_id}."
    return ""


def _violations(told: Status) -> list[str]:
    from google.rpc.error_details_pb2 import BadRequest, PreconditionFailure

    lines: list[str] = []
    for detail in told.details:
        if detail.Is(BadRequest.DESCRIPTOR):
            request = BadRequest()
            detail.Unpack(request)
            lines += [f"{v.field}: {v.description}" for v in request.field_violations]
        elif detail.Is(PreconditionFailure.DESCRIPTOR):
            failure = PreconditionFailure()
            detail.Unpack(failure)
            lines += [f"{v.subject}: {v.description}" for v in failure.violations]
    return [line for line in lines if line.partition(": ")[2] not in told.message]


def _reason(told: Status | None) -> str:
    from google.rpc.error_details_pb2 import ErrorInfo

    for detail in told.details if told else ():
        if detail.Is(ErrorInfo.DESCRIPTOR):
            info = ErrorInfo()
            detail.Unpack(info)
            return str(info.reason)
    return ""


def _retry_after_s(told: Status | None) -> float:
    from google.rpc.error_details_pb2 import RetryInfo

    for detail in told.details if told else ():
        if detail.Is(RetryInfo.DESCRIPTOR):
            info = RetryInfo()
            detail.Unpack(info)
            return max(0.0, float(info.retry_delay.ToMilliseconds() / 1000))
    return 0.0


def _hint(status: str, reason: str, identity: ClientIdentity | None) -> str:
    if wants_sign_in(reason):
        return sign_in_command(identity)
    match status, reason:
        case _, Reason.STEP_UP_NEEDED:
            return _at_workstation("step-up", identity)
        case "UNAUTHENTICATED", _ if reason.startswith("CERTIFICATE"):
            return enrol_command(identity)
        case "UNAUTHENTICATED", _:
            return _doctor(identity)
        case "PERMISSION_DENIED", _:
            is_camera = identity is not None and identity.role == "camera"
            return _doctor(identity) if is_camera else _at_workstation("whoami", identity)
    return ""


def sign_in_command(identity: ClientIdentity | None) -> str:
    """What to type in order to sign in at this workstation."""
    return _at_workstation("sign-in", identity)


def enrol_command(identity: ClientIdentity | None) -> str:
    """What to type on this machine for another certificate, once an administrator gave a token."""
    if identity is None:
        return "cordon camera enrol TOKEN SERVER"
    role, name, folder = identity.role, identity.name, identity.folder
    return (
        f"cordon {role} enrol TOKEN {identity.server} --out {folder} --force "
        f"(TOKEN by an administrator: cordon admin cert token {role}/{name})"
    )


def _at_workstation(command: str, identity: ClientIdentity | None) -> str:
    if identity is None:
        return f"cordon admin {command}"
    return f"cordon {identity.role} {command} --identity {identity.folder}"


def _doctor(identity: ClientIdentity | None) -> str:
    return f"cordon doctor --identity {identity.folder}" if identity else "cordon doctor"
