"""A site whose people, sessions and deployments are on record before its server first runs, whose
certificates are signed here with its own authority and whose tokens with its own key: whatever is
wrong with one of them is wrong by this hand, and nothing else is.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import grpc
import jwt
import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cordon_server.authority.records import (
    CAMERAS,
    DEPLOYMENTS,
    Actor,
    CameraRecord,
    DeploymentRecord,
)
from cordon_server.identity.certificates import KeyPair, key_pem
from cordon_server.identity.hierarchy import load_authority
from cordon_server.identity.keys import SigningKeys
from cordon_server.identity.names import PersonRole, Role, SpiffeId
from cordon_server.identity.register import record_certificate
from cordon_server.identity.sessions import SessionRecord, put_session
from cordon_server.identity.tokens import ALGORITHM, AUDIENCE, TYPE, Binding, Claims, thumbprint
from cordon_server.identity.users import UserRecord, put_user
from cordon_server.registry import REGISTRY_TABLES
from cordon_server.store.environment import Environment, Transaction
from cordon_server.store.sealing import PlainSealer
from tests.helpers.site import CORDON, Site, free_port

SITE = "test.example"
TOKEN_LIFE = timedelta(minutes=5)
_PASSWORD_HASH = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$X2dtqrPxZM9PU5rH1Q/0aQ"
"""Of no password at all: who is on record here is signed in already."""


Filled = TypeVar("Filled")


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine with its certificate."""

    spiffe_id: SpiffeId
    pair: KeyPair
    sha256: str

    @property
    def role(self) -> Role:
        return self.spiffe_id.role


@dataclass
class PreparedSite(Site):
    """A site before and while its server runs, with a witness in it (`traced_server`)."""

    def start(self, *options: str) -> None:
        module = ("-m", "tests.helpers.traced_server", "--config", str(self.settings))
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *module, *options],
                stdout=log,
                stderr=log,
                env=os.environ | self.environment,
            )
        self._wait_until_serving()

    @property
    def settings(self) -> Path:
        return self.folder / "cordon.toml"

    @property
    def root_pem(self) -> bytes:
        return (self.folder / "certs" / "ca.pem").read_bytes()

    def events(self, name: str) -> Iterator[dict[str, Any]]:
        """What the server has logged under a name, so far."""
        for line in self.log.splitlines():
            if f'"{name}"' in line and line.startswith("{"):
                event = json.loads(line)
                if event["event"] == name:
                    yield event

    @cached_property
    def enrolment_address(self) -> str:
        (listening,) = self.events("server.listening")
        return f"localhost:{listening['enrolment_port']}"

    def channel(self, pair: KeyPair | None, address: str = "") -> grpc.aio.Channel:
        """A connection of its own, by this certificate or by none."""
        key, chain = (pair.key_pem, pair.certificate_pem) if pair else (None, None)
        credentials = grpc.ssl_channel_credentials(self.root_pem, key, chain)
        options = [("grpc.use_local_subchannel_pool", 1)]
        return grpc.aio.secure_channel(address or self.address, credentials, options)


