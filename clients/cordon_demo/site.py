"""A whole site made for the demo: authority, server, identities, cameras, one deployment.

It is made as its people would: `cordon server init`, a server process, and then the API over mutual
TLS. An administrator registers machines and people, one officer proposes and another approves, an
operator looks. Nothing reaches past the commands and the contract.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cordon.v1 import camera_pb2, deployment_pb2, identity_pb2, machine_pb2, watchlist_pb2
from cordon.v1.camera_pb2_grpc import CameraServiceStub
from cordon.v1.deployment_pb2_grpc import DeploymentServiceStub
from cordon.v1.identity_pb2_grpc import IdentityServiceStub
from cordon.v1.machine_pb2_grpc import MachineServiceStub
from cordon.v1.watchlist_pb2_grpc import WatchlistServiceStub
from cordon_client.authority import authority_digest
from cordon_client.channel import call, connected, explained, new_request_id, open_channel
from cordon_client.errors import ClientError, ExitCode
from cordon_client.identity import (
    load_identity,
    make_key_and_csr,
    save_identity,
    write_private,
)
from cordon_client.passwords import new_password
from cordon_client.person import sign_in, signed_in_user
from cordon_client.signing_key import (
    make_signing_key,
    possession,
    public_bytes,
    sign_authority,
)
from cordon_demo.children import CORDON
from cordon_demo.portraits import find_face

if TYPE_CHECKING:
    from cordon_client.identity import ClientIdentity
    from cordon_demo.children import Child, Children
    from cordon_demo.plan import Plan, Wanted

DEPLOYMENT = "deployments/demo"
CATEGORY = "wanted"
_HOST = "127.0.0.1"
_READY_S = 90.0
"""A first start prepares the models; on a slow machine that takes its time."""


@dataclass(frozen=True, slots=True)
class Site:
    """A running site."""

    folder: Path
    server: Child
    admin: ClientIdentity
    """The administrator's workstation; the others are each another person's."""
    officer: ClientIdentity
    approver: ClientIdentity
    control: ClientIdentity
    cameras: dict[str, Path]
    """Camera name to identity folder."""


async def open_site(folder: Path, plan: Plan, children: Children) -> Site:
    """Makes the site and brings its server up; returns when it is ready to serve."""
    home = folder / "site"
    port, password = _free_port(), new_password()
    password_file = folder / PASSWORD_FILE
    await asyncio.to_thread(write_private, password_file, password.encode())
    init = await children.start(
        "server-init",
        [*CORDON, "server", "init", str(home), "--site", "demo", "--host", _HOST,
         "--bind", _HOST, "--port", str(port), "--admin", ADMINISTRATOR,
         "--admin-password-file", str(password_file)],
        lasts=False,
    )  # fmt: skip
    await children.finish(init, 30)
    server = await children.start(
        "server",
        [*CORDON, "server", "run", "--config", str(home / "cordon.toml"),
         "--provider", plan.provider],
        environment={
            # The same person walks by again and again, and each time counts.
            "CORDON_DECISION__COOL_DOWN_S": "0",
            "CORDON_LISTEN__ENROLMENT_PORT": "0",
        },
    )  # fmt: skip
    admin = load_identity(home / "admin")
    await _wait_until_serving(admin, server)
    async with explained(admin):
        await sign_in(admin, ADMINISTRATOR, password)
    async with connected(admin) as channel:
        officer, approver, control = [
            await _add_person(channel, admin, person, password, folder) for person in PEOPLE
        ]
        cameras = {name: await _add_camera(channel, admin, name, folder) for name in plan.cameras}
    return Site(folder, server, admin, officer, approver, control, cameras)


async def arm(site: Site, plan: Plan) -> None:
    """One deployment with the wanted on its watchlist, made by one person and armed by another."""
    async with connected(site.officer) as channel:
        deployments = DeploymentServiceStub(channel)
        hours = timedelta(seconds=plan.seconds) + timedelta(hours=2)
        deployment = deployment_pb2.Deployment(
            location="Demonstration street",
            justification="To see the whole of it at work",
            accountable_person="Whoever runs the demonstration",
            cameras=[f"cameras/{name}" for name in site.cameras],
            assignees=[f"users/{CONTROL}"],
        )
        deployment.end_time.FromDatetime(datetime.now(UTC) + min(hours, timedelta(hours=23)))
        await call(
            deployments.CreateDeployment,
            deployment_pb2.CreateDeploymentRequest(
                deployment_id=DEPLOYMENT.removeprefix("deployments/"),
                deployment=deployment,
                request_id=new_request_id(),
            ),
        )
        for wanted in plan.wanted:
            await _enrol(channel, wanted, is_walking=wanted in plan.walking)
        await call(
            deployments.SubmitDeployment,
            deployment_pb2.SubmitDeploymentRequest(name=DEPLOYMENT, request_id=new_request_id()),
        )
    await _authorise(site.approver)


async def _authorise(approver: ClientIdentity) -> None:
    """Another person signs what was asked for with a key of his own, and arms it."""
    user = signed_in_user(approver)
    key = make_signing_key(approver.folder, user)
    async with connected(approver) as channel:
        stub = DeploymentServiceStub(channel)
        await call(
            stub.RegisterSigningKey,
            deployment_pb2.RegisterSigningKeyRequest(
                public_key=public_bytes(key),
                signature=possession(key, user),
                request_id=new_request_id(),
            ),
        )
        shown = await call(stub.GetDeployment, deployment_pb2.GetDeploymentRequest(name=DEPLOYMENT))
        digest = authority_digest(shown.deployment)
        await call(
            stub.AuthoriseDeployment,
            deployment_pb2.AuthoriseDeploymentRequest(
                name=DEPLOYMENT,
                digest=digest,
                signature=sign_authority(key, digest),
                request_id=new_request_id(),
            ),
        )
        await call(
            stub.ArmDeployment,
            deployment_pb2.ArmDeploymentRequest(name=DEPLOYMENT, request_id=new_request_id()),
        )


async def _enrol(channel: grpc.aio.Channel, wanted: Wanted, *, is_walking: bool) -> None:
    request = watchlist_pb2.EnrolReferenceRequest(
        parent=DEPLOYMENT,
        external_ref=wanted.reference,
        category=CATEGORY,
        image=await asyncio.to_thread(wanted.photo.read_bytes),
        request_id=new_request_id(),
    )
    if is_walking:
        # Of several faces in a photo, the one that walks is the one that is listed.
        x, y, width, height = (await asyncio.to_thread(find_face, wanted.photo)).box
        request.face_point.x, request.face_point.y = x + width / 2, y + height / 2
    try:
        await call(WatchlistServiceStub(channel).EnrolReference, request)
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.INVALID_ARGUMENT:
            raise
        raise ClientError(
            f"{wanted.photo} cannot be put on the watchlist.",
            error.details() or "",
            "cordon demo --wanted PHOTO (one face, frontal, sharp)",
            ExitCode.USAGE,
        ) from error


@dataclass(frozen=True, slots=True)
class Person:
    """Who works where in the demo, and as what; the name is the folder's too."""

    name: str
    workstation: machine_pb2.Role.ValueType
    role: identity_pb2.UserRole.ValueType


