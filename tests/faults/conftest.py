from __future__ import annotations

import pytest

from tests.data import shared_data


@pytest.fixture
def portrait() -> bytes:
    return shared_data("lfw", "deepfunneled", "Alek_Wek", "Alek_Wek_0001.jpg").read_bytes()
