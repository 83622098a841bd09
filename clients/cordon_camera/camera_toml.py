"""`camera.toml` and the password: settings from a file, from the environment, from a prompt.

[source]
kind = "rtsp"
host = "10.0.0.7"
user = "viewer"
password_file = "/etc/cordon/camera.password"
stream_path = "/h264/main"

[stream]
fps = 10
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from cordon_camera.settings import SettingError, SourceKind, SourceSettings, StreamSettings

PASSWORD_VARIABLE = "CORDON_CAMERA_PASSWORD"

_SOURCE_TYPES: dict[str, type] = {
    "kind": str,
    "path": str,
    "device": str,
    "host": str,
    "port": int,
    "user": str,
    "password_file": str,
    "stream_path": str,
    "tls": bool,
}
_STREAM_TYPES: dict[str, type] = {
    "fps": float,
    "loop": bool,
    "realtime": bool,
    "as_video": bool,
    "jpeg_quality": int,
    "side_px_max": int,
    "threads": int,
}
assert set(_STREAM_TYPES) == {f.name for f in fields(StreamSettings)}


def read_camera_toml(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The `[source]` and `[stream]` tables of a file, each value of the right type."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError("config", f"cannot be read: {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError("config", f"is not TOML: {path}: {error}") from error
    for table in content:
        if table not in ("source", "stream"):
            raise SettingError(table, f"is no table of {path.name}", "there are: source, stream")
    return (
        _typed("source", content.get("source", {}), _SOURCE_TYPES),
        _typed("stream", content.get("stream", {}), _STREAM_TYPES),
    )


def _typed(table: str, values: object, types: Mapping[str, type]) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise SettingError(table, "must be a table")
    if "password" in values:
        raise SettingError(
            f"{table}.password", "must not be in this file", "put it alone into a password_file"
        )
    return {name: _value(f"{table}.{name}", name, value, types) for name, value in values.items()}


def _value(field: str, name: str, value: object, types: Mapping[str, type]) -> Any:
    wanted = types.get(name)
    if wanted is None:
        raise SettingError(field, "is no setting", f"there are: {', '.join(types)}")
    if wanted is float and type(value) is int:
        return float(value)
    if type(value) is not wanted:
        raise SettingError(field, f"must be of type {wanted.__name__}")
    return value


def make_source(values: Mapping[str, Any], password: str = "") -> SourceSettings:
    """Source settings from the values of a file or of flags (without password_file)."""
    values = dict(values)
    kind = values.pop("kind", None)
    if kind is None:
        raise SettingError(
            "source", "is needed", "give one of --file, --folder, --webcam, --rtsp, --mjpeg"
        )
    if kind not in set(SourceKind):
        raise SettingError("kind", f"must be one of {', '.join(SourceKind)}")
    if values.get("path"):
        values["path"] = Path(values["path"])
    return SourceSettings(SourceKind(kind), password=password, **values)


def read_password(file: Path) -> str:
    """The first line of a password file that others may not read."""
    try:
        if file.stat().st_mode & 0o007:
            raise SettingError(
                "password_file", f"may be read by everyone: {file}", f"chmod 600 {file}"
            )
        return file.read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise SettingError("password_file", f"cannot be read: {file}: {reason}") from error


def password_from_environment() -> str:
    """What CORDON_CAMERA_PASSWORD holds; empty when it is not set."""
    return os.environ.get(PASSWORD_VARIABLE, "")
