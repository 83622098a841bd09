"""A camera is tested before its deployment is armed, and watched after, by the commands."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.data import shared_data
from tests.helpers import arming
from tests.helpers.site import Site


def portrait(name: str, number: int) -> Path:
    return shared_data("lfw", "deepfunneled", name, f"{name}_{number:04}.jpg")


@pytest.mark.slow
@pytest.mark.serves("R28")
def test_a_camera_is_tested_before_it_is_armed_and_watched_while_it_is(
    site: Site, tmp_path: Path
) -> None:
    desk = site.supervisor
    camera, identity = site.add_camera()
    deployment = site.add_deployment(camera, options=("--assign", "supervisor"))
    consent = ("--source", "subject", "--rationale", "agreed on the form of May")
    for reference, image, category in (
        ("V-1", portrait("Cherie_Blair", 1), "volunteer"),
        ("V-2", portrait("Elizabeth_Dole", 1), "volunteer"),
        ("A-1", portrait("Brad_Garrett", 1), "wanted"),
    ):
        enrol = ("admin", "watchlist", "enrol", deployment, reference, str(image))
        site.cordon(*enrol, "--category", category, *consent)
    known = _known(tmp_path / "known")
    preflight = ("control", "preflight", deployment, "--camera", camera, "--known", str(known))
    drift = ("control", "drift", deployment)
    too_early = site.cordon(*preflight, identity=desk, code=7)
    assert "once it is authorised" in too_early.stderr

    arming.move(site.officer, "SubmitDeployment", deployment)
    arming.authorise(site.approver, deployment)
    site.cordon(*preflight, "--dry-run", identity=desk)
    found = site.cordon_json(*preflight, identity=desk)

    print(f"\n{found}")
    assert (found["pictures"], found["recognised"]) == (7, 4)
    assert (found["volunteers"], found["volunteers_recognised"]) == (2, 2)
    assert (found["no_face"], found["too_small"], found["below_threshold"]) == (1, 1, 1)
    assert found["tpir_low"] < found["tpir"] < found["tpir_high"]
    shown = site.cordon(*preflight, identity=desk).stdout
    assert "TPIR" in shown
    assert "A-1" not in shown
    assert "baseline: 0 of 500 people" in site.cordon(*drift, identity=desk).stdout

    arming.move(site.approver, "ArmDeployment", deployment)
    pictures = tmp_path / "passing"
    pictures.mkdir()
    for number in (2, 3):
        shutil.copy(portrait("Ben_Howland", number), pictures)
    site.cordon("camera", "run", "--folder", str(pictures), identity=identity)

    measures = site.cordon_json(*drift)
    assert [each["measure"] for each in measures] == ["quality", "score", "alerts"]
    assert {each["baseline_people"] for each in measures} == {2}
    assert {each["baseline"] for each in measures} == {None}, "two people have no mean"
    assert site.cordon_json("control", "matches", deployment) == []


def _known(folder: Path) -> Path:
    """Four pictures that show the volunteer, and three that do not: somebody else, nobody, and one
    who is far away."""
    folder.mkdir()
    lines = ["file,reference"]
    for reference, name in (("V-1", "Cherie_Blair"), ("V-2", "Elizabeth_Dole")):
        for number in (2, 3):
            picture = shutil.copy(portrait(name, number), folder)
            lines.append(f"{Path(picture).name},{reference}")
    shutil.copy(portrait("Brad_Garrett", 2), folder / "somebody-else.jpg")
    Image.new("RGB", (640, 480)).save(folder / "nobody.jpg")
    with Image.open(portrait("Cherie_Blair", 2)) as near:
        far = Image.new("RGB", (640, 480))
        far.paste(near.resize((56, 56)), (300, 200))
    far.save(folder / "far.jpg")
    lines += ["somebody-else.jpg,V-2", "nobody.jpg,V-1", "far.jpg,V-1"]
    (folder / "known.csv").write_text("\n".join(lines) + "\n")
    return folder
