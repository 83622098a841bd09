"""The people of a test site: registered and signed in over its API, without a process for each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc

from cordon.v1 import identity_pb2, machine_pb2
from cordon.v1.identity_pb2_grpc import IdentityServiceStub
from cordon.v1.machine_pb2_grpc import MachineServiceStub
from cordon_client.channel import new_request_id
from cordon_client.identity import load_identity, make_key_and_csr, save_identity, write_private
from cordon_client.names import short
from cordon_client.session import from_token, load_session, save_session

ADMINISTRATOR = "first"
PASSWORD = "violet-harbour-lantern-42"
PASSWORD_FILE = "password"
"""In an identity folder: of whoever is signed in there."""
ROLES = {
    "officer": identity_pb2.USER_ROLE_WATCHLIST_OFFICER,
    "approver": identity_pb2.USER_ROLE_AUTHORISING_OFFICER,
    "operator": identity_pb2.USER_ROLE_OPERATOR,
    "operator-2": identity_pb2.USER_ROLE_OPERATOR,
    "supervisor": identity_pb2.USER_ROLE_SUPERVISOR,
    "auditor": identity_pb2.USER_ROLE_AUDITOR,
}
"""User to the one role that he has."""
MACHINES = {
    "camera": machine_pb2.ROLE_CAMERA,
    "control": machine_pb2.ROLE_CONTROL,
    "admin": machine_pb2.ROLE_ADMIN,
}


def sign_in(folder: Path, user: str, password: str = PASSWORD, new_password: str = "") -> None:
    """Signs a person in at an identity folder, which keeps the session and the password."""
    request = identity_pb2.SignInRequest(
        name=f"users/{user}", password=password, new_password=new_password
    )
    with channel_at(folder) as channel:
        response = IdentityServiceStub(channel).SignIn(request, timeout=30)
    save_session(folder, from_token(response.user.name, response.token))
    write_private(folder / PASSWORD_FILE, (new_password or password).encode())


def keep_signed_in(folder: Path, *, fresh: bool = False) -> None:
    """Signs whoever was signed in at the folder in again when his token is over, or for a fresh
    password."""
    session = load_session(folder)
    if session is not None and (fresh or session.is_due(datetime.now(UTC))):
        sign_in(folder, short(session.user))


def register(admin: Path, user: str) -> None:
    """A person with his one role, trained, who still has to take a password of his own."""
    wanted = identity_pb2.User(roles=[ROLES[user]])
    wanted.training_expire_time.FromDatetime(datetime.now(UTC) + timedelta(days=30))
    request = identity_pb2.CreateUserRequest(
        user_id=user, user=wanted, password=f"first-{PASSWORD}", request_id=new_request_id()
    )
    keep_signed_in(admin)
    with channel_at(admin) as channel:
        IdentityServiceStub(channel).CreateUser(request, metadata=bearer(admin), timeout=30)


def first_sign_in(folder: Path, user: str) -> None:
    """The sign-in in which a person takes a password of his own."""
    sign_in(folder, user, f"first-{PASSWORD}", PASSWORD)


def issue(admin: Path, role: str, name: str, folder: Path, life: timedelta | None = None) -> None:
    """A machine's identity folder, for the same server."""
    private_key_pem, csr_der = make_key_and_csr()
    request = machine_pb2.IssueCertificateRequest(
        role=MACHINES[role], id=name, csr_der=csr_der, request_id=new_request_id()
    )
    if life is not None:
        request.lifetime.FromTimedelta(life)
    keep_signed_in(admin)
    with channel_at(admin) as channel:
        stub = MachineServiceStub(channel)
        issued = stub.IssueCertificate(request, metadata=bearer(admin), timeout=30)
    save_identity(
        folder,
        server=load_identity(admin).server,
        spiffe_id=issued.spiffe_id,
        ca_pem=issued.ca_pem.encode(),
        certificate_pem=issued.certificate_pem.encode(),
        private_key_pem=private_key_pem,
    )


def bearer(folder: Path) -> tuple[tuple[str, str], ...]:
    """The token of whoever is signed in at the folder, as metadata; nothing for a camera."""
    session = load_session(folder)
    return (("authorization", f"Bearer {session.token}"),) if session else ()


@contextmanager
def channel_at(folder: Path) -> Iterator[grpc.Channel]:
    """A blocking channel with the folder's certificate: it needs no event loop."""
    identity = load_identity(folder)
    credentials = grpc.ssl_channel_credentials(
        identity.ca_pem, identity.private_key_pem, identity.certificate_pem
    )
    with grpc.secure_channel(identity.server, credentials) as channel:
        yield channel
