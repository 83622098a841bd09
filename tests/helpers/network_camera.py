"""A network camera over real sockets: HTTP MJPEG, RTSP (JPEG in RTP, interleaved), and faults."""

from __future__ import annotations

import base64
import hashlib
import re
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from threading import Event, Thread

USER, PASSWORD = "viewer", "p@ss:w/rd %41"
_REALM, _NONCE = "camera", "0a1b2c"


@dataclass
class Behaviour:
    """How the camera answers."""

    path: str = "/live"
    authentication: str = ""
    """"Basic", "Digest", or what is not supported."""
    silent: bool = False
    """It takes connections and never answers."""
    greeting: bytes = b""
    """It answers with these bytes instead of its protocol."""
    status: int = 0
    """It answers every request for the stream with this."""
    content_type: str = "multipart/x-mixed-replace; boundary=frame"
    sdp_video: str = "m=video 0 RTP/AVP 26\r\na=control:track1\r\n"
    pictures: Callable[[int], bytes] | None = None
    """The JPEG of each number, or what else `packets` takes; without it the stream opens and stays
    silent."""
    packets: Callable[[bytes, int, Iterator[int]], Iterator[bytes]] | None = None
    """A picture, its time in 1/90000 s and the packets' numbers to RTP; absent for JPEG's way."""
    pictures_max: int = 1_000_000
    """Then the camera closes the connection."""
    requests: list[str] = field(default_factory=list)
    """First lines and Authorization headers that came."""


@contextmanager
def network_camera(protocol: str, behaviour: Behaviour) -> Iterator[int]:
    """A camera on 127.0.0.1 for the block; gives its port. `protocol` is "http" or "rtsp"."""
    serve = {"http": _serve_http, "rtsp": _serve_rtsp}[protocol]
    stop = Event()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)
    threads: list[Thread] = []

    def accept() -> None:
        while not stop.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            thread = Thread(target=_guarded, args=(serve, connection, behaviour, stop))
            threads.append(thread)
            thread.start()

    accepting = Thread(target=accept)
    accepting.start()
    try:
        yield listener.getsockname()[1]
    finally:
        stop.set()
        accepting.join()
        for thread in threads:
            thread.join()
        listener.close()


