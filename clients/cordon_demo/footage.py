"""Renders one camera's street as an MJPEG video file that repeats without a seam.

Run as a program of its own, one per camera, so that cameras are rendered side by side:
`python -m cordon_demo.footage OUT CAMERA WANTED...`.
"""

from __future__ import annotations

import math
import sys
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from cordon_demo.drawn import (
    BODY_PX_PER_M,
    BODY_TOP_M,
    BODY_WIDTH_M,
    GAIT_PHASES,
    draw_bodies,
    draw_head,
)
from cordon_demo.heads import FACE_AT, FACE_PX, head_from_photo, relight
from cordon_demo.plan import STREETS, Street
from cordon_demo.portraits import asset_path, find_face
from cordon_demo.scene import (
    FACE_WIDTH_M,
    FPS,
    FRAMES,
    HEIGHT_PX,
    WIDTH_PX,
    Pose,
    Scene,
    View,
    Walker,
    make_scene,
)
from cordon_demo.street import draw_street

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from cordon_demo.heads import Sprite

    Image = NDArray[np.uint8]
    Matrix = NDArray[np.float64]
    """(3, 3), from sprite pixels to frame pixels."""
    Pyramid = list[Sprite]
    """A sprite with its colours multiplied by alpha, then halved again and again."""

DRAWN_STRANGERS = 5
_JPEG_QUALITY = 82
_NECK_M = 0.03
"""By how much collars sit higher than drawn: photographed necks are short."""


def scene_of(street: Street, wanted: int) -> Scene:
    """The scene that `render` shows: the wanted, one photographed stranger, the drawn ones."""
    return make_scene(street.camera, street.seed, wanted, 1 + DRAWN_STRANGERS, street.first_s)