class Desk:
    """Puts on record and signs, before the server runs."""

    def __init__(self, site: PreparedSite, txn: Transaction, mint: Mint) -> None:
        self.now = datetime.now(UTC)
        self.mint = mint
        self.authority = load_authority(site.folder / "certs")
        self._txn = txn

    def machine(self, role: Role, name: str, life: timedelta = timedelta(hours=1)) -> Machine:
        """A machine whose certificate was issued as the server does."""
        key, spiffe_id = ec.generate_private_key(ec.SECP256R1()), SpiffeId(SITE, role, name)
        certificate = self.authority.issue_client(key.public_key(), spiffe_id, life, now=self.now)
        record_certificate(self._txn, certificate, spiffe_id, issued_by="init", now=self.now)
        pair = KeyPair(self.authority.chain_pem(certificate), key_pem(key))
        return Machine(spiffe_id, pair, certificate.fingerprint(hashes.SHA256()).hex())

    def user(self, user_id: str, role: PersonRole, *, is_trained: bool = True) -> None:
        """A person of one role."""
        trained_for = timedelta(days=1 if is_trained else -1)
        record = UserRecord(
            user_id,
            "",
            (role,),
            _PASSWORD_HASH,
            self.now,
            must_change_password=False,
            training_expire_time=self.now + trained_for,
        )
        put_user(self._txn, record)

    def session(
        self,
        user_id: str,
        machine: Machine,
        use: str,
        *,
        age: timedelta = timedelta(),
        idle: timedelta = timedelta(),
    ) -> None:
        """A session that began `age` ago and was renewed `idle` ago."""
        begun, renewed = self.now - age, self.now - idle
        session_id = session_of(user_id, machine, use)
        record = SessionRecord(session_id, user_id, machine.sha256, begun, renewed, begun)
        put_session(self._txn, record)

    def camera(self, name: str) -> None:
        """A registered camera."""
        record = CameraRecord(name, "", self.now)
        self._txn.put(CAMERAS, name.encode(), record)

    def deployment(
        self, name: str, camera: str, user_id: str, machine: Machine, assignees: Iterable[str] = ()
    ) -> None:
        """A draft that this person made there and these others work on."""
        record = DeploymentRecord(
            location="a test bench",
            cameras=(camera,),
            threshold=0.47,
            start_time=self.now,
            end_time=self.now + timedelta(hours=2),
            assignees=(user_id, *assignees),
            deployment_id=name,
            create_time=self.now,
            creator=Actor(user_id, str(machine.spiffe_id)),
        )
        self._txn.put(DEPLOYMENTS, name.encode(), record)


class Mint:
    """Signs whatever it is told to with the keys that the server reads."""

    def __init__(self, keys: dict[str, Ed25519PrivateKey]) -> None:
        self.kid, self._key = list(keys.items())[-1]

    def claims(self, user_id: str, machine: Machine, use: str, **changed: Any) -> Claims:
        """Those of a token that is good from now on, but for what is changed."""
        now = int(datetime.now(UTC).timestamp())
        good = Claims(
            iss=f"spiffe://{SITE}",
            aud=AUDIENCE,
            sub=user_id,
            jti="0" * 32,
            iat=now,
            nbf=now,
            exp=now + int(TOKEN_LIFE.total_seconds()),
            sid=session_of(user_id, machine, use),
            auth_time=now,
            cnf=Binding(thumbprint(machine.sha256)),
        )
        return msgspec.structs.replace(good, **changed)

    def sign(self, claims: Claims, *, kid: str = "", key: Ed25519PrivateKey | None = None) -> str:
        """A token of these claims, by the server's key unless another is given."""
        headers = {"kid": kid or self.kid, "typ": TYPE}
        signer = jwt.PyJWS(algorithms=[ALGORITHM])
        payload = msgspec.json.encode(claims)
        return signer.encode(payload, key or self._key, ALGORITHM, headers=headers)


def session_of(user_id: str, machine: Machine, use: str) -> str:
    """The id of a person's session there; one for each use."""
    name = f"{user_id} {machine.spiffe_id} {use}"
    return hashlib.sha256(name.encode()).hexdigest()[:32]


@contextmanager
def prepared_site(
    folder: Path, fill: Callable[[Desk], Filled], **environment: str
) -> Iterator[tuple[PreparedSite, Filled]]:
    """A running site, and what `fill` made of it before it ran."""
    site = PreparedSite(folder, free_port())
    init = (*CORDON, "server", "init", str(folder), "--site", SITE, "--bind", "127.0.0.1")
    subprocess.run((*init, "--port", str(site.port)), check=True, capture_output=True, timeout=60)
    (folder / "server.log").touch()
    site.environment |= environment | {"CORDON_LISTEN__ENROLMENT_PORT": "0"}
    with ThreadPoolExecutor(1) as writer:
        registry = Environment(
            folder / "data" / "registry",
            REGISTRY_TABLES,
            size_bytes_max=2**30,
            sealer=PlainSealer(),
            writer=writer,
        )
        mint = Mint(SigningKeys(registry, clock=lambda: datetime.now(UTC)).keys)
        filled = registry.write_now(lambda txn: fill(Desk(site, txn, mint)))
        registry.close_now()
    try:
        site.start()
        yield site, filled
    finally:
        if site.process is not None:
            site.stop(signal.SIGKILL)
