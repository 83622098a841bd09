"""What the project's own files promise: pins, licences, versions that belong together."""

from __future__ import annotations

import re
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
PINS = {path.stem: path for path in sorted((ROOT / "requirements").glob("*.txt"))}
REGISTRIES = ("pypi" + ".org", "pythonhosted" + ".org", "npmjs" + ".org", "npmjs" + ".com")

HOMES = tuple(f"/{folder}/" for folder in ("home", "root", "Users"))


def requirements(extra: str = "") -> dict[str, Requirement]:
    """What pyproject.toml asks for, extras that name extras unfolded; by canonical name."""
    lines = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    found: dict[str, Requirement] = {}
    for requirement in map(Requirement, lines):
        if requirement.name == PROJECT["name"]:
            for inner in requirement.extras:
                found |= requirements(inner)
        else:
            found[canonicalize_name(requirement.name)] = requirement
    return found


def pinned(path: Path) -> dict[str, list[Version]]:
    """The versions a requirements file pins; several where Python versions differ."""
    found: dict[str, list[Version]] = {}
    for name, version in re.findall(r"^([\w.-]+)==([^\s;]+)", path.read_text(), re.MULTILINE):
        found.setdefault(canonicalize_name(name), []).append(Version(version))
    return found


def floor(requirement: Requirement) -> Version:
    return next(Version(spec.version) for spec in requirement.specifier if spec.operator == ">=")


def exact(lines: list[str]) -> dict[str, str]:
    parsed = map(Requirement, lines)
    return {canonicalize_name(r.name): str(r.specifier) for r in parsed if "==" in str(r.specifier)}


def closure(names: set[str]) -> set[str]:
    """The installed distributions that these need, themselves included."""
    seen: set[str] = set()
    waiting = set(names)
    while waiting:
        name = waiting.pop()
        seen.add(name)
        for line in metadata.requires(name) or ():
            requirement = Requirement(line)
            needed = not requirement.marker or requirement.marker.evaluate({"extra": ""})
            if needed and (found := canonicalize_name(requirement.name)) not in seen:
                waiting.add(found)
    return seen


def licence(name: str) -> str:
    about = metadata.metadata(name)
    classifiers = [c for c in about.get_all("Classifier") or () if c.startswith("License")]
    stated = about.get_all("License-Expression") or classifiers or about.get_all("License")
    return "; ".join(stated or ())


@pytest.mark.parametrize("name", PINS)
def test_every_pin_carries_hashes_and_no_address(name: str) -> None:
    text = PINS[name].read_text().replace("\\\n", " ")

    for line in filter(None, map(str.strip, text.splitlines())):
        assert re.fullmatch(r"[\w.-]+==[^\s;]+( ; [^-]+?)?(\s+--hash=sha256:[0-9a-f]{64})+", line)


@pytest.mark.parametrize(
    ("name", "extra"),
    [("client", ""), *((extra, extra) for extra in ("server", "gpu", "camera", "demo", "dev"))],
)
def test_the_pins_answer_what_the_project_asks_for(name: str, extra: str) -> None:
    wanted = requirements() | (requirements(extra) if extra else {})

    pins = pinned(PINS[name])

    for package, requirement in wanted.items():
        assert package in pins, f"{package} is not pinned; run: make requirements"
        for version in pins[package]:
            assert version in requirement.specifier, f"{package}; run: make requirements"


def test_all_files_pin_the_same_versions() -> None:
    development = pinned(PINS["dev"])

    for path in PINS.values():
        for package, versions in pinned(path).items():
            assert set(versions) <= set(development.get(package, versions)), (path.name, package)


def test_the_two_inference_engines_are_never_installed_together() -> None:
    for name, path in PINS.items():
        engines = {"onnxruntime", "onnxruntime-gpu"} & pinned(path).keys()
        assert len(engines) == (name in ("server", "gpu", "demo", "dev")), name


def test_opencv_comes_without_windows() -> None:
    for path in PINS.values():
        assert not {"opencv-python", "opencv-contrib-python"} & pinned(path).keys()
    with pytest.raises(metadata.PackageNotFoundError):
        metadata.version("opencv-python")


def test_generators_are_pinned_and_their_versions_are_the_floors_of_what_runs() -> None:
    built_with = exact(PYPROJECT["build-system"]["requires"])
    developed_with = exact(PROJECT["optional-dependencies"]["dev"])
    generated = (ROOT / "protos/cordon/v1/match_pb2.py").read_text()
    service = (ROOT / "protos/cordon/v1/match_pb2_grpc.py").read_text()
    stamp = re.search(r"Domain\.PUBLIC,\s+(\d+),\s+(\d+),\s+(\d+),", generated)
    version = re.search(r"GRPC_GENERATED_VERSION = '(.+)'", service)

    assert stamp
    assert version
    assert set(built_with) == {"grpcio-tools", "mypy-protobuf"}
    assert built_with.items() <= developed_with.items()
    assert floor(requirements()["protobuf"]) == Version(".".join(stamp.groups()))
    assert floor(requirements()["grpcio"]) == Version(version[1])
    assert built_with["grpcio-tools"] == f"=={version[1]}"


def test_protobuf_is_of_the_line_that_the_generated_code_is_for() -> None:
    assert Version(metadata.version("protobuf")).major == 7


def test_the_base_install_is_free_of_the_gpl() -> None:
    for name in closure(set(requirements())):
        stated = licence(name)

        assert stated, f"{name} states no licence"
        assert not re.search(r"\bA?GPL|GNU (Affero )?General Public", stated), (name, stated)


def test_the_files_name_no_registry_and_no_home_folder() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout: there is no list of the project's files")
    forbidden = (*REGISTRIES, *HOMES)

    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.suffix != ".binpb" and path.is_file():
            text = path.read_text(encoding="utf-8")
            assert not [word for word in forbidden if word in text], name


def test_the_readme_names_only_targets_that_make_knows() -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = set(re.findall(r"\bmake ([a-z]+)\b", (ROOT / "README.md").read_text()))

    assert {"demo", "test"} <= named
    for target in named:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target}"