ADMINISTRATOR = "administrator"
CONTROL = "control"
"""The operator; his desk is called as he is."""
PASSWORD_FILE = "password"
"""Of everyone in the demo."""
PEOPLE = (
    Person("officer", machine_pb2.ROLE_ADMIN, identity_pb2.USER_ROLE_WATCHLIST_OFFICER),
    Person("approver", machine_pb2.ROLE_ADMIN, identity_pb2.USER_ROLE_AUTHORISING_OFFICER),
    Person(CONTROL, machine_pb2.ROLE_CONTROL, identity_pb2.USER_ROLE_OPERATOR),
)


async def _add_person(
    channel: grpc.aio.Channel,
    admin: ClientIdentity,
    person: Person,
    password: str,
    folder: Path,
) -> ClientIdentity:
    """A registered person, trained for a day, signed in at a workstation of his own."""
    user = identity_pb2.User(roles=[person.role])
    user.training_expire_time.FromDatetime(datetime.now(UTC) + timedelta(days=1))
    first_password = new_password()
    request = identity_pb2.CreateUserRequest(
        user_id=person.name, user=user, password=first_password, request_id=new_request_id()
    )
    await call(IdentityServiceStub(channel).CreateUser, request)
    home = await _issue(channel, admin, person.workstation, person.name, folder)
    identity = load_identity(home)
    await sign_in(identity, person.name, first_password, password)
    return identity


async def _add_camera(
    channel: grpc.aio.Channel, admin: ClientIdentity, name: str, folder: Path
) -> Path:
    request = camera_pb2.CreateCameraRequest(
        camera_id=name,
        camera=camera_pb2.Camera(display_name=name.capitalize()),
        request_id=new_request_id(),
    )
    await call(CameraServiceStub(channel).CreateCamera, request)
    return await _issue(channel, admin, machine_pb2.ROLE_CAMERA, name, folder)


async def _issue(
    channel: grpc.aio.Channel,
    admin: ClientIdentity,
    role: machine_pb2.Role.ValueType,
    name: str,
    folder: Path,
) -> Path:
    """A new identity folder for a client, signed by the site's authority."""
    private_key_pem, csr_der = make_key_and_csr()
    request = machine_pb2.IssueCertificateRequest(
        role=role, id=name, csr_der=csr_der, request_id=new_request_id()
    )
    response = await call(MachineServiceStub(channel).IssueCertificate, request)
    home = folder / name
    save_identity(
        home,
        server=admin.server,
        spiffe_id=response.spiffe_id,
        ca_pem=response.ca_pem.encode(),
        certificate_pem=response.certificate_pem.encode(),
        private_key_pem=private_key_pem,
    )
    return home


async def _wait_until_serving(identity: ClientIdentity, server: Child) -> None:
    """Returns when health says SERVING; the caller watches the process."""
    try:
        async with asyncio.timeout(_READY_S), open_channel(identity) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            while not await _is_serving(stub):  # noqa: ASYNC110 - another process's event
                await asyncio.sleep(0.1)
    except TimeoutError as error:
        raise ClientError(
            f"The server was not ready within {_READY_S:.0f} s.", server.last_words()
        ) from error


async def _is_serving(stub: health_pb2_grpc.HealthStub) -> bool:
    try:
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=2)
    except grpc.aio.AioRpcError:
        return False  # Not listening yet.
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])
