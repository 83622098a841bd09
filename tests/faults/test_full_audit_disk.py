"""No audit, no action: with the record's disk full, nothing is done that ought to be on record."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import grpc
import pytest

from cordon.v1 import camera_pb2
from cordon.v1.camera_pb2_grpc import CameraServiceStub
from cordon_admin import verifier
from tests.helpers import people
from tests.helpers.matrix import reason_of
from tests.helpers.site import Site

SMALL = "size=512k"
TRIES_MAX = 1000


@pytest.fixture
def small_disk(own_site: Site) -> Iterator[Site]:
    """A site whose record lies on a file system of half a megabyte."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system takes root")
    folder = own_site.folder / "data" / "audit"
    own_site.stop()
    begun = {path.name: path.read_bytes() for path in folder.iterdir()}
    subprocess.run(["mount", "-t", "tmpfs", "-o", SMALL, "tmpfs", str(folder)], check=True)
    try:
        for name, content in begun.items():
            if name == "data.mdb":
                (folder / name).write_bytes(content)
        own_site.start()
        yield own_site
    finally:
        if own_site.process is not None:
            own_site.stop()
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.slow
@pytest.mark.serves("R12")
def test_a_full_record_refuses_acts_until_there_is_room_and_loses_none(small_disk: Site) -> None:
    site = small_disk
    name = site.new_name("gate")
    site.cordon("admin", "camera", "add", site.new_name("gate"))
    ballast = site.folder / "data" / "audit" / "ballast"
    _fill(ballast)

    _try_until_refused(site, name)
    refused = site.cordon("admin", "camera", "add", name, code=1)
    assert "could not be recorded: there is no room" in refused.stderr
    # What does nothing to personal data is no act: it goes on, and shows that nothing was done.
    assert f"cameras/{name}" not in site.cordon("admin", "camera", "list", "-o", "name").stdout

    ballast.unlink()
    site.cordon("admin", "camera", "add", name)
    file = site.folder / "record.jsonl"
    site.cordon("admin", "audit", "export", str(file))
    added = [leaf for leaf in verifier.leaves(file) if leaf["resource"] == f"cameras/{name}"]
    assert [leaf["facts"] for leaf in added if leaf["facts"] != {"trial": True}] == [{}]


def _try_until_refused(site: Site, camera: str) -> None:
    """Trials of an act, until the record has used up the pages of its file."""
    request = camera_pb2.CreateCameraRequest(camera_id=camera, validate_only=True)
    people.keep_signed_in(site.admin)
    with people.channel_at(site.admin) as channel:
        stub = CameraServiceStub(channel)
        with pytest.raises(grpc.RpcError) as refused:  # noqa: PT012  # one of these calls
            for _ in range(TRIES_MAX):
                stub.CreateCamera(request, metadata=people.bearer(site.admin), timeout=30)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    trailers = refused.value.trailing_metadata()
    assert reason_of([(each.key, each.value) for each in trailers]) == "NOT_RECORDED"


def _fill(ballast: os.PathLike[str]) -> None:
    """Takes all the room that there is."""
    with open(ballast, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return
