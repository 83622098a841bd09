from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_model_runtime_keeps_no_record_of_its_use(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}

    subprocess.run(
        [sys.executable, "-c", "import cordon_server.recognition.models.sessions"],
        env=environment | {"HOME": str(tmp_path), "TMPDIR": str(tmp_path)},
        check=True,
        timeout=60,
    )

    assert not list(tmp_path.iterdir())
