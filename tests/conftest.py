"""A real site for tests: `cordon server init` and `run` as processes, on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.site import Site, make_site


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One running server for tests that leave it as they found it; each uses names of its own."""
    with make_site(tmp_path_factory.mktemp("site")) as running:
        yield running


@pytest.fixture
def own_site(tmp_path: Path) -> Iterator[Site]:
    """A running server for one test alone, to stop, kill or fill as it likes."""
    with make_site(tmp_path / "site") as running:
        yield running
