"""The file of strangers: what is written is read; what is no cohort of this model is refused."""

from __future__ import annotations

import stat
from pathlib import Path

import msgspec
import numpy as np
import pytest

from cordon_server.authority.watchlist_cohort import CohortFile, read_cohort, write_cohort
from cordon_server.domain import ConfigInvalid
from tests.unit.server.faces import DIMENSION, MODEL, people


def test_what_is_written_is_read_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    path, faces = tmp_path / "cohort.bin", people(7, seed=1)

    write_cohort(path, faces, MODEL)

    np.testing.assert_array_equal(read_cohort(path, MODEL, DIMENSION), faces)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(ConfigInvalid, match="name another"):
        write_cohort(path, faces, MODEL)


def test_a_cohort_of_another_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cohort.bin"
    write_cohort(path, people(2, seed=1), "another")

    with pytest.raises(ConfigInvalid, match="was made by model another"):
        read_cohort(path, MODEL, DIMENSION)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no cohort",
        msgspec.msgpack.encode(CohortFile(MODEL, DIMENSION, b"")),
        msgspec.msgpack.encode(CohortFile(MODEL, DIMENSION, b"\0" * 4 * DIMENSION)),
        msgspec.msgpack.encode(CohortFile(MODEL, DIMENSION, b"\0" * 7)),
        msgspec.msgpack.encode(CohortFile(MODEL, DIMENSION, b"\xff" * 4 * DIMENSION)),
    ],
    ids=["empty", "other", "no faces", "zeros", "cut", "no numbers"],
)
def test_what_is_no_cohort_is_refused_by_its_setting(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cohort.bin"
    path.write_bytes(content)

    with pytest.raises(ConfigInvalid, match=r"watchlist\.cohort"):
        read_cohort(path, MODEL, DIMENSION)


def test_a_cohort_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=r"watchlist\.cohort"):
        read_cohort(tmp_path / "none", MODEL, DIMENSION)