def closed_port() -> int:
    """A port on 127.0.0.1 at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


Serve = Callable[[socket.socket, Behaviour, Event], None]


def _guarded(serve: Serve, connection: socket.socket, behaviour: Behaviour, stop: Event) -> None:
    with connection:
        connection.settimeout(0.05)
        try:
            if behaviour.silent:
                stop.wait()
            elif behaviour.greeting:
                connection.sendall(behaviour.greeting)
            else:
                serve(connection, behaviour, stop)
        except OSError:
            return  # the client left


def _read_head(connection: socket.socket, stop: Event) -> str:
    data = b""
    while b"\r\n\r\n" not in data and not stop.is_set():
        try:
            chunk = connection.recv(4096)
        except TimeoutError:
            continue
        if not chunk:
            raise ConnectionResetError
        data += chunk
    return data.decode("latin-1")


def _header(head: str, name: str) -> str:
    found = re.search(rf"^{name}: *(.*?)\r$", head, re.IGNORECASE | re.MULTILINE)
    return found[1] if found else ""


def _note(behaviour: Behaviour, head: str) -> None:
    behaviour.requests.append(f"{head.splitlines()[0]} {_header(head, 'Authorization')}")


def _challenge(behaviour: Behaviour, head: str) -> str:
    """The WWW-Authenticate header to send; empty where the request may pass."""
    kind = behaviour.authentication
    given = _header(head, "Authorization")
    method, target = head.split()[:2]
    if not kind:
        return ""
    if kind == "Basic":
        wanted = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        return "" if given == f"Basic {wanted}" else f'Basic realm="{_REALM}"'
    if kind == "Digest":
        parts = dict(re.findall(r'(\w+)="([^"]*)"', given))
        secret = _md5(f"{USER}:{_REALM}:{PASSWORD}")
        request = _md5(f"{method}:{parts.get('uri', target)}")
        wanted = _md5(f"{secret}:{_NONCE}:{request}")
        passes = parts.get("response") == wanted and parts.get("username") == USER
        return "" if passes else f'Digest realm="{_REALM}", nonce="{_NONCE}"'
    return kind


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def _serve_http(connection: socket.socket, behaviour: Behaviour, stop: Event) -> None:
    head = _read_head(connection, stop)
    _note(behaviour, head)
    challenge = _challenge(behaviour, head)
    status = behaviour.status or (200 if head.split()[1] == behaviour.path else 404)
    if challenge:
        status = 401
    answer = f"HTTP/1.1 {status} X\r\nConnection: close\r\n"
    if challenge:
        answer += f"WWW-Authenticate: {challenge}\r\n"
    if status != 200:
        connection.sendall(f"{answer}Content-Length: 0\r\n\r\n".encode())
        return
    connection.sendall(f"{answer}Content-Type: {behaviour.content_type}\r\n\r\n".encode())
    if behaviour.pictures is None:
        stop.wait()
        return
    for number in range(behaviour.pictures_max):
        if stop.wait(0.02):
            return
        jpeg = behaviour.pictures(number)
        part = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
        _send_all(connection, part.encode() + jpeg + b"\r\n", stop)


def _serve_rtsp(connection: socket.socket, behaviour: Behaviour, stop: Event) -> None:
    while not stop.is_set():
        head = _read_head(connection, stop)
        if stop.is_set():
            return
        _note(behaviour, head)
        method, target = head.split()[:2]
        sequence = _header(head, "CSeq")
        connection.sendall(_rtsp_answer(behaviour, head, method, target, sequence))
        if method == "PLAY":
            _play(connection, behaviour, stop)
            return


def _rtsp_answer(behaviour: Behaviour, head: str, method: str, target: str, sequence: str) -> bytes:
    start = f"CSeq: {sequence}\r\n"
    if method == "OPTIONS":
        return f"RTSP/1.0 200 OK\r\n{start}Public: DESCRIBE, SETUP, PLAY\r\n\r\n".encode()
    challenge = _challenge(behaviour, head)
    if challenge:
        return f"RTSP/1.0 401 X\r\n{start}WWW-Authenticate: {challenge}\r\n\r\n".encode()
    path = "/" + target.split("/", 3)[3]
    if behaviour.status or not path.startswith(behaviour.path):
        return f"RTSP/1.0 {behaviour.status or 404} X\r\n{start}\r\n".encode()
    if method == "DESCRIBE":
        sdp = f"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\n{behaviour.sdp_video}"
        head = f"Content-Type: application/sdp\r\nContent-Base: {target}/\r\n"
        return f"RTSP/1.0 200 OK\r\n{start}{head}Content-Length: {len(sdp)}\r\n\r\n{sdp}".encode()
    if method == "SETUP":
        transport = "RTP/AVP/TCP;unicast;interleaved=0-1"
        return f"RTSP/1.0 200 OK\r\n{start}Session: 1\r\nTransport: {transport}\r\n\r\n".encode()
    return f"RTSP/1.0 200 OK\r\n{start}Session: 1\r\n\r\n".encode()


def _play(connection: socket.socket, behaviour: Behaviour, stop: Event) -> None:
    if behaviour.pictures is None:
        stop.wait()
        return
    numbers = count(1)
    packets = behaviour.packets or _rtp_jpeg
    for index in range(behaviour.pictures_max):
        if stop.wait(0.02):
            return
        for packet in packets(behaviour.pictures(index), index * 1800, numbers):
            _send_all(connection, b"$\0" + struct.pack(">H", len(packet)) + packet, stop)


def _send_all(connection: socket.socket, data: bytes, stop: Event) -> None:
    """sendall that gives up when the test is over."""
    view = memoryview(data)
    while view and not stop.is_set():
        try:
            view = view[connection.send(view) :]
        except TimeoutError:
            continue


def _rtp_jpeg(jpeg: bytes, timestamp: int, numbers: Iterator[int]) -> Iterator[bytes]:
    """RFC 2435: the scan in fragments, the first with the quantisation tables (Q = 255)."""
    tables, (width, height), scan = _parts(jpeg)
    for offset in range(0, len(scan), 1200):
        fragment = scan[offset : offset + 1200]
        last = offset + 1200 >= len(scan)
        head = struct.pack(">BBHII", 0x80, 26 | last << 7, next(numbers) & 0xFFFF, timestamp, 7)
        head += bytes([0, *offset.to_bytes(3, "big"), 1, 255, width // 8, height // 8])
        if offset == 0:
            head += struct.pack(">BBH", 0, 0, len(tables)) + tables
        yield head + fragment


def _parts(jpeg: bytes) -> tuple[bytes, tuple[int, int], bytes]:
    tables, size, at = b"", (0, 0), 2
    while True:
        marker, length = jpeg[at + 1], int.from_bytes(jpeg[at + 2 : at + 4], "big")
        body = jpeg[at + 4 : at + 2 + length]
        at += 2 + length
        if marker == 0xDB:
            while body:
                tables, body = tables + body[1:65], body[65:]
        elif marker == 0xC0:
            size = int.from_bytes(body[3:5], "big"), int.from_bytes(body[1:3], "big")
        elif marker == 0xDA:
            return tables, size, jpeg[at:-2]
