"""A gRPC client on grpclib (its HTTP/2 is h2): python client.py SERVER IDENTITY_FOLDER METHOD

Requests come as JSON lines on standard input, which ends the sending side when it closes; answers
leave as JSON lines on standard output. An error is one JSON line on standard error.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from google.protobuf import descriptor_pool, json_format, message_factory
from grpclib.client import Channel, Stream
from grpclib.const import Cardinality
from grpclib.exceptions import GRPCError

from cordon.v1 import (  # noqa: F401 - importing them makes their methods known by name
    camera_pb2,
    deployment_pb2,
    match_pb2,
    recognition_pb2,
    watchlist_pb2,
)

if TYPE_CHECKING:
    from google.protobuf.message import Message

CARDINALITIES = {(c.client_streaming, c.server_streaming): c for c in Cardinality}
LINE_BYTES_MAX = 1 << 24


def tls(identity: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=identity / "ca.pem")
    context.load_cert_chain(identity / "cert.pem", identity / "key.pem")
    context.set_alpn_protocols(["h2"])
    return context


def token() -> dict[str, str]:
    """Of whoever is signed in, as metadata."""
    found = os.environ.get("CORDON_TOKEN")
    return {"authorization": f"Bearer {found}"} if found else {}


async def say_lines(stream: Stream[Message, Message], request_type: type[Message]) -> None:
    lines = asyncio.StreamReader(LINE_BYTES_MAX)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    async for line in lines:
        await stream.send_message(json_format.Parse(line, request_type()))
    await stream.end()


async def hear_lines(stream: Stream[Message, Message]) -> None:
    async for answer in stream:
        print(json.dumps(json_format.MessageToDict(answer)), flush=True)
    await stream.recv_trailing_metadata()


async def main(server: str, identity: str, method: str) -> int:
    found = descriptor_pool.Default().FindMethodByName(method.replace("/", "."))
    request_type = message_factory.GetMessageClass(found.input_type)
    answer_type = message_factory.GetMessageClass(found.output_type)
    cardinality = CARDINALITIES[found.client_streaming, found.server_streaming]
    host, port = server.rsplit(":", 1)
    exit_code = 0
    try:
        async with (
            Channel(host, int(port), ssl=tls(Path(identity))) as channel,
            channel.request(
                f"/{method}", cardinality, request_type, answer_type, metadata=token()
            ) as stream,
            asyncio.TaskGroup() as group,
        ):
            await stream.send_request()
            saying = group.create_task(say_lines(stream, request_type))
            await hear_lines(stream)
            saying.cancel()
    except* GRPCError as group_of_one:
        (error,) = group_of_one.exceptions
        assert isinstance(error, GRPCError)
        print(json.dumps({"code": error.status.name, "message": error.message}), file=sys.stderr)
        exit_code = 1
    return exit_code


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
