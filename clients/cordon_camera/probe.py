"""Asks a network camera, step by step, what stands between us and its stream.

One plain request by hand (RTSP DESCRIBE or HTTP GET): a media library says only that it failed.
Nothing here prints; the password goes to the camera and nowhere else.
"""

from __future__ import annotations

import errno
import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

from cordon_camera.faults import Fault
from cordon_camera.settings import SourceKind, SourceSettings
from cordon_camera.sign_in import authorization, schemes_offered

TIMEOUT_S = 5.0
_HEAD_BYTES_MAX = 64 * 1024
_CODECS = frozenset(
    ("H264", "H265", "HEVC", "JPEG", "MP4V-ES", "MPV", "MP2T", "H263", "H263-1998", "H263-2000",
     "AV1", "VP8", "VP9")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was looked at, and the fault found there, if any."""

    name: str
    fault: Fault | None = None
    detail: str = ""


class _ProbeError(Exception):
    """The step that ends the probe."""

    def __init__(self, name: str, fault: Fault, detail: str = "") -> None:
        super().__init__(name)
        self.step = Step(name, fault, detail)


@dataclass(frozen=True, slots=True)
class _Answer:
    code: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def one(self, name: str) -> str:
        return next(iter(self.all(name)), "")


def first_fault(source: SourceSettings) -> FoundFault | None:
    """The first fault of a network camera; None when it answers as it should."""
    for step in probe(source):
        if step.fault is not None:
            return FoundFault(step.fault, step.detail)
    return None


@dataclass(frozen=True, slots=True)
class FoundFault:
    """A fault with its particulars."""

    fault: Fault
    detail: str


def probe(source: SourceSettings, timeout_s: float = TIMEOUT_S) -> Iterator[Step]:
    """The steps in order, up to and with the first that fails."""
    try:
        addresses = _resolve(source)
        yield Step("host name")
        _reach(source, addresses, timeout_s)
        yield Step("address and port")
        answer = _ask(source, timeout_s)
        yield Step("protocol")
        answer = _sign_in(source, answer, timeout_s)
        yield Step("authentication")
        _check_path(answer)
        yield Step("stream path")
        _check_codec(source, answer)
        yield Step("codec")
    except _ProbeError as stop:
        yield stop.step


def _resolve(source: SourceSettings) -> list[tuple[str, int]]:
    try:
        found = socket.getaddrinfo(source.host, source.effective_port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        raise _ProbeError("host name", Fault.HOST_NAME, source.host) from None
    return [(str(entry[4][0]), source.effective_port) for entry in found]


def _reach(source: SourceSettings, addresses: list[tuple[str, int]], timeout_s: float) -> None:
    refused = False
    for address in addresses:
        try:
            socket.create_connection(address, timeout=timeout_s).close()
        except ConnectionRefusedError:
            refused = True
        except OSError as error:
            # A reset is an answer as well: somebody is there.
            refused = refused or error.errno == errno.ECONNRESET
        else:
            return
    fault = Fault.PORT_CLOSED if refused else Fault.UNREACHABLE
    raise _ProbeError("address and port", fault, f"{source.host}:{source.effective_port}")


def _ask(source: SourceSettings, timeout_s: float, authorization: str = "") -> _Answer:
    try:
        with _connect(source, timeout_s) as stream:
            stream.sendall(_request(source, authorization))
            answer = _read_answer(stream, source)
    except TimeoutError:
        raise _ProbeError("protocol", Fault.SILENT) from None
    except ssl.SSLError:
        raise _ProbeError("protocol", Fault.NOT_THE_PROTOCOL, "no TLS") from None
    except OSError:
        raise _ProbeError("protocol", Fault.SILENT, "it closed the connection") from None
    if answer is None:
        raise _ProbeError("protocol", Fault.NOT_THE_PROTOCOL)
    return answer


def _connect(source: SourceSettings, timeout_s: float) -> socket.socket:
    plain = socket.create_connection((source.host, source.effective_port), timeout=timeout_s)
    if not source.tls:
        return plain
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # as SourceSettings.tls says: cameras sign for themselves
    try:
        return context.wrap_socket(plain, server_hostname=source.host)
    except OSError:
        plain.close()
        raise


def target_of(source: SourceSettings) -> tuple[str, str]:
    """Method and address of the request that opens the stream."""
    path = source.stream_path if source.stream_path.startswith("/") else f"/{source.stream_path}"
    if source.kind is SourceKind.MJPEG:
        return "GET", path
    host = f"[{source.host}]" if ":" in source.host else source.host
    scheme = "rtsps" if source.tls else "rtsp"
    return "DESCRIBE", f"{scheme}://{host}:{source.effective_port}{path}"


def _request(source: SourceSettings, authorization: str) -> bytes:
    method, target = target_of(source)
    if source.kind is SourceKind.MJPEG:
        lines = [f"{method} {target} HTTP/1.1", f"Host: {source.host}", "Connection: close"]
    else:
        lines = [f"{method} {target} RTSP/1.0", "CSeq: 1", "Accept: application/sdp"]
    lines.append("User-Agent: cordon")
    if authorization:
        lines.append(f"Authorization: {authorization}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _read_answer(stream: socket.socket, source: SourceSettings) -> _Answer | None:
    """The head, and of RTSP the body; None where this is no answer of the protocol."""
    data = b""
    while b"\r\n\r\n" not in data and len(data) < _HEAD_BYTES_MAX:
        chunk = stream.recv(4096)
        if not chunk:
            break
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    matched = re.fullmatch(r"(RTSP|HTTP)/\d\.\d (\d{3})\b.*", first)
    if not data:
        raise ConnectionResetError
    if matched is None or (matched[1] == "RTSP") != (source.kind is SourceKind.RTSP):
        return None
    headers = tuple(
        (name.strip().lower(), value.strip()) for name, _, value in (r.partition(":") for r in rest)
    )
    answer = _Answer(int(matched[2]), headers, body)
    if source.kind is SourceKind.RTSP and answer.one("content-length").isdigit():
        answer = _with_body(stream, answer, int(answer.one("content-length")))
    return answer


def _with_body(stream: socket.socket, answer: _Answer, length: int) -> _Answer:
    body = answer.body
    while len(body) < min(length, _HEAD_BYTES_MAX):
        chunk = stream.recv(4096)
        if not chunk:
            break
        body += chunk
    return _Answer(answer.code, answer.headers, body)


def _sign_in(source: SourceSettings, answer: _Answer, timeout_s: float) -> _Answer:
    if answer.code != 401:
        return answer
    challenges = answer.all("www-authenticate")
    if not source.user:
        raise _ProbeError("authentication", Fault.PASSWORD_MISSING, schemes_offered(challenges))
    method, target = target_of(source)
    value = authorization(challenges, source.user, source.password, method, target)
    if value is None:
        offered = schemes_offered(challenges) or "it names none"
        raise _ProbeError("authentication", Fault.AUTHENTICATION_KIND, offered)
    answer = _ask(source, timeout_s, value)
    if answer.code in (401, 403):
        raise _ProbeError("authentication", Fault.PASSWORD_WRONG)
    return answer


_FAULT_OF_CODE = {
    401: ("authentication", Fault.PASSWORD_WRONG),
    403: ("authentication", Fault.PASSWORD_WRONG),
    400: ("stream path", Fault.STREAM_PATH),
    404: ("stream path", Fault.STREAM_PATH),
    410: ("stream path", Fault.STREAM_PATH),
    453: ("stream path", Fault.TOO_MANY_VIEWERS),
    503: ("stream path", Fault.TOO_MANY_VIEWERS),
}


def _check_path(answer: _Answer) -> None:
    if answer.code < 400:
        return
    name, fault = _FAULT_OF_CODE.get(answer.code, ("stream path", Fault.REFUSED))
    raise _ProbeError(name, fault, f"answer {answer.code}")


def _check_codec(source: SourceSettings, answer: _Answer) -> None:
    if answer.code != 200:  # a redirection: opening the stream follows it
        return
    if source.kind is SourceKind.MJPEG:
        _check_content_type(answer.one("content-type"))
        return
    codecs = video_codecs(answer.body.decode("latin-1"))
    if not codecs:
        raise _ProbeError("codec", Fault.CODEC, "the stream has no video")
    if not _CODECS.intersection(codecs):
        raise _ProbeError("codec", Fault.CODEC, ", ".join(codecs))


def _check_content_type(value: str) -> None:
    kind = value.partition(";")[0].strip().lower()
    if kind == "text/html":
        raise _ProbeError("stream path", Fault.STREAM_PATH, "a web page is there, not a stream")
    if kind and not kind.startswith("multipart/"):
        raise _ProbeError("codec", Fault.CODEC, f"{kind}, not multipart MJPEG")


def video_codecs(sdp: str) -> list[str]:
    """The encoding names of an SDP's video parts, upper case."""
    found: list[str] = []
    in_video = False
    for line in sdp.splitlines():
        if line.startswith("m="):
            in_video = line.startswith("m=video")
            if in_video and "26" in line.split()[3:]:
                found.append("JPEG")  # payload type 26 needs no rtpmap
        elif in_video and (matched := re.match(r"a=rtpmap:\d+ ([\w.-]+)/", line)):
            found.append(matched[1].upper())
    return found
