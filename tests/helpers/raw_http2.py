"""HTTP/2 by hand, for what no gRPC client would send: any path, any headers, and the answer."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import h2.config
import h2.connection
import h2.events

Headers = list[tuple[str, str]]
EMPTY_MESSAGE = b"\0\0\0\0\0"
"""As gRPC frames it: not compressed, no bytes."""
WAIT_S = 20.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request came to: headers and trailers, or how the stream or connection was cut."""

    headers: dict[str, str]
    data: bytes
    cut: str = ""

    @property
    def grpc_status(self) -> str:
        """The gRPC status as its number; empty where there is none."""
        return self.headers.get("grpc-status", "")


class RawClient:
    """One TLS connection that speaks HTTP/2 and checks nothing of what it is told to send."""

    def __init__(self, raw: ssl.SSLSocket) -> None:
        self._socket = raw
        config = h2.config.H2Configuration(
            client_side=True,
            header_encoding="utf-8",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self._connection = h2.connection.H2Connection(config)
        self._connection.initiate_connection()
        self._flush()

    def call(self, path: str | None, *, more: Headers | None = None) -> Answer:
        """A gRPC call with an empty message to a path; None leaves the path out."""
        stream = self._connection.get_next_available_stream_id()
        headers = [(":method", "POST"), (":scheme", "https")]
        headers += [(":path", path)] if path is not None else []
        headers += [
            (":authority", "localhost"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            *(more or []),
        ]
        self._connection.send_headers(stream, headers)
        self._connection.send_data(stream, EMPTY_MESSAGE, end_stream=True)
        self._flush()
        return self._answer(stream)

    def _answer(self, stream: int) -> Answer:
        headers: dict[str, str] = {}
        data = b""
        for event in self._events():
            match event:
                case h2.events.ResponseReceived() | h2.events.TrailersReceived():
                    headers |= {str(name): str(value) for name, value in event.headers or ()}
                case h2.events.DataReceived():
                    data += event.data or b""
                case h2.events.StreamEnded() if event.stream_id == stream:
                    return Answer(headers, data)
                case h2.events.StreamReset() if event.stream_id == stream:
                    return Answer(headers, data, f"reset {event.error_code}")
                case h2.events.ConnectionTerminated():
                    return Answer(headers, data, f"goaway {event.error_code}")
        return Answer(headers, data, "closed")

    def _events(self) -> Iterator[h2.events.Event]:
        while received := self._receive():
            events = self._connection.receive_data(received)
            self._flush()
            yield from events

    def _receive(self) -> bytes:
        try:
            return self._socket.recv(65536)
        except ConnectionError:
            return b""

    def _flush(self) -> None:
        try:
            self._socket.sendall(self._connection.data_to_send())
        except ConnectionError:
            return  # what it sent before it hung up is still to be read


@contextmanager
def raw_client(port: int, context: ssl.SSLContext) -> Iterator[RawClient]:
    """A client of the server on loopback."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=WAIT_S) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as wrapped,
    ):
        yield RawClient(wrapped)
