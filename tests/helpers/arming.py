"""From a draft to an armed deployment, as its people would: one submits, another signs and arms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cordon.v1 import deployment_pb2
from cordon.v1.deployment_pb2_grpc import DeploymentServiceStub
from cordon_client.authority import authority_digest
from cordon_client.channel import new_request_id
from cordon_client.session import load_session
from cordon_client.signing_key import (
    key_file,
    load_signing_key,
    make_signing_key,
    possession,
    public_bytes,
    sign_authority,
)
from tests.helpers import people

ASKED = ("--justification", "to see what happens", "--accountable", "whoever runs the tests")
"""What every deployment has to say, as options of `deployment create`."""
MOVE_S_MAX = 300


def arm(officer: Path, approver: Path, deployment: str) -> deployment_pb2.Deployment:
    """Submits a draft by one person, authorises and arms it by another."""
    move(officer, "SubmitDeployment", deployment)
    authorise(approver, deployment)
    return move(approver, "ArmDeployment", deployment)


def authorise(approver: Path, deployment: str) -> deployment_pb2.Deployment:
    """Signs what was submitted with the approver's key, which is made when it is first needed."""
    key = _key(approver)
    name = f"deployments/{deployment}"
    request = deployment_pb2.GetDeploymentRequest(name=name)
    digest = authority_digest(_call(approver, "GetDeployment", request).deployment)
    signature = sign_authority(key, digest)
    return move(approver, "AuthoriseDeployment", deployment, digest=digest, signature=signature)


def move(folder: Path, method: str, deployment: str, **fields: Any) -> deployment_pb2.Deployment:
    """Makes a move as whoever is signed in at the folder."""
    request = getattr(deployment_pb2, f"{method}Request")(
        name=f"deployments/{deployment}", request_id=new_request_id(), **fields
    )
    answer: deployment_pb2.Deployment = _call(folder, method, request).deployment
    return answer


def _key(approver: Path) -> Any:
    session = load_session(approver)
    assert session is not None
    if key_file(approver, session.user).exists():
        return load_signing_key(approver, session.user)
    key = make_signing_key(approver, session.user)
    people.keep_signed_in(approver, fresh=True)
    request = deployment_pb2.RegisterSigningKeyRequest(
        public_key=public_bytes(key),
        signature=possession(key, session.user),
        request_id=new_request_id(),
    )
    _call(approver, "RegisterSigningKey", request)
    return key


def _call(folder: Path, method: str, request: Any) -> Any:
    people.keep_signed_in(folder)
    with people.channel_at(folder) as channel:
        call = getattr(DeploymentServiceStub(channel), method)
        return call(request, metadata=people.bearer(folder), timeout=MOVE_S_MAX)
