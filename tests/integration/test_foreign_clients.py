"""The contract is the contract: gRPC stacks that are not ours need nothing of ours."""

from __future__ import annotations

import asyncio
import base64
import io
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import skimage.data
from PIL import Image

from tests.foreign.clients import (
    BUF,
    BUF_CURL,
    FOLDER,
    GRPCLIB,
    CallError,
    Conversation,
    ForeignClient,
    Json,
    grpc_js,
)
from tests.helpers import arming
from tests.helpers.site import Site

CAMERAS = "cordon.v1.CameraService"
DEPLOYMENTS = "cordon.v1.DeploymentService"
MATCHES = "cordon.v1.MatchService"
RECOGNITION = "cordon.v1.RecognitionService"
WATCHLISTS = "cordon.v1.WatchlistService"
NPM_CI_TIMEOUT_S = 180


@dataclass(frozen=True, slots=True)
class Story:
    """An armed deployment made by a foreign client; its list and its camera show one portrait."""

    client: ForeignClient
    address: str
    officer: Path
    approver: Path
    control: Path
    camera: Path
    deployment: str

    async def ask(self, method: str, request: Json) -> Json:
        """Asks as whoever may: one officer proposes, another approves."""
        approves = method.endswith(("/ArmDeployment", "/EndDeployment"))
        identity = self.approver if approves else self.officer
        return await self.client.ask(self.address, identity, method, request)


def portrait() -> str:
    """A public-domain portrait as JPEG in base64, as JSON carries bytes."""
    file = io.BytesIO()
    astronaut = skimage.data.astronaut()  # type: ignore[no-untyped-call]  # has no types
    Image.fromarray(astronaut).save(file, "JPEG", quality=92)
    return base64.b64encode(file.getvalue()).decode()


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@pytest.fixture(scope="module")
def node_client(tmp_path_factory: pytest.TempPathFactory) -> ForeignClient:
    if not shutil.which("npm"):
        message = "npm is not installed here: @grpc/grpc-js cannot be tried"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)  # no npm; with CI set it fails above
    folder = tmp_path_factory.mktemp("node")
    for name in ("package.json", "package-lock.json", ".npmrc", "client.mjs"):
        shutil.copy(FOLDER / name, folder)
    command = ["npm", "ci", "--ignore-scripts", "--prefer-offline", "--loglevel=error"]
    subprocess.run(command, cwd=folder, check=True, timeout=NPM_CI_TIMEOUT_S)
    return grpc_js(folder)


@pytest.fixture(scope="module", params=["grpclib", "buf", "grpc-js"])
def story(request: pytest.FixtureRequest, site: Site) -> Iterator[Story]:
    name: str = request.param
    if name == "grpc-js":
        client: ForeignClient = request.getfixturevalue("node_client")
    else:
        client = {"grpclib": GRPCLIB, "buf": BUF}[name]
    camera = f"foreign-{name}"
    add = {"cameraId": camera, "camera": {"displayName": "Foreign"}}
    asyncio.run(client.ask(site.address, site.admin, f"{CAMERAS}/CreateCamera", add))
    told = Story(
        client,
        site.address,
        site.officer,
        site.approver,
        site.identity("control", camera),
        site.identity("camera", camera),
        f"deployments/{camera}",
    )
    asyncio.run(arm(told, camera))
    yield told
    asyncio.run(told.ask(f"{DEPLOYMENTS}/EndDeployment", {"name": told.deployment}))


async def arm(story: Story, name: str) -> None:
    deployment = {
        "location": "Test street",
        "justification": "to see what happens",
        "accountablePerson": "whoever runs the tests",
        "cameras": [f"cameras/{name}"],
        "assignees": ["users/operator"],
    }
    request = {"deploymentId": name, "deployment": deployment}
    await story.ask(f"{DEPLOYMENTS}/CreateDeployment", request)
    request = {
        "parent": story.deployment,
        "externalRef": "portrait",
        "category": "wanted",
        "image": portrait(),
    }
    enrolled = await story.ask(f"{WATCHLISTS}/EnrolReference", request)
    assert enrolled["outcome"] == "ENROL_OUTCOME_ACCEPTED"
    await story.ask(f"{DEPLOYMENTS}/SubmitDeployment", {"name": story.deployment})
    # A signature is made of what was shown, in whatever language: here by the test's own hand.
    await asyncio.to_thread(arming.authorise, story.approver, name)
    await story.ask(f"{DEPLOYMENTS}/ArmDeployment", {"name": story.deployment})


