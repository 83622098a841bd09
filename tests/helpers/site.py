"""A Cordon site in a folder, run and driven as its users would: by the `cordon` command."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cordon_client.identity import write_private
from cordon_client.passwords import VARIABLE
from tests.helpers import arming, people
from tests.helpers.scrape import scraped

CORDON = (sys.executable, "-m", "cordon_client.main")
START_S_MAX = 60.0
ON_NOTICES = {
    "responsible": "whoever runs the tests",
    "lawful_basis": "the law of the test bench",
    "record_url": "https://example.org/record",
}
"""What the site's notices say, as settings."""
ROOMY = {
    "CORDON_LIMITS__DEPLOYMENTS_OPEN_MAX": "1000",
    "CORDON_PEOPLE__SESSIONS_PER_USER_MAX": "100",
}
"""A site that many tests share holds the deployments of them all, and one operator's sessions at
all their desks."""


@dataclass
class Site:
    """A site's folder and its server process."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    environment: dict[str, str] = field(default_factory=dict)
    _names: int = 0
    _registered: set[str] = field(default_factory=set)

    @property
    def address(self) -> str:
        return f"localhost:{self.port}"

    @property
    def admin(self) -> Path:
        """The first administrator's identity folder."""
        return self.folder / "admin"

    @property
    def officer(self) -> Path:
        """A workstation at which a watchlist officer is signed in."""
        return self._workstation("admin", "officer")

    @property
    def approver(self) -> Path:
        """A workstation at which an authorising officer is signed in."""
        return self._workstation("admin", "approver")

    @property
    def auditor(self) -> Path:
        """A workstation at which an auditor is signed in."""
        return self._workstation("admin", "auditor")

    @property
    def operator(self) -> Path:
        """A desk in the control room at which an operator is signed in."""
        return self._workstation("control", "operator")

    @property
    def supervisor(self) -> Path:
        """A desk in the control room at which a supervisor is signed in."""
        return self._workstation("control", "supervisor")

    @property
    def enrolment_port(self) -> int:
        """Where one-time tokens are spent."""
        return int(self.environment["CORDON_LISTEN__ENROLMENT_PORT"])

    @property
    def metrics(self) -> dict[str, float]:
        """What the server counts, by name and labels."""
        return scraped(int(self.environment["CORDON_METRICS__PORT"]))

    @property
    def log(self) -> str:
        """What the server has logged so far."""
        return (self.folder / "server.log").read_text()

    def identity(self, role: str, name: str) -> Path:
        """A client's identity folder, issued by the running server when it is new.

        At a desk of the control room the operator is signed in.
        """
        folder = self.folder / "identities" / f"{role}-{name}"
        if not folder.exists():
            people.issue(self.admin, role, name, folder)
            if role == "control":
                self._sign_in(folder, "operator")
        return folder

    def _workstation(self, role: str, user: str) -> Path:
        """A person's own; he is registered when he is first asked for."""
        folder = self.folder / "identities" / f"{role}-{user}"
        if not folder.exists():
            people.issue(self.admin, role, user, folder)
            self._sign_in(folder, user)
        return folder

    def _sign_in(self, folder: Path, user: str) -> None:
        if user in self._registered:
            people.sign_in(folder, user)
            return
        people.register(self.admin, user)
        people.first_sign_in(folder, user)
        self._registered.add(user)

    def _identity_for(self, arguments: tuple[str, ...]) -> Path:
        """Of whoever may do what a command does."""
        match arguments:
            case ("admin", "deployment", "authorise" | "arm" | "halt" | "resume" | "end", *_):
                return self.approver
            case ("admin", "signing-key", *_):
                return self.approver
            case ("admin", "watchlist", "review" | "approve", *_) | (
                "admin",
                "watchlist",
                "proposal",
                "apply",
                *_,
            ):
                return self.approver
            case ("admin", "audit", *_) | ("admin", "deployment", "report", *_):
                return self.auditor
            case ("admin", "deployment" | "watchlist", *_):
                return self.officer
            case ("control", "seed" | "shift-report" | "tpir" | "preflight", *_):
                return self.supervisor
            case ("control" | "watch", *_):
                return self.operator
        return self.admin

    def cordon(
        self, *arguments: str, identity: Path | None = None, code: int = 0, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command as an identity and expects an exit code; without an identity it runs as
        whoever may do it."""
        done = subprocess.run(
            [*CORDON, *arguments],
            capture_output=True,
            text=True,
            input=stdin,
            timeout=300,
            env=self._env(identity or self._identity_for(arguments)),
            cwd=self.folder,
            check=False,
        )
        assert done.returncode == code, (
            f"{arguments} exited {done.returncode}, not {code}\n{done.stdout}\n{done.stderr}"
        )
        return done

    def cordon_json(self, *arguments: str, identity: Path | None = None) -> Any:
        """The same with `-o json`, parsed."""
        return json.loads(self.cordon(*arguments, "-o", "json", identity=identity).stdout)

    def spawn(self, *arguments: str, identity: Path) -> subprocess.Popen[str]:
        """Starts a command that goes on; the caller ends it."""
        return subprocess.Popen(
            [*CORDON, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._env(identity),
            cwd=self.folder,
        )

    def new_name(self, prefix: str) -> str:
        """A name that no other test uses."""
        self._names += 1
        return f"{prefix}-{os.getpid()}-{self._names}"

    def add_camera(self, prefix: str = "camera") -> tuple[str, Path]:
        """A registered camera with a certificate: its name and identity folder."""
        name = self.new_name(prefix)
        self.cordon("admin", "camera", "add", name)
        return name, self.identity("camera", name)

    def add_deployment(self, *cameras: str, options: tuple[str, ...] = ()) -> str:
        """A deployment in DRAFT that names the cameras and that the operator is assigned to."""
        name = self.new_name("deployment")
        _ = self.operator  # who is registered with his first desk
        named = [part for camera in cameras for part in ("--camera", camera)]
        create = ("admin", "deployment", "create", name, "--location", "a test bench")
        self.cordon(*create, *arming.ASKED, *named, "--assign", "operator", *options)
        return name

    def arm(self, deployment: str) -> None:
        """Arms a draft, once one person has submitted it and another has signed."""
        arming.arm(self.officer, self.approver, deployment)

    def start(self, *options: str) -> None:
        """Starts the server and waits until it serves."""
        log = (self.folder / "server.log").open("ab")
        config = str(self.folder / "cordon.toml")
        with log:
            self.process = subprocess.Popen(
                [*CORDON, "server", "run", "--config", config, *options],
                stdout=log,
                stderr=log,
                env=self._env(self.admin),
            )
        self._wait_until_serving()

    def sign_in_administrator(self) -> None:
        """The first one, at the first workstation, on a site that was just started."""
        people.sign_in(self.admin, people.ADMINISTRATOR)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Ends the server; its exit code."""
        assert self.process is not None
        self.process.send_signal(how)
        code = self.process.wait(timeout=30)
        self.process = None
        return code

    def _wait_until_serving(self) -> None:
        assert self.process is not None
        started = time.monotonic()
        while time.monotonic() - started < START_S_MAX:
            if self.process.poll() is not None:
                raise AssertionError(f"the server did not start:\n{self.log}")
            if self._serves(self.process.pid):
                return
            time.sleep(0.05)
        raise AssertionError(f"the server does not serve:\n{self.log}")

    def _serves(self, pid: int) -> bool:
        return any(
            '"server.serving"' in line and f'"pid": {pid},' in line
            for line in self.log.splitlines()
        )

    def _env(self, identity: Path) -> dict[str, str]:
        given = {"CORDON_IDENTITY": str(identity)}
        if (password := identity / people.PASSWORD_FILE).exists():
            given[VARIABLE] = str(password)
        return os.environ | ROOMY | given | self.environment


@contextmanager
def make_site(folder: Path, *options: str) -> Iterator[Site]:
    """A new site with a running server; `options` go to `cordon server run`."""
    site = Site(folder, free_port())
    init_site(site)
    try:
        site.start(*options)
        site.sign_in_administrator()
        yield site
    finally:
        if site.process is not None:
            site.stop(signal.SIGKILL)


def init_site(site: Site, name: str = "test.example") -> None:
    """Makes the site's folder."""
    for port in ("CORDON_LISTEN__ENROLMENT_PORT", "CORDON_METRICS__PORT"):
        site.environment.setdefault(port, str(free_port()))
    for setting, value in ON_NOTICES.items():
        site.environment.setdefault(f"CORDON_AUTHORITY__{setting.upper()}", value)
    site.folder.mkdir(parents=True, exist_ok=True)
    password = site.folder / "first.password"
    write_private(password, people.PASSWORD.encode())
    hosts = ("--host", "localhost", "--host", "127.0.0.1", "--bind", "127.0.0.1")
    init = (*CORDON, "server", "init", str(site.folder), "--site", name, *hosts)
    first = ("--admin", people.ADMINISTRATOR, "--admin-password-file", str(password))
    done = subprocess.run(
        (*init, *first, "--port", str(site.port)), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    (site.folder / "server.log").touch()


def free_port() -> int:
    """A port that nobody uses just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
