"""One PNG per match: probe beside reference, with what a person needs to judge them.

Knows pictures and words, neither the server nor the run.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont, ImageOps, PngImagePlugin, UnidentifiedImageError

from cordon_client.errors import ClientError
from cordon_demo.portraits import asset_path

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

_WIDTH, _HEIGHT = 1000, 706
_PICTURE = 440
_LEFT = (40, 520)
_TOP = 118
_INK, _SOFT, _PAPER, _CARD = (24, 28, 34), (104, 112, 122), (246, 246, 243), (255, 255, 255)
_ACCENT, _TRACK = (16, 98, 160), (222, 224, 226)
_GOOD, _BAD = (28, 122, 70), (176, 40, 40)
_SIGNATURE = "cordon demo"
"""Written into each file: what carries it may be deleted by the next run."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A match as a person sees it."""

    sequence: int
    camera: str
    reference: str
    """The entry's external reference."""
    captured_at: datetime
    score: float
    margin: float
    threshold: float
    latency_ms: float
    face_px: float
    """Width of the probe's face."""
    is_true: bool | None
    """As far as the demo knows."""


def prepare_folder(folder: Path) -> None:
    """Makes the folder, and empties it of what earlier runs of the demo wrote; nothing else."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("match-*.png"):
            if _is_ours(path):
                path.unlink()
    except OSError as error:
        raise _unwritable(folder, error) from error


def write_pair(folder: Path, pair: Pair, probe_jpeg: bytes, reference_jpeg: bytes) -> Path:
    """Writes `match-<sequence>-<camera>.png` and returns its path."""
    page = draw_pair(pair, probe_jpeg, reference_jpeg)
    info = PngImagePlugin.PngInfo()
    info.add_text("Software", _SIGNATURE)
    path = folder / f"match-{pair.sequence:04d}-{pair.camera}.png"
    try:
        page.save(path, pnginfo=info, compress_level=3)
    except OSError as error:
        raise _unwritable(folder, error) from error
    return path


def draw_pair(pair: Pair, probe_jpeg: bytes, reference_jpeg: bytes) -> Image.Image:
    """The page: faces first and large, the numbers below them."""
    page = Image.new("RGB", (_WIDTH, _HEIGHT), _PAPER)
    draw = ImageDraw.Draw(page)
    draw.rectangle((0, 0, _WIDTH, 64), fill=_INK)
    draw.text((40, 32), "Possible match", _PAPER, _font(26, bold=True), anchor="lm")
    draw.text((_WIDTH - 40, 32), "a person decides", (190, 196, 204), _font(20), anchor="rm")
    when = pair.captured_at.astimezone()
    seen = f"{when:%Y-%m-%d  %H:%M:%S}.{when.microsecond // 1000:03d}"
    titles = (("Probe", f"{pair.camera}   {seen}"), ("Reference", pair.reference))
    for left, jpeg, title in zip(_LEFT, (probe_jpeg, reference_jpeg), titles, strict=True):
        _draw_picture(page, left, jpeg)
        label, words = title
        draw.text((left, 92), label, _INK, _font(18, bold=True), anchor="lm")
        draw.text((left + _PICTURE, 92), _fitted(words, 34), _SOFT, _font(16), anchor="rm")
    _draw_score(draw, pair)
    return page


def _draw_picture(page: Image.Image, left: int, jpeg: bytes) -> None:
    """Enlarged to the same size whatever its own, on white."""
    picture = Image.open(io.BytesIO(jpeg)).convert("RGB")
    size = (_PICTURE, _PICTURE)
    card = ImageOps.pad(picture, size, Image.Resampling.LANCZOS, color=_CARD)
    page.paste(card, (left, _TOP))
    ImageDraw.Draw(page).rectangle(
        (left, _TOP, left + _PICTURE - 1, _TOP + _PICTURE - 1), outline=_TRACK
    )


def _draw_score(draw: ImageDraw.ImageDraw, pair: Pair) -> None:
    """A bar from 0 to 1 with the threshold marked, and the figures."""
    left, right, top = _LEFT[0], _LEFT[1] + _PICTURE, 588
    wide = right - left
    draw.rounded_rectangle((left, top, right, top + 14), 7, fill=_TRACK)
    reach = left + max(14, round(wide * max(0.0, min(1.0, pair.score))))
    draw.rounded_rectangle((left, top, reach, top + 14), 7, fill=_ACCENT)
    mark = left + round(wide * pair.threshold)
    draw.line((mark, top - 7, mark, top + 21), _INK, 3)
    figures = (
        ("score", f"{pair.score:.3f}"),
        ("threshold", f"{pair.threshold:.3f}"),
        ("margin", f"{pair.margin:.3f}"),
        ("face", f"{pair.face_px:.0f} px"),
        ("capture to match", f"{pair.latency_ms:.0f} ms"),
        _verdict(pair.is_true),
    )
    for i, (label, figure) in enumerate(figures):
        x = left + i * wide // len(figures)
        colour = {True: _GOOD, False: _BAD, None: _INK}[pair.is_true] if i == 5 else _INK
        draw.text((x, 636), label, _SOFT, _font(15), anchor="lm")
        draw.text((x, 664), figure, colour, _font(23, bold=True), anchor="lm")


def _verdict(is_true: bool | None) -> tuple[str, str]:
    return "ground truth", {True: "same", False: "different", None: "unknown"}[is_true]


def _fitted(words: str, characters_max: int) -> str:
    return words if len(words) <= characters_max else f"{words[: characters_max - 1]}…"


def _font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(asset_path("bold" if bold else "font")), size)


def _is_ours(path: Path) -> bool:
    try:
        with Image.open(path) as picture:
            return picture.info.get("Software") == _SIGNATURE
    except UnidentifiedImageError:
        return False


def _unwritable(folder: Path, error: OSError) -> ClientError:
    return ClientError(
        f"The pictures cannot be written to {folder}.",
        f"{error.strerror or error}.",
        "cordon demo --out ANOTHER_DIR",
    )
