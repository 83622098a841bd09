"""A picture of each sweep, as PNG in a folder that git ignores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.harness import Row

FOLDER = Path(__file__).parent / "out"


@dataclass(frozen=True, slots=True)
class Plot:
    """Sweeps with one axis in common."""

    name: str
    across: str
    up: str
    curves: Mapping[str, str]
    """Label -> key of the row that holds the sweep."""
    is_logarithmic: bool = False


PLOTS = (
    Plot(
        "thresholds",
        "threshold",
        "share of pictures",
        {"listed, found (TPIR)": "tpir_sweep", "not listed, matched (FPIR)": "fpir_sweep"},
    ),
    Plot(
        "offered-load",
        "offered load over capacity",
        "frames/s",
        {"frames/s": "g5_sweep_frames_per_s"},
    ),
    Plot(
        "age-by-offered-load",
        "offered load over capacity",
        "p95 age of a result, ms",
        {"p95 age": "g6_sweep_age_p95_ms"},
    ),
    Plot(
        "gpu-faces-by-batch",
        "faces in a batch",
        "faces/s",
        {"bare ONNX Runtime": "gpu_embedder_sweep_bare", "lane": "gpu_embedder_sweep_lane"},
        is_logarithmic=True,
    ),
    Plot(
        "gpu-frames-by-batch",
        "frames in a batch",
        "frames/s",
        {"bare ONNX Runtime": "gpu_detector_sweep_bare", "lane": "gpu_detector_sweep_lane"},
        is_logarithmic=True,
    ),
    Plot(
        "search-by-list-size",
        "references",
        "µs a face",
        {"compared with all": "g11_sweep_exact_us", "indexed": "g11_sweep_hnsw_us"},
        is_logarithmic=True,
    ),
)


def draw_all(rows: Sequence[Row], folder: Path = FOLDER) -> list[Path]:
    """Draws every plot whose sweeps were measured; the files."""
    sweeps = {row.key: row.value for row in rows if isinstance(row.value, dict)}
    return [
        _draw(plot, sweeps, folder)
        for plot in PLOTS
        if all(key in sweeps for key in plot.curves.values())
    ]


def _draw(plot: Plot, sweeps: Mapping[str, dict[object, float]], folder: Path) -> Path:
    # Imported late: most runs draw nothing.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for label, key in plot.curves.items():
        across = [float(str(each)) for each in sweeps[key]]
        axes.plot(across, list(sweeps[key].values()), marker="o", label=label)
    axes.set_xlabel(plot.across)
    axes.set_ylabel(plot.up)
    if plot.is_logarithmic:
        axes.set_xscale("log")
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    folder.mkdir(exist_ok=True)
    file = folder / f"{plot.name}.png"
    figure.savefig(file, dpi=110)
    return file