def render(out: Path, street: Street, wanted: Sequence[Path]) -> None:
    """Writes the whole repetition to a Matroska file of JPEG frames, 10 a second."""
    import av
    import simplejpeg

    scene = scene_of(street, len(wanted))
    with av.open(str(out), "w", format="matroska") as container:
        stream = container.add_stream("mjpeg", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH_PX, HEIGHT_PX, "yuvj420p"
        for number, frame in enumerate(frames(scene, wanted)):
            jpeg = simplejpeg.encode_jpeg(
                frame, quality=_JPEG_QUALITY, colorspace="BGR", colorsubsampling="420"
            )
            packet = av.Packet(jpeg)
            packet.stream = stream
            packet.time_base = Fraction(1, FPS)
            packet.pts = packet.dts = number
            packet.is_keyframe = True
            container.mux(packet)


def frames(scene: Scene, wanted: Sequence[Path], every: int = 1) -> Iterator[Image]:
    """The frames of a repetition, each a fresh (720, 1280, 3) BGR picture."""
    cast = _cast(scene, wanted)
    posters = [draw_head(scene.seed * 31 + i) for i in range(3)]
    empty = draw_street(scene.seed, scene.view, posters)
    noise = _noise(scene.seed)
    for number in range(0, FRAMES, every):
        frame = empty.copy()
        _draw_people(frame, scene, cast, number / FPS)
        yield _as_filmed(frame, noise[number % len(noise)], scene.camera)


class _Person:
    """What a walker looks like: a head, and a body in each phase of its gait."""

    def __init__(self, head: Sprite, seed: int) -> None:
        self.head = _pyramid(head)
        self.bodies = [_pyramid(body) for body in draw_bodies(seed)]


def _cast(scene: Scene, wanted: Sequence[Path]) -> list[tuple[Walker, _Person]]:
    photos = [*wanted, asset_path("admiral")]
    heads = [_worn(head_from_photo(find_face(path)), scene.seed + i)
             for i, path in enumerate(photos)]  # fmt: skip
    heads += [relight(draw_head(scene.seed + i), i) for i in range(DRAWN_STRANGERS)]
    return [(walker, _Person(heads[walker.head], walker.head + scene.seed))
            for walker in scene.walkers]  # fmt: skip


def _worn(head: Sprite, seed: int) -> Sprite:
    """The photo as another camera would have taken it: other light, softer, compressed."""
    soft = cv2.GaussianBlur(relight(head, seed)[..., :3], (0, 0), 1.0)
    _, jpeg = cv2.imencode(".jpg", soft, [cv2.IMWRITE_JPEG_QUALITY, 55])
    again = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
    assert again is not None, "what imencode wrote, imdecode reads"
    return np.dstack([np.asarray(again, np.uint8), head[..., 3]])


def _pyramid(sprite: Sprite) -> Pyramid:
    alpha = sprite[..., 3:].astype(np.uint16)
    colours = (sprite[..., :3] * alpha // 255).astype(np.uint8)
    levels = [np.dstack([colours, sprite[..., 3]])]
    for _ in range(3):
        last = levels[-1]
        half = (max(1, last.shape[1] // 2), max(1, last.shape[0] // 2))
        levels.append(np.asarray(cv2.resize(last, half, interpolation=cv2.INTER_AREA), np.uint8))
    return levels


def _draw_people(
    frame: Image, scene: Scene, cast: Sequence[tuple[Walker, _Person]], time_s: float
) -> None:
    """Far to near, so that the near hide the far."""
    present = [(pose, person) for walker, person in cast if (pose := walker.pose(time_s))]
    for pose, person in sorted(present, key=lambda both: -both[0].depth_m):
        _draw_shadow(frame, scene.view, pose)
        body = person.bodies[int(pose.stride * GAIT_PHASES) % GAIT_PHASES]
        _paste(frame, person.head, _head_matrix(scene.view, pose))
        _paste(frame, body, _body_matrix(scene.view, pose))


def _draw_shadow(frame: Image, view: View, pose: Pose) -> None:
    scale = view.scale(pose.depth_m)
    x, y = view.project(pose.x_m + 0.12, 0.0, pose.depth_m)
    wide, high = round(0.38 * scale), max(2, round(0.07 * scale))
    left, top = max(0, round(x) - wide), max(0, round(y) - high)
    area = frame[top : round(y) + high, left : round(x) + wide]
    if area.size == 0:
        return
    ys, xs = np.ogrid[: area.shape[0], : area.shape[1]]
    far = ((xs + left - x) / wide) ** 2 + ((ys + top - y) / high) ** 2
    area[:] = (area * (1 - 0.5 * np.clip(1 - far, 0, 1))[..., None]).astype(np.uint8)


def _head_matrix(view: View, pose: Pose) -> Matrix:
    """Scaled to its distance, tilted, and turned a little aside in perspective."""
    x, y = view.project(pose.x_m, pose.face_height_m, pose.depth_m)
    scale = FACE_WIDTH_M * view.scale(pose.depth_m) / FACE_PX
    angle, turn = math.radians(pose.tilt_degrees), math.radians(12 * pose.turn)
    rotate = np.array(
        [[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]]
    )
    perspective = np.array([[math.cos(turn), 0, 0], [0, 1, 0], [math.sin(turn) / 420, 0, 1]])
    turned: Matrix = (
        rotate @ np.diag([scale, scale, 1.0]) @ perspective @ _shift(-FACE_AT[0], -FACE_AT[1])
    )
    return _shift(x, y) @ turned


def _body_matrix(view: View, pose: Pose) -> Matrix:
    scale = view.scale(pose.depth_m) / BODY_PX_PER_M
    # The body stays upright and at its height, however the head bobs and tilts.
    x, y = view.project(pose.x_m, pose.face_height_m - BODY_TOP_M + _NECK_M, pose.depth_m)
    middle = _shift(-BODY_WIDTH_M * BODY_PX_PER_M / 2, 0)
    return _shift(x, y) @ np.diag([scale, scale, 1.0]) @ middle


def _shift(x: float, y: float) -> Matrix:
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], np.float64)


def _paste(frame: Image, sprite: Pyramid, matrix: Matrix) -> None:
    """Lays a sprite over the frame, from the level of its pyramid that suits the size."""
    shrink = math.sqrt(abs(np.linalg.det(matrix[:2, :2])))
    level = min(len(sprite) - 1, max(0, int(-math.log2(max(shrink, 1e-6)))))
    source = sprite[level]
    matrix = matrix @ np.diag([sprite[0].shape[1] / source.shape[1]] * 2 + [1.0])
    left, top, right, bottom = _bounds(source, matrix)
    if left >= right or top >= bottom:
        return
    moved = cv2.warpPerspective(source, _shift(-left, -top) @ matrix, (right - left, bottom - top))
    area = frame[top:bottom, left:right]
    behind = cv2.bitwise_not(cv2.extractChannel(moved, 3))
    cv2.multiply(area, cv2.merge([behind, behind, behind]), dst=area, scale=1 / 255)
    cv2.add(area, np.ascontiguousarray(moved[..., :3]), dst=area)


def _bounds(sprite: Sprite, matrix: Matrix) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a moved sprite, within the frame."""
    high, wide = sprite.shape[:2]
    corners = matrix @ np.array([[0, wide, 0, wide], [0, 0, high, high], [1, 1, 1, 1]])
    xs, ys = corners[0] / corners[2], corners[1] / corners[2]
    return (
        max(0, math.floor(xs.min())), max(0, math.floor(ys.min())),
        min(WIDTH_PX, math.ceil(xs.max())), min(HEIGHT_PX, math.ceil(ys.max())),
    )  # fmt: skip


def _noise(seed: int) -> list[Image]:
    """Sensor noise around 128, several frames of it."""
    chance = np.random.default_rng(seed)
    fields = []
    for _ in range(4):
        field = chance.normal(128, 3.2, (HEIGHT_PX // 2, WIDTH_PX, 3)).astype(np.uint8)
        fields.append(np.vstack([field, field[:, ::-1]]))
    return fields


def _as_filmed(frame: Image, noise: Image, camera: str) -> Image:
    """Through a lens and a sensor: a little soft, a little noisy, with the camera's name."""
    soft = cv2.GaussianBlur(frame, (3, 3), 0.7)
    noisy = cv2.addWeighted(soft, 1.0, noise, 1.0, -128.0)
    for colour, width in (((20, 20, 20), 4), ((240, 240, 240), 1)):
        cv2.putText(noisy, camera.upper(), (24, 44), cv2.FONT_HERSHEY_DUPLEX, 0.9, colour, width,
                    cv2.LINE_AA)  # fmt: skip
    return np.asarray(noisy, np.uint8)


def main(arguments: Sequence[str]) -> None:
    """OUT CAMERA WANTED..."""
    cv2.setNumThreads(1)
    out, camera, *wanted = arguments
    street = next(street for street in STREETS if street.camera == camera)
    render(Path(out), street, [Path(photo) for photo in wanted])


if __name__ == "__main__":
    main(sys.argv[1:])
