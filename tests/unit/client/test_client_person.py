"""What a person does for his calls: against a server that wants it done."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from cordon.v1 import camera_pb2, camera_pb2_grpc, identity_pb2, identity_pb2_grpc
from cordon_client import passwords
from cordon_client.channel import call, connected
from cordon_client.errors import ClientError, ExitCode
from cordon_client.identity import ClientIdentity, write_private
from cordon_client.session import Session, load_session, save_session
from tests.helpers.pki import Authority

PASSWORD = "right"


@dataclass
class Desk(identity_pb2_grpc.IdentityServiceServicer, camera_pb2_grpc.CameraServiceServicer):
    """Gives out the tokens t1, t2, …; `reason` is what it has against a call with a token."""

    good: set[str] = field(default_factory=set)
    reason: str = "TOKEN_EXPIRED"
    heard: list[str] = field(default_factory=list)
    renews: bool = True

    def token(self) -> identity_pb2.Token:
        self.good = {f"t{len(self.heard)}"}
        token = identity_pb2.Token(token=next(iter(self.good)), session_id="s")
        token.expire_time.FromDatetime(datetime.now(UTC) + timedelta(minutes=10))
        token.session_expire_time.FromDatetime(datetime.now(UTC) + timedelta(hours=10))
        return token

    async def SignIn(self, request: Any, context: Any) -> identity_pb2.SignInResponse:  # noqa: N802
        self.heard.append(f"sign-in {request.name}")
        await self._check(request.password, context)
        user = identity_pb2.User(name=request.name)
        return identity_pb2.SignInResponse(token=self.token(), user=user)

    async def StepUp(self, request: Any, context: Any) -> identity_pb2.StepUpResponse:  # noqa: N802
        self.heard.append("step-up")
        await self._check(request.password, context)
        return identity_pb2.StepUpResponse(token=self.token())

    async def RenewToken(self, request: Any, context: Any) -> identity_pb2.RenewTokenResponse:  # noqa: N802
        self.heard.append("renew")
        if not self.renews:
            await refuse(context, grpc.StatusCode.UNAUTHENTICATED, "SESSION_EXPIRED")
        return identity_pb2.RenewTokenResponse(token=self.token())

    async def ListCameras(self, request: Any, context: Any) -> camera_pb2.ListCamerasResponse:  # noqa: N802
        shown = dict(context.invocation_metadata()).get("authorization", "")
        self.heard.append(f"call {shown}")
        if shown.removeprefix("Bearer ") not in self.good:
            denied = self.reason == "STEP_UP_NEEDED"
            code = grpc.StatusCode.PERMISSION_DENIED if denied else grpc.StatusCode.UNAUTHENTICATED
            await refuse(context, code, self.reason)
        return camera_pb2.ListCamerasResponse()

    async def _check(self, password: str, context: Any) -> None:
        if password != PASSWORD:
            await refuse(context, grpc.StatusCode.UNAUTHENTICATED, "WRONG_PASSWORD")


async def refuse(context: Any, code: grpc.StatusCode, reason: str) -> None:
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.ErrorInfo(reason=reason, domain="cordon"))
    status = status_pb2.Status(code=code.value[0], message=reason, details=[detail])
    trailing = (("grpc-status-details-bin", status.SerializeToString()),)
    await context.abort(code, reason, trailing)


@asynccontextmanager
async def at_desk(folder: Path) -> AsyncIterator[tuple[Desk, ClientIdentity]]:
    """A server, and a workstation of its site at which anna has the token "old"."""
    authority, desk = Authority(), Desk()  # type: ignore[abstract]  # the methods that it lacks are not called
    server = grpc.aio.server()
    identity_pb2_grpc.add_IdentityServiceServicer_to_server(desk, server)
    camera_pb2_grpc.add_CameraServiceServicer_to_server(desk, server)
    port = server.add_secure_port("127.0.0.1:0", authority.server_credentials())
    await server.start()
    identity = authority.client(folder / "id", f"127.0.0.1:{port}")
    save(identity, timedelta(minutes=9))
    try:
        yield desk, identity
    finally:
        await server.stop(None)


def save(identity: ClientIdentity, left: timedelta) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    session = Session("users/anna", "s", "old", datetime.now(UTC) + left, later)
    save_session(identity.folder, session)


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A script's password file."""
    write_private(tmp_path / "password", PASSWORD.encode())
    monkeypatch.setenv(passwords.VARIABLE, str(tmp_path / "password"))
    return tmp_path / "password"


