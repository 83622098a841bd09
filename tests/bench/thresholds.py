"""Open-set identification on LFW over thresholds: what each costs in false matches and in misses.

The server's own code on real pictures, without the server: listed people by one picture each.
"""

from __future__ import annotations

from cordon_server.recognition.models.pack import load_pack
from tests.bench.accuracy import (
    SUBJECTS,
    THRESHOLDS,
    Offline,
    draw_lfw,
    offline_identification,
    shipped_models,
)
from tests.bench.harness import Bench, Row
from tests.data import shared_data


def measure(bench: Bench) -> list[Row]:
    """TPIR and FPIR at the recommended threshold and over all."""
    bench.say(f"identifying LFW against {SUBJECTS} listed")
    draw = draw_lfw(shared_data("lfw", "deepfunneled"), seed=0)
    found = offline_identification(Offline(shipped_models()), draw)
    recommended = load_pack().score_threshold
    return [
        Row("tpir", f"TPIR at {recommended:g}", found.tpir(recommended)),
        Row("fpir", f"FPIR at {recommended:g}", found.fpir(recommended)),
        Row("tpir_sweep", "  TPIR by threshold", {t: round(found.tpir(t), 4) for t in THRESHOLDS}),
        Row("fpir_sweep", "  FPIR by threshold", {t: round(found.fpir(t), 4) for t in THRESHOLDS}),
    ]
