"""Settings: each field's rule by name, and a password that nothing prints."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cordon_camera.camera_toml import make_source, read_camera_toml, read_password
from cordon_camera.process import Job, from_bytes, to_bytes
from cordon_camera.settings import (
    SettingError,
    SourceKind,
    SourceSettings,
    StreamSettings,
    parse_uri,
)
from cordon_camera.sources.rtsp import url_of
from cordon_client.errors import ExitCode

RTSP: dict[str, Any] = {"kind": SourceKind.RTSP, "host": "10.0.0.7"}


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"kind": SourceKind.FILE}, "path"),
        ({"kind": SourceKind.FOLDER, "path": Path("x"), "host": "a"}, "host"),
        ({"kind": SourceKind.FILE, "path": Path("x"), "password": "secret"}, "password"),
        ({"kind": SourceKind.WEBCAM, "device": "../etc"}, "device"),
        ({"kind": SourceKind.RTSP}, "host"),
        ({**RTSP, "host": "user:secret@10.0.0.7"}, "host"),
        ({**RTSP, "host": "rtsp://10.0.0.7"}, "host"),
        ({**RTSP, "port": 70000}, "port"),
        ({**RTSP, "password": "secret"}, "user"),
        ({**RTSP, "stream_path": "/a b"}, "stream_path"),
        ({**RTSP, "stream_path": "/a\r\nHost: x"}, "stream_path"),
    ],
)
def test_a_broken_setting_is_named_with_its_rule(values: dict[str, object], field: str) -> None:
    with pytest.raises(SettingError) as raised:
        SourceSettings(**values)  # type: ignore[arg-type]  # wrong on purpose

    assert raised.value.field == field
    assert field in raised.value.what
    assert raised.value.exit_code is ExitCode.USAGE
    assert "secret" not in raised.value.what


@pytest.mark.parametrize(
    "values",
    [{"fps": -1}, {"fps": float("nan")}, {"jpeg_quality": 101}, {"threads": 0}, {"side_px_max": 9}],
)
def test_a_broken_sending_setting_is_named(values: dict[str, float]) -> None:
    with pytest.raises(SettingError) as raised:
        StreamSettings(**values)  # type: ignore[arg-type]  # wrong on purpose

    assert raised.value.field == next(iter(values))


def test_no_printed_form_of_a_source_shows_password_user_or_query() -> None:
    source = SourceSettings(
        **RTSP, user="viewer", password="s3cret", stream_path="/live?token=s3cret"
    )

    assert "s3cret" not in source.describe()
    assert "viewer" not in source.describe()
    assert "password" not in repr(source)


@given(
    user=st.text(min_size=1, max_size=20).filter(str.strip),
    password=st.text(min_size=1, max_size=20),
)
def test_the_url_that_opens_a_source_says_user_and_password_again(user: str, password: str) -> None:
    try:
        source = SourceSettings(**RTSP, user=user, password=password, stream_path="/a?b=1")
        url = url_of(source, "rtsp")
    except UnicodeEncodeError:
        return  # half a surrogate pair: no keyboard types that

    assert parse_uri(url) == SourceSettings(
        **RTSP, port=554, user=user, password=password, stream_path="/a?b=1"
    )


@pytest.mark.parametrize(
    ("uri", "described"),
    [
        ("webcam:0", "webcam /dev/video0"),
        ("/dev/video2", "webcam /dev/video2"),
        ("rtsp://u:p@cam.test/h264", "rtsp cam.test:554/h264"),
        ("rtsps://[fe80::1]:1234/x", "rtsp [fe80::1]:1234/x"),
        ("http://cam.test:8080/mjpg?res=hd", "mjpeg cam.test:8080/mjpg"),
        ("https://cam.test/v", "mjpeg cam.test:443/v"),
        ("street.mp4", "file street.mp4"),
        ("file:///a%20b.mp4", "file /a b.mp4"),
        ("a:b.mp4", "file a:b.mp4"),
    ],
)
def test_a_uri_becomes_separate_settings(uri: str, described: str) -> None:
    assert parse_uri(uri).describe() == described


def test_a_folder_is_told_from_a_file(tmp_path: Path) -> None:
    assert parse_uri(str(tmp_path)).kind is SourceKind.FOLDER


@pytest.mark.parametrize(
    "uri", ["ftp://x/y", "rtsp://", "rtsp://u:secret@cam:port/", "webcam:x", "http://u:secret@[/"]
)
def test_a_uri_that_makes_no_source_is_refused_without_repeating_it(uri: str) -> None:
    with pytest.raises(SettingError) as raised:
        parse_uri(uri)

    assert "secret" not in f"{raised.value.what}{raised.value.__cause__}"


def test_a_file_gives_both_tables(tmp_path: Path) -> None:
    path = tmp_path / "camera.toml"
    path.write_text('[source]\nkind = "rtsp"\nhost = "cam"\n[stream]\nfps = 10\n')

    source, stream = read_camera_toml(path)

    assert make_source(source).describe() == "rtsp cam:554"
    assert StreamSettings(**stream).fps == 10.0


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('[source]\npassword = "x"', "source.password"),
        ("[source]\nport = 'x'", "source.port"),
        ("[stream]\nspeed = 1", "stream.speed"),
        ("[stream]\nloop = 1", "stream.loop"),
        ("[camera]", "camera"),
        ("source = 1", "source"),
        ("[", "config"),
    ],
)
def test_a_broken_file_names_the_field(tmp_path: Path, text: str, field: str) -> None:
    path = tmp_path / "camera.toml"
    path.write_text(text)

    with pytest.raises(SettingError) as raised:
        read_camera_toml(path)

    assert raised.value.field == field


def test_a_password_file_gives_its_first_line(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("p w\nnothing\n")
    path.chmod(0o600)

    assert read_password(path) == "p w"


def test_a_password_file_that_everyone_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("x")
    path.chmod(0o644)

    with pytest.raises(SettingError) as raised:
        read_password(path)

    assert raised.value.hint == f"chmod 600 {path}"


def test_what_the_streaming_process_is_told_arrives_whole() -> None:
    job = Job(
        SourceSettings(**RTSP, user="u", password="p\n\u00fc"),
        StreamSettings(fps=5.0, loop=True),
        Path("/etc/cordon/camera"),
        "server:1",
        as_json=True,
        debug=False,
    )

    assert from_bytes(to_bytes(job)) == job
    assert asdict(from_bytes(to_bytes(job))) == asdict(job)