async def ask(identity: ClientIdentity) -> None:
    async with connected(identity) as channel:
        method = camera_pb2_grpc.CameraServiceStub(channel).ListCameras
        await call(method, camera_pb2.ListCamerasRequest(), timeout_s=5)


async def test_every_call_carries_the_token(tmp_path: Path) -> None:
    async with at_desk(tmp_path) as (desk, identity):
        desk.good = {"old"}

        await ask(identity)

    assert desk.heard == ["call Bearer old"]


async def test_a_token_with_little_left_is_renewed_before_the_call(tmp_path: Path) -> None:
    async with at_desk(tmp_path) as (desk, identity):
        save(identity, timedelta(seconds=100))

        await ask(identity)

    assert desk.heard == ["renew", "call Bearer t1"]


async def test_a_refused_token_is_renewed_and_the_call_repeated(tmp_path: Path) -> None:
    async with at_desk(tmp_path) as (desk, identity):
        await ask(identity)

    assert desk.heard == ["call Bearer old", "renew", "call Bearer t2"]


async def test_a_script_whose_session_is_over_signs_in_again(tmp_path: Path, script: Path) -> None:
    async with at_desk(tmp_path) as (desk, identity):
        desk.renews = False

        await ask(identity)

    assert desk.heard == ["call Bearer old", "renew", "sign-in users/anna", "call Bearer t3"]


async def test_a_fresh_password_is_given_where_it_is_wanted(tmp_path: Path, script: Path) -> None:
    async with at_desk(tmp_path) as (desk, identity):
        desk.reason = "STEP_UP_NEEDED"

        await ask(identity)

    assert desk.heard == ["call Bearer old", "step-up", "call Bearer t2"]


async def test_at_a_terminal_the_person_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        return PASSWORD

    monkeypatch.delenv(passwords.VARIABLE, raising=False)
    monkeypatch.setattr(passwords, "can_ask", lambda: True)
    monkeypatch.setattr(passwords, "ask", answer)
    async with at_desk(tmp_path) as (desk, identity):
        desk.reason = "STEP_UP_NEEDED"

        await ask(identity)

    assert asked == ["This needs the password of anna again"]


async def test_a_wrong_password_is_told_and_not_tried_twice(tmp_path: Path, script: Path) -> None:
    write_private(script, b"wrong")
    async with at_desk(tmp_path) as (desk, identity):
        desk.reason = "STEP_UP_NEEDED"

        with pytest.raises(ClientError) as refused:
            await ask(identity)

    assert refused.value.what == "WRONG_PASSWORD"
    assert desk.heard == ["call Bearer old", "step-up"]


async def test_what_is_wanted_twice_is_refused(tmp_path: Path, script: Path) -> None:
    async with at_desk(tmp_path) as (desk, identity):
        desk.token = identity_pb2.Token  # type: ignore[method-assign]  # Tokens that are good for nothing.

        with pytest.raises(ClientError) as refused:
            await ask(identity)

    assert refused.value.exit_code is ExitCode.SIGN_IN
    assert refused.value.hint == f"cordon admin sign-in --identity {identity.folder}"
    assert desk.heard == ["call Bearer old", "renew", "call "]


async def test_without_a_person_to_ask_the_refusal_says_how_to_sign_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(passwords.VARIABLE, raising=False)
    async with at_desk(tmp_path) as (desk, identity):
        desk.renews = False

        with pytest.raises(ClientError) as refused:
            await ask(identity)

        assert load_session(identity.folder) is not None
    assert refused.value.hint == f"cordon admin sign-in --identity {identity.folder}"
