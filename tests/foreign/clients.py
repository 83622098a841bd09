"""gRPC stacks that are not ours, each behind a program that speaks JSON; none of them uses grpcio.

Requests and answers are protobuf's JSON form.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cordon_client.session import load_session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
TLS = ("--cacert", "ca.pem", "--cert", "cert.pem", "--key", "key.pem")
BUF_CURL = (str(Path(sys.executable).with_name("buf")), "curl", "--protocol", "grpc", *TLS)
"""Run in an identity's folder."""
TIMEOUT_S = 20.0
"""For any one answer; a hung peer fails its test instead of hanging it."""

Json = dict[str, Any]


class CallError(Exception):
    """The server's answer was an error; `code` is gRPC's name for it, "NOT_FOUND"."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class ForeignClient:
    """A program that makes one call; "{server}" and "{method}" stand for themselves.

    It runs in the identity's folder, with the token of whoever is signed in there in CORDON_TOKEN.
    """

    name: str
    command: tuple[str, ...]
    token_options: tuple[str, ...] = ()
    """For a program that does not look there; "{token}" stands for it."""

    @asynccontextmanager
    async def open(self, server: str, identity: Path, method: str) -> AsyncIterator[Conversation]:
        """An open call; `method` is as in "cordon.v1.MatchService/GetMatch"."""
        pipe = asyncio.subprocess.PIPE
        session = load_session(identity)
        token = session.token if session else ""
        command = self.command + (self.token_options if token else ())
        words = [word.format(server=server, method=method, token=token) for word in command]
        environment = os.environ | {"CORDON_TOKEN": token}
        process = await asyncio.create_subprocess_exec(
            *words, cwd=identity, stdin=pipe, stdout=pipe, stderr=pipe, env=environment
        )
        try:
            yield Conversation(process)
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    async def ask(self, server: str, identity: Path, method: str, request: Json) -> Json:
        """The answer to a unary call; raises CallError."""
        async with self.open(server, identity, method) as call:
            await call.say(request)
            call.finish()
            return await call.hear()


class Conversation:
    """JSON values on a program's standard input and output, an error as JSON on standard error."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        self._input, self._output, self._errors = process.stdin, process.stdout, process.stderr
        self._heard = ""

    async def say(self, message: Json) -> None:
        """Sends one message."""
        self._input.write(json.dumps(message).encode() + b"\n")
        await self._input.drain()

    def finish(self) -> None:
        """Says that nothing more follows."""
        self._input.close()

    async def hear(self) -> Json:
        """The next answer; raises CallError."""
        async with asyncio.timeout(TIMEOUT_S):
            while (answer := self._take()) is None:
                read = await self._output.read(65536)
                if not read:
                    raise _refusal(await self._errors.read())
                self._heard += read.decode()
        return answer

    def _take(self) -> Json | None:
        text = self._heard.lstrip()
        try:
            answer, end = json.JSONDecoder().raw_decode(text)
        except json.JSONDecodeError:
            return None
        self._heard = text[end:]
        assert isinstance(answer, dict)
        return answer


def _refusal(errors: bytes) -> CallError:
    try:
        error = json.loads(errors)
    except json.JSONDecodeError as cause:
        raise AssertionError(f"the program ended without an answer: {errors!r}") from cause
    return CallError(error["code"].upper(), error["message"])


GRPCLIB = ForeignClient(
    "grpclib", (sys.executable, str(FOLDER / "client.py"), "{server}", ".", "{method}")
)
BUF = ForeignClient(
    "buf curl",
    (*BUF_CURL, "-d", "@-", "https://{server}/{method}"),
    ("-H", "authorization: Bearer {token}"),
)


def grpc_js(folder: Path) -> ForeignClient:
    """@grpc/grpc-js, installed in a folder; it reads the contract from the .proto files."""
    script = str(folder / "client.mjs")
    protos = str(ROOT / "protos")
    node = ("node", "--no-deprecation", script, "{server}", ".", protos, "{method}")
    return ForeignClient("grpc-js", node)
