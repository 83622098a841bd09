"""The server links to nothing: it answers who connects, and connects to nobody (R22)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from cordon_server.identity.names import Role

pytestmark = pytest.mark.serves("R22")

SERVER = Path(__file__).resolve().parents[2] / "server" / "cordon_server"
DIALLING = {
    *("http.client", "urllib.request", "urllib3", "requests", "httpx", "aiohttp", "websockets"),
    *("ftplib", "smtplib", "imaplib", "poplib", "telnetlib", "xmlrpc.client", "paramiko"),
    *(
        "nats",
        "pika",
        "kafka",
        "redis",
        "boto3",
        "paho",
        "socketserver",
        "multiprocessing.connection",
    ),
}
"""Modules that exist to reach others."""
CONNECTING = {
    *("secure_channel", "insecure_channel", "create_connection", "open_connection", "urlopen"),
    *("connect", "connect_ex", "sendto", "sock_connect", "create_datagram_endpoint"),
    *("open_unix_connection", "push_to_gateway", "pushadd_to_gateway"),
}
"""Calls that do."""
OURS = {("sessions/live.py", "connect"), ("api/recognition.py", "connect")}
"""A camera that has connected is let in: `Live.connect`."""
OTHER_SYSTEMS = ("cctv", "onvif", "anpr", "alpr", "vms", "bodyworn", "body_worn", "webhook", "mqtt")


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(SERVER.rglob("*.py")):
        yield str(path.relative_to(SERVER)), ast.parse(path.read_text())


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def called(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func
            yield name.attr if isinstance(name, ast.Attribute) else getattr(name, "id", "")


def test_no_module_of_the_server_imports_what_reaches_others() -> None:
    found = [
        (path, name)
        for path, tree in modules()
        for name in imported(tree)
        if any(name == each or name.startswith(f"{each}.") for each in DIALLING)
    ]

    assert found == []


def test_no_module_of_the_server_connects_to_anything() -> None:
    found = {
        (path, name) for path, tree in modules() for name in called(tree) if name in CONNECTING
    }

    assert found - OURS == set()


def test_what_would_connect_is_found() -> None:
    tree = ast.parse("import urllib.request\nfrom http import client\nsocket.create_connection(a)")

    assert "urllib.request" in set(imported(tree))
    assert "http.client" in set(imported(tree))
    assert CONNECTING & set(called(tree))


def test_no_other_system_has_a_part_in_the_server_nor_a_certificate() -> None:
    names = {path.lower() for path, _ in modules()}

    assert [name for name in names for other in OTHER_SYSTEMS if other in name] == []
    assert {*Role} == {"camera", "control", "admin"}
