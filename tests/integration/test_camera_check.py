"""`cordon camera check` against real cameras with real faults: one finding each, one next step."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import simplejpeg

from cordon_camera.check import Finding, check_source
from cordon_camera.faults import FAULTS, Fault, SourceError
from cordon_camera.settings import SourceKind, SourceSettings, StreamSettings
from cordon_camera.sources import container, open_source
from cordon_client.errors import ExitCode
from tests.helpers import pictures
from tests.helpers.network_camera import (
    PASSWORD,
    USER,
    Behaviour,
    closed_port,
    network_camera,
)

pytestmark = pytest.mark.slow

PROTOCOLS = {"http": SourceKind.MJPEG, "rtsp": SourceKind.RTSP}
SIGNED_IN = {"user": USER, "password": PASSWORD}


def moving(number: int) -> bytes:
    return pictures.jpeg(pictures.noise(number % 40))


def findings(source: SourceSettings, timeout_s: float = 1.0) -> list[Finding]:
    return list(check_source(source, StreamSettings(), timeout_s))


def network_findings(protocol: str, behaviour: Behaviour, **settings: str) -> list[Finding]:
    with network_camera(protocol, behaviour) as port:
        path = settings.pop("stream_path", "/live")
        return findings(
            SourceSettings(
                PROTOCOLS[protocol],
                host="127.0.0.1",
                port=port,
                stream_path=path,
                user=settings.get("user", ""),
                password=settings.get("password", ""),
            ),
            timeout_s=0.4,
        )


def the_fault(found: list[Finding]) -> Fault:
    """The one fault; it is the last finding, and says what to do."""
    *good, bad = found
    assert all(finding.ok for finding in good)
    assert not bad.ok
    assert bad.next_step == FAULTS[Fault(bad.fault)].next_step
    assert bad.exit_code
    assert "\n" not in bad.next_step
    return Fault(bad.fault)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("authentication", ["", "Basic", "Digest"])
def test_a_good_camera_passes_every_step(protocol: str, authentication: str) -> None:
    signs_in = SIGNED_IN if authentication else {}
    behaviour = Behaviour(authentication=authentication, pictures=moving)

    found = network_findings(protocol, behaviour, **signs_in)

    assert [finding.step for finding in found] == [
        "host name",
        "address and port",
        "protocol",
        "authentication",
        "stream path",
        "codec",
        "picture",
    ]
    assert all(finding.ok for finding in found)
    assert found[-1].detail.startswith("64x48")


NTLM = "NTLM"
SHA_256 = 'Digest realm="x", nonce="y", algorithm=SHA-256'
H999 = "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H999/90000\r\na=control:track1\r\n"
SOUND = "m=audio 0 RTP/AVP 0\r\na=control:track1\r\n"


@pytest.mark.parametrize(
    ("protocol", "behaviour", "settings", "fault"),
    [
        ("http", Behaviour(silent=True), {}, Fault.SILENT),
        ("rtsp", Behaviour(silent=True), {}, Fault.SILENT),
        ("http", Behaviour(greeting=b"SSH-2.0-x\r\n\r\n"), {}, Fault.NOT_THE_PROTOCOL),
        ("rtsp", Behaviour(greeting=b"HTTP/1.1 400 X\r\n\r\n"), {}, Fault.NOT_THE_PROTOCOL),
        ("http", Behaviour(authentication="Basic"), {}, Fault.PASSWORD_MISSING),
        ("rtsp", Behaviour(authentication="Digest"), {}, Fault.PASSWORD_MISSING),
        (
            "http",
            Behaviour(authentication="Basic"),
            {"user": USER, "password": "x"},
            Fault.PASSWORD_WRONG,
        ),
        (
            "rtsp",
            Behaviour(authentication="Digest"),
            {"user": USER, "password": "x"},
            Fault.PASSWORD_WRONG,
        ),
        ("http", Behaviour(authentication=NTLM), SIGNED_IN, Fault.AUTHENTICATION_KIND),
        ("rtsp", Behaviour(authentication=SHA_256), SIGNED_IN, Fault.AUTHENTICATION_KIND),
        ("http", Behaviour(), {"stream_path": "/wrong"}, Fault.STREAM_PATH),
        ("rtsp", Behaviour(), {"stream_path": "/wrong"}, Fault.STREAM_PATH),
        ("http", Behaviour(content_type="text/html"), {}, Fault.STREAM_PATH),
        ("http", Behaviour(content_type="video/mp4"), {}, Fault.CODEC),
        ("rtsp", Behaviour(sdp_video=H999), {}, Fault.CODEC),
        ("rtsp", Behaviour(sdp_video=SOUND), {}, Fault.CODEC),
        ("http", Behaviour(status=503), {}, Fault.TOO_MANY_VIEWERS),
        ("rtsp", Behaviour(status=453), {}, Fault.TOO_MANY_VIEWERS),
        ("http", Behaviour(status=500), {}, Fault.REFUSED),
        ("http", Behaviour(pictures=lambda _: pictures.jpeg(pictures.flat(3))), {}, Fault.BLACK),
        ("rtsp", Behaviour(pictures=lambda _: pictures.jpeg(pictures.noise(1))), {}, Fault.FROZEN),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else "",
)
def test_each_fault_of_a_network_camera_is_named(
    protocol: str, behaviour: Behaviour, settings: dict[str, str], fault: Fault
) -> None:
    assert the_fault(network_findings(protocol, behaviour, **settings)) is fault


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_camera_that_opens_and_sends_nothing_has_no_data(
    protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container, "OPEN_TIMEOUT_S", 1.0)
    monkeypatch.setattr(container, "READ_TIMEOUT_S", 1.0)

    assert the_fault(network_findings(protocol, Behaviour())) is Fault.NO_DATA


def test_a_host_that_nobody_knows_is_named() -> None:
    source = SourceSettings(SourceKind.RTSP, host="no-such-camera.invalid")

    assert the_fault(findings(source)) is Fault.HOST_NAME


def test_a_closed_port_is_named() -> None:
    source = SourceSettings(SourceKind.MJPEG, host="127.0.0.1", port=closed_port())

    assert the_fault(findings(source)) is Fault.PORT_CLOSED


def test_an_address_at_which_nothing_answers_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        # A full backlog drops every further greeting, as a host that is off does.
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        source = SourceSettings(SourceKind.RTSP, host="127.0.0.1", port=address[1])

        fault = the_fault(findings(source, timeout_s=0.4))
        for filler in fillers:
            filler.close()

    assert fault is Fault.UNREACHABLE


def test_a_source_that_runs_names_the_same_fault_as_the_check() -> None:
    behaviour = Behaviour(authentication="Digest")
    with network_camera("rtsp", behaviour) as port:
        source = SourceSettings(
            SourceKind.RTSP,
            host="127.0.0.1",
            port=port,
            stream_path="/live",
            user="u",
            password="hunter2",
        )

        with pytest.raises(SourceError) as raised:
            open_source(source, StreamSettings())

    assert raised.value.fault is Fault.PASSWORD_WRONG
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None, "the library's error holds the URL"


def test_pictures_by_rtsp_are_those_that_the_camera_sent() -> None:
    with network_camera("rtsp", Behaviour(pictures=moving)) as port:
        source = SourceSettings(SourceKind.RTSP, host="127.0.0.1", port=port, stream_path="/live")
        opened = open_source(source, StreamSettings())
        got = next(opened.frames())
        opened.close()

    assert got.jpeg is not None
    sent = {simplejpeg.decode_jpeg(moving(number)).tobytes() for number in range(40)}
    assert simplejpeg.decode_jpeg(got.jpeg).tobytes() in sent


def test_a_network_camera_that_hangs_up_is_a_lost_connection() -> None:
    behaviour = Behaviour(pictures=moving, pictures_max=5)
    with network_camera("http", behaviour) as port:
        source = SourceSettings(SourceKind.MJPEG, host="127.0.0.1", port=port, stream_path="/live")
        frames = open_source(source, StreamSettings()).frames()

        with pytest.raises(SourceError) as raised:
            list(frames)

    assert raised.value.fault is Fault.CONNECTION_LOST


def film(path: Path, images: Iterator[pictures.Image] | list[pictures.Image]) -> SourceSettings:
    return SourceSettings(SourceKind.FILE, path=pictures.video(path, images))


def test_black_and_frozen_files_are_named(tmp_path: Path) -> None:
    black = film(tmp_path / "black.mp4", [pictures.flat(2)] * 30)
    frozen = film(tmp_path / "frozen.mp4", [pictures.noise(1)] * 30)
    moving_film = film(tmp_path / "moving.mp4", [pictures.noise(i) for i in range(30)])

    assert the_fault(findings(black)) is Fault.BLACK
    assert the_fault(findings(frozen)) is Fault.FROZEN
    assert all(finding.ok for finding in findings(moving_film))


def test_a_dark_scene_with_one_light_is_not_black(tmp_path: Path) -> None:
    images = []
    for number in range(12):
        image = pictures.flat(4)
        image[5 + number : 15 + number, 5:15] = 120
        images.append(np.ascontiguousarray(image))

    assert all(finding.ok for finding in findings(film(tmp_path / "night.mp4", images)))


def test_a_missing_file_an_empty_folder_and_a_missing_device_are_named(tmp_path: Path) -> None:
    missing = SourceSettings(SourceKind.FILE, path=tmp_path / "none.mp4")
    empty = SourceSettings(SourceKind.FOLDER, path=tmp_path)
    device = SourceSettings(SourceKind.WEBCAM, device="987")

    assert the_fault(findings(missing)) is Fault.MISSING
    assert the_fault(findings(empty)) is Fault.NO_PICTURES
    assert the_fault(findings(device)) is Fault.DEVICE_MISSING


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody with fewer rights")
def test_a_user_without_the_devices_group_is_told_to_join_it() -> None:
    script = (
        "import os; from pathlib import Path\n"
        "from cordon_camera.sources.webcam import check_device\n"
        "from cordon_camera.faults import SourceError\n"
        "os.setgroups([]); os.setuid(65534)\n"
        "try: check_device(Path('/dev/console'), 'x')\n"
        "except SourceError as error: print(error.fault, error.hint)"
    )
    if not Path("/dev/console").exists() or Path("/dev/console").stat().st_mode & 0o006:
        pytest.skip("no device here that others may not open")
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout.startswith("device_group ")
    assert "usermod -aG video" in done.stdout


def test_a_busy_device_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    # No device that can be kept busy is at hand; the kernel's answer is all that is made up.
    def busy(*_: object) -> int:
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(os, "open", busy)

    found = findings(SourceSettings(SourceKind.WEBCAM, device="/dev/null"))

    assert the_fault(found) is Fault.DEVICE_BUSY
    assert found[-1].exit_code is ExitCode.CONFLICT
