from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest
import typer

from cordon_client.cli import default_folder, identity_for, run
from cordon_client.errors import ClientError, ExitCode
from tests.helpers.pki import Authority


async def fails(error: BaseException) -> None:
    raise error


def not_found() -> grpc.aio.AioRpcError:
    empty = grpc.aio.Metadata()
    return grpc.aio.AioRpcError(grpc.StatusCode.NOT_FOUND, empty, empty, "no such camera")


def code_of(error: BaseException) -> int:
    with pytest.raises(typer.Exit) as left:
        run(fails(error))
    return left.value.exit_code


@pytest.mark.parametrize(
    ("error", "code", "printed"),
    [
        (ClientError("Gone.", exit_code=ExitCode.NOT_FOUND), 6, "error: Gone.\n"),
        (not_found(), 6, "error: no such camera\n"),
        (ExceptionGroup("tasks", [not_found()]), 6, "error: no such camera\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
    ids=["client", "rpc", "group", "interrupt"],
)
def test_an_error_is_printed_once_and_leaves_with_its_code(
    error: BaseException, code: int, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of(error) == code
    assert capsys.readouterr().err == printed


def test_a_fault_of_ours_is_not_dressed_up() -> None:
    with pytest.raises(ZeroDivisionError):
        run(fails(ZeroDivisionError()))


def test_a_command_leaves_with_the_code_it_returns() -> None:
    async def partly() -> ExitCode:
        return ExitCode.PARTLY

    async def well() -> ExitCode:
        return ExitCode.OK

    with pytest.raises(typer.Exit) as left:
        run(partly())
    run(well())

    assert left.value.exit_code == 3


def test_another_server_takes_the_place_of_the_identitys(tmp_path: Path) -> None:
    Authority().client(tmp_path / "id", "localhost:8443")

    assert identity_for("admin", tmp_path / "id").server == "localhost:8443"
    assert identity_for("admin", tmp_path / "id", "other:1").server == "other:1"


def test_each_role_has_its_own_default_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    Authority().client(tmp_path / "cordon" / "control", "localhost:8443", role="control")

    assert default_folder("control") == tmp_path / "cordon" / "control"
    assert identity_for("control", None).role == "control"
    with pytest.raises(ClientError) as nobody:
        identity_for("admin", None)
    assert nobody.value.exit_code is ExitCode.SIGN_IN


async def test_a_call_is_repeated_while_the_server_is_unavailable_and_only_then() -> None:
    from cordon_client.channel import call

    empty = grpc.aio.Metadata()
    busy = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, empty, empty, "busy")
    answers: list[Exception | str] = [busy, busy, "done", not_found()]
    asked: list[str] = []

    async def method(request: str, timeout: float, metadata: object) -> str:  # noqa: ASYNC109 - grpc's own signature
        asked.append(request)
        await asyncio.sleep(0)
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert await call(method, "same request") == "done"  # type: ignore[arg-type]  # a stand-in
    with pytest.raises(grpc.aio.AioRpcError, match="no such camera"):
        await call(method, "another")  # type: ignore[arg-type]

    assert asked == ["same request"] * 3 + ["another"]
