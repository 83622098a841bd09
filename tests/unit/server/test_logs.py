from __future__ import annotations

import json
import subprocess
import sys

import pytest

FAILS = """
import structlog
from cordon_server.operations.logs import configure_logs

def sign_in(password):
    raise RuntimeError("nobody foresaw this")

configure_logs("INFO")
try:
    sign_in("four words of a secret")
except RuntimeError as error:
    structlog.get_logger().error("call.failed", exc_info=error)
"""


@pytest.mark.slow
def test_a_traceback_in_the_log_tells_where_and_nothing_of_what_was_in_hand() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAILS], capture_output=True, text=True, check=True, timeout=60
    )

    event = json.loads(done.stderr)
    assert event["exception"][0]["exc_value"] == "nobody foresaw this"
    assert event["exception"][0]["frames"][-1]["name"] == "sign_in"
    assert "four words" not in done.stderr
