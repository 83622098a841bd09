"""The GPU's figures where there is none, and the arithmetic of those where there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import gpu
from tests.bench.harness import Bench, table


@pytest.mark.parametrize("holds", [0, 1, 2, 3, 7, 16, 40, 99, 255, 256, 1000])
def test_the_number_of_cameras_held_is_found_to_a_sixteenth_and_never_above(holds: int) -> None:
    tried: list[int] = []

    def is_held(count: int) -> bool:
        tried.append(count)
        return count <= holds

    found = gpu.most_held(is_held, 256)

    assert found <= min(holds, 256)
    assert min(holds, 256) - found <= max(1, found // 16) - (holds < 16)
    assert max(tried, default=0) <= 256
    assert len(tried) <= 16


def test_without_a_gpu_the_report_is_one_line_that_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "run_program", lambda *_: {"why_not": "no driver"})

    (row,) = gpu.measure(Bench(1, "cuda", tmp_path, lambda words: None))

    assert row.is_met
    assert "none here, nothing was measured: no driver" in table([row])


def test_a_gpu_that_decodes_nothing_is_reported_as_that() -> None:
    rows = gpu.picture_rows({"core_pictures_per_s": 300.0})

    assert "does not work here" in str(rows[0].value)
    assert rows[-1].value == 300.0


def test_the_lane_is_compared_with_the_best_that_bare_onnx_runtime_does() -> None:
    network = {
        "bare": {"sweep": {"1": 100.0, "64": 400.0, "128": 390.0}},
        "lane": {"sweep": {"1": 90.0}, "as_asked": 380.0},
    }
    found = {"device": "a GPU, 1.0", "warm_up_s": 2.0, "embedder": network, "detector": network}

    values = {row.key: row.value for row in gpu.network_rows(found)}

    assert values["gpu_embedder"] == 0.95
    assert values["gpu_detector_bare"] == 400.0
    assert values["gpu_embedder_sweep_bare"] == {"1": 100.0, "64": 400.0, "128": 390.0}