async def hear(call: Conversation, kind: str) -> Json:
    """The next answer of a kind; others that may come between are passed over."""
    while kind not in (answer := await call.hear()):
        pass
    found: Json = answer[kind]
    return found


async def show_portrait(story: Story) -> tuple[Json, Json]:
    """Streams the portrait as one frame; the welcome and the frame's result."""
    method = f"{RECOGNITION}/StreamFrames"
    async with story.client.open(story.address, story.camera, method) as call:
        hello = {"clientVersion": "1", "sentAt": now(), "sourceKind": "SOURCE_KIND_STILLS"}
        await call.say({"hello": hello})
        welcome = await hear(call, "welcome")
        await hear(call, "credit")
        frame = {"sequence": "1", "capturedAt": now(), "jpeg": portrait()}
        await call.say({"frame": frame})
        result = await hear(call, "result")
        call.finish()
    return welcome, result


async def test_a_foreign_client_lists_deployments(story: Story) -> None:
    answer = await story.ask(f"{DEPLOYMENTS}/ListDeployments", {})

    assert story.deployment in [deployment["name"] for deployment in answer["deployments"]]


async def test_a_foreign_client_makes_a_unary_call(story: Story) -> None:
    answer = await story.ask(f"{DEPLOYMENTS}/GetDeployment", {"name": story.deployment})

    assert answer["deployment"]["state"] == "DEPLOYMENT_STATE_ARMED"
    assert answer["deployment"]["entryCount"] == 1


async def test_an_error_tells_a_foreign_client_the_next_step_in_its_message(story: Story) -> None:
    with pytest.raises(CallError) as unknown:
        await story.ask(f"{DEPLOYMENTS}/GetDeployment", {"name": "deployments/nowhere"})
    with pytest.raises(CallError) as forbidden:
        await story.client.ask(story.address, story.camera, f"{DEPLOYMENTS}/ListDeployments", {})

    assert unknown.value.code == "NOT_FOUND"
    assert "cordon admin deployment list" in unknown.value.message
    assert forbidden.value.code == "PERMISSION_DENIED"
    assert "admin" in forbidden.value.message


async def test_a_foreign_camera_streams_frames_and_hears_results(story: Story) -> None:
    welcome, result = await show_portrait(story)

    assert welcome["deployment"] == story.deployment
    assert result["sequence"] == "1"
    assert result["outcome"] == "FRAME_OUTCOME_PROCESSED"
    assert result["faces"]["searched"] == 1
    assert result["matches"] == 1


async def test_a_foreign_control_room_follows_the_match_stream(story: Story) -> None:
    await show_portrait(story)

    method = f"{MATCHES}/SubscribeMatches"
    async with story.client.open(story.address, story.control, method) as call:
        await call.say({"parent": story.deployment, "afterSequence": "0"})
        call.finish()
        match = await hear(call, "match")

    assert match["sequence"] == "1"
    assert match["entry"] == f"{story.deployment}/entries/portrait"
    assert match["score"] > match["threshold"]


@pytest.mark.parametrize("version", ["grpc-v1", "grpc-v1alpha"])
def test_reflection_answers_in_both_versions(site: Site, version: str) -> None:
    command = [*BUF_CURL, "--reflect-protocol", version, "--list-services"]

    listed = subprocess.run(
        [*command, f"https://{site.address}"],
        cwd=site.admin,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert listed.returncode == 0, listed.stderr
    services = {CAMERAS, DEPLOYMENTS, MATCHES, RECOGNITION, WATCHLISTS, "grpc.health.v1.Health"}
    assert services <= set(listed.stdout.split())
