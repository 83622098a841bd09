"""Where the real faces and videos are: beside the repository, never in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data"


def shared_data(*parts: str) -> Path:
    """The path of a test picture, video or folder; skips the test where the data is not at hand.

    On CI absence is a failure: there the data is always beside the checkout.
    """
    path = _FOLDER.joinpath(*parts)
    if not path.exists():
        message = f"test data {path.relative_to(_FOLDER.parent)} is not beside the repository"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)  # which data are missing; with CI set it fails above
    return path
