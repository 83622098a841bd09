"""Listed people in real footage are found, and nobody else is."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import pytest
import simplejpeg

from tests.data import shared_data
from tests.helpers.site import Site

CLIP_FPS = 25


@dataclass(frozen=True)
class Walker:
    """Someone in the Covent Garden clip, labelled by eye."""

    name: str
    enrolled_frame: int
    enrolled_at: tuple[int, int]
    """A point inside the face in that frame, pixels."""
    path: tuple[tuple[int, int], ...]
    """(frame, left edge of the face) along the last two seconds."""
    width_min: int
    """The faces behind, in the same columns, are narrower."""

    def is_at(self, frame: int, box: dict[str, float]) -> bool:
        """Whether a match's box in a frame is on this walker."""
        before = max(p for p in self.path if p[0] <= frame)
        after = min(p for p in self.path if p[0] >= frame)
        share = (frame - before[0]) / max(1, after[0] - before[0])
        left = before[1] + share * (after[1] - before[1])
        return abs(box["x"] - left) < 60 and box["width"] >= self.width_min


BOY = Walker("boy-in-hoodie", 12, (981, 700), ((55, 917), (60, 912), (80, 801), (104, 749)), 75)
MAN = Walker("tall-red-haired", 20, (719, 640), ((55, 537), (60, 527), (80, 450), (104, 372)), 70)


@pytest.mark.slow
def test_two_walkers_of_the_first_second_are_found_in_the_last_two_and_nobody_else_is(
    site: Site, tmp_path: Path
) -> None:
    clip = shared_data("videos", "walking", "covent_garden_1080p.mp4")
    frames = list(_jpegs(clip))
    camera, identity = site.add_camera("street")
    deployment = site.add_deployment(camera)
    _enrol_walkers(site, deployment, frames, tmp_path)
    site.arm(deployment)

    first = len(frames) - 2 * CLIP_FPS
    _stream_pictures(site, identity, frames[first:], tmp_path / "last")
    matches = _matches(site, deployment)

    walkers = {walker.name: walker for walker in (BOY, MAN)}
    found = Counter(match["entry_id"] for match in matches)
    print(f"\nfound in the last 50 frames: {dict(found)}")
    assert set(found) == set(walkers)
    for match in matches:
        frame = first + match["frame_sequence"] - 1
        assert walkers[match["entry_id"]].is_at(frame, match["box"]), match


@pytest.mark.slow
def test_friends_in_a_scene_are_found_and_a_hundred_others_are_not(
    site: Site, tmp_path: Path
) -> None:
    stills = sorted(shared_data("friends_yakhyo", "faces").glob("*.png"))
    scene = shared_data("videos", "labelled", "friends_a_720p.mp4")
    camera, identity = site.add_camera("scene")
    deployment = site.add_deployment(camera)
    _enrol(site, deployment, [(still.stem, still) for still in stills], tmp_path / "friends.csv")
    others = sorted(shared_data("lfw", "deepfunneled").iterdir())
    decoys = [(each.name, min(each.glob("*.jpg"))) for each in others if each.is_dir()][:120]
    enrolled = _enrol(site, deployment, decoys, tmp_path / "decoys.csv", may_reject=True)
    assert enrolled >= 100
    site.arm(deployment)

    # Every second frame as a still: no frame depends on how busy this machine is.
    _stream_pictures(site, identity, list(_jpegs(scene))[::2], tmp_path / "scene")
    found = Counter(match["entry_id"] for match in _matches(site, deployment))

    print(f"\nmatches: {dict(found)}")
    assert set(found) == {still.stem for still in stills}
    assert min(found.values()) >= 5


def _jpegs(clip: Path) -> Iterator[bytes]:
    """A clip's frames as a camera would send them."""
    with av.open(str(clip)) as container:
        for frame in container.decode(video=0):
            yield simplejpeg.encode_jpeg(frame.to_ndarray(format="bgr24"), 85, "BGR")


def _enrol_walkers(site: Site, deployment: str, frames: list[bytes], folder: Path) -> None:
    """Whole frames, each with a point in the face that is meant."""
    rows = ["external_ref,image,category,face_x,face_y"]
    for walker in (BOY, MAN):
        picture = folder / f"{walker.name}.jpg"
        picture.write_bytes(frames[walker.enrolled_frame])
        x, y = walker.enrolled_at
        rows.append(f"{walker.name},{picture.name},wanted,{x},{y}")
    (folder / "walkers.csv").write_text("\n".join(rows))
    site.cordon("admin", "watchlist", "import", deployment, str(folder / "walkers.csv"))


def _enrol(
    site: Site,
    deployment: str,
    pictures: list[tuple[str, Path]],
    listing: Path,
    *,
    may_reject: bool = False,
) -> int:
    rows = [f"{name},{picture},wanted" for name, picture in pictures]
    listing.write_text("\n".join(["external_ref,image,category", *rows]))
    command = ("admin", "watchlist", "import", deployment, str(listing), "-o", "json")
    done = site.cordon(*command, code=3 if may_reject else 0)
    return sum(row["outcome"] == "accepted" for row in json.loads(done.stdout))


def _stream_pictures(site: Site, identity: Path, jpegs: list[bytes], folder: Path) -> None:
    os.mkdir(folder)
    for number, jpeg in enumerate(jpegs):
        (folder / f"{number:05}.jpg").write_bytes(jpeg)
    site.cordon("camera", "run", "--folder", str(folder), identity=identity)


def _matches(site: Site, deployment: str) -> list[dict[str, Any]]:
    desk = site.identity("control", "street-desk")
    found: list[dict[str, Any]] = site.cordon_json("control", "matches", deployment, identity=desk)
    return found
