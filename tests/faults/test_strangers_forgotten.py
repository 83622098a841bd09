"""R1 on a real server: of who is not listed nothing is written, whatever happens to the server."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cordon.v1 import recognition_pb2
from cordon_server.operations.needles import Kind, Needles, search_files
from tests.bench.mosaic import crowd_in_order, write_mosaics
from tests.helpers.crowd import list_people
from tests.helpers.frame_stream import PROCESSED, REJECTED, Request, Stream, now
from tests.helpers.rpc import channel_of
from tests.helpers.site import free_port, init_site
from tests.helpers.witness_server import BREAK, STAGES, read_witness
from tests.helpers.witnessed_site import WitnessedSite, found_in_trace, without_strace

STRANGERS, LISTED = 5_000, 50
SPARE = 10
"""Pictures more than that, for some will not pass the enrolment gate."""
COLUMNS, ROWS, SIDE = 6, 4, 250
FRAMES = 213
KILLS = 5
UNANSWERED = 3
"""Frames under way when the server is killed."""


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Frames of 24 people each, nobody twice."""
    folder = tmp_path_factory.mktemp("crowd") / "frames"
    size = {"width": COLUMNS * SIDE, "height": ROWS * SIDE, "columns": COLUMNS, "rows": ROWS}
    write_mosaics(folder, **size, frames=FRAMES)
    frames = [file.read_bytes() for file in sorted(folder.iterdir())]
    shutil.rmtree(folder)
    return frames


@dataclass(frozen=True, slots=True)
class Story:
    """What became of the crowd, on a server that is stopped now."""

    site: WitnessedSite
    camera: Path
    needles: Needles
    faces: int


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, crowd: list[bytes]) -> Iterator[Story]:
    site = WitnessedSite(tmp_path_factory.mktemp("strangers") / "site", free_port())
    init_site(site)
    try:
        site.start()
        site.sign_in_administrator()
        camera = asyncio.run(_pass_by(site, crowd))
        yield Story(site, camera, *_strangers(site, crowd))
    finally:
        if site.process is not None:
            site.stop(signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.serves("R1")
def test_of_five_thousand_strangers_nothing_is_in_any_file(story: Story) -> None:
    read, found = search_files(story.site.folder, story.needles)

    print(f"\n{story.faces} faces, {len(story.needles)} pieces in {read / 2**20:.0f} MiB of files")
    assert story.faces >= STRANGERS + LISTED
    assert story.site.log.count('"match.not_logged"') == 1  # the exception in the last stage
    assert read
    assert not found


@pytest.mark.slow
@pytest.mark.serves("R1")
@pytest.mark.skipif(bool(without_strace()), reason=without_strace())
def test_of_five_thousand_strangers_nothing_is_in_any_write_of_the_server(story: Story) -> None:
    traces = sorted(story.site.traces.iterdir())
    assert len(traces) == 2 + KILLS

    for trace in traces:
        written, found = found_in_trace(trace, story.needles)
        print(f"{written / 2**20:.1f} MiB of writes in the server's life {trace.name}")
        assert written
        assert not found


@pytest.mark.slow
@pytest.mark.serves("R1")
def test_six_of_six_leaks_are_found_by_the_same_search(story: Story, crowd: list[bytes]) -> None:
    site = story.site
    site.leaks_into = site.folder / "data" / "leak"
    site.start()
    asyncio.run(_seen(story.camera, crowd[-1:]))
    site.stop()

    needles, _ = _strangers(site, crowd[-1:])
    assert search_files(site.folder, needles)[1].keys() == set(Kind)
    if not without_strace():
        assert found_in_trace(site.traces / str(site.starts), needles)[1].keys() == set(Kind)
    site.leaks_into.unlink()


async def _pass_by(site: WitnessedSite, crowd: list[bytes]) -> Path:
    """Everybody walks past, while the server breaks in each stage and is killed again and again;
    a camera of it."""
    cameras = [site.add_camera(name) for name in ("north", "south", "street")]
    deployment = site.add_deployment(*(name for name, _ in cameras))
    listed = await list_people(site, deployment, crowd_in_order()[: LISTED + SPARE])
    assert listed >= LISTED
    site.arm(deployment)
    site.stop()
    shutil.rmtree(site.witness)  # of the listed, who are on disk as they should be
    site.start()
    await _broken_in_each_stage(cameras[0][1], cameras[2][1], crowd[0])
    for portion in range(KILLS + 1):
        frames = crowd[portion :: KILLS + 1]
        await asyncio.gather(_seen(cameras[0][1], frames[::2]), _seen(cameras[1][1], frames[1::2]))
        if portion < KILLS:
            await _killed_under_way(site, cameras[0][1], frames[:UNANSWERED])
            site.start()
    site.stop()
    return cameras[0][1]


def _strangers(site: WitnessedSite, crowd: list[bytes]) -> tuple[Needles, int]:
    """All frames, crops and templates that the server has had, and of how many faces."""
    needles, faces = Needles(), set[bytes]()
    for frame in crowd:
        needles.add_picture(frame)
    for crop, template in read_witness(site.witness):
        needles.add_crop(crop)
        needles.add_template(template)
        faces.add(template.tobytes())
    return needles, len(faces)


async def _broken_in_each_stage(stills: Path, street: Path, frame: bytes) -> None:
    """A frame breaks in each stage, one of a video camera in the stage that others have not."""
    async with channel_of(stills) as one, channel_of(street) as other:
        pictures, video = Stream(one), Stream(other)
        await pictures.hello()
        await video.hello(source_kind=recognition_pb2.SOURCE_KIND_VIDEO)
        for stage in STAGES:
            stream = video if stage == "track" else pictures
            result = await stream.frame(frame + BREAK + stage.encode())
            assert result.outcome == REJECTED, stage


async def _seen(camera: Path, frames: list[bytes]) -> None:
    """Every frame is analysed."""
    async with channel_of(camera) as channel:
        stream = Stream(channel)
        await stream.hello()
        for frame in frames:
            result = await stream.frame(frame)
            assert result.outcome == PROCESSED
            assert result.faces.searched


async def _killed_under_way(site: WitnessedSite, camera: Path, frames: list[bytes]) -> None:
    """The server is killed while it has these frames."""
    async with channel_of(camera) as channel:
        stream = Stream(channel)
        await stream.hello()
        for number, jpeg in enumerate(frames):
            frame = recognition_pb2.Frame(sequence=number + 1, captured_at=now(), jpeg=jpeg)
            await stream.call.write(Request(frame=frame))
        await asyncio.to_thread(site.stop, signal.SIGKILL)
