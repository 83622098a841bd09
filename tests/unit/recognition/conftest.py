"""The shipped models, loaded once, and a few real faces."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cordon_server.recognition.models.pack import load_pack
from cordon_server.recognition.models.prepare import PreparedPack, prepare
from cordon_server.recognition.models.sessions import Models, open_models
from tests.data import shared_data


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> PreparedPack:
    return prepare(load_pack(), tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def models(prepared: PreparedPack) -> Models:
    return open_models(prepared, "cpu")


@pytest.fixture(scope="session")
def float_models(prepared: PreparedPack) -> Models:
    """The same with the embedder in float32: what the pinned file says, exactly."""
    return open_models(replace(prepared, embedder_int8=None), "cpu")


@pytest.fixture(scope="session")
def lfw() -> Path:
    return shared_data("lfw", "deepfunneled")


@pytest.fixture(scope="session")
def portrait(lfw: Path) -> Path:
    """One person, alone in the picture."""
    return lfw / "Aaron_Patterson" / "Aaron_Patterson_0001.jpg"
