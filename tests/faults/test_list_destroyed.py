"""R2 on a real server: of a list that ended nothing can be read, not even out of a backup."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from cordon_server.authority.watchlist_records import REFERENCES
from cordon_server.config import load_settings
from cordon_server.domain import StorageDamaged
from cordon_server.operations.needles import Kind, Needles, search_files
from cordon_server.recognition.models.pack import load_pack
from cordon_server.sessions.deployment import TABLES
from cordon_server.store.keyring import Keyring, Label
from cordon_server.store.remains import Opened, open_values
from cordon_server.store.site_key import ScryptCost, site_passphrase
from cordon_server.store.wrapping import WrappingSecrets
from tests.bench.mosaic import crowd_in_order
from tests.helpers.crowd import list_people
from tests.helpers.frame_stream import Stream
from tests.helpers.rpc import channel_of
from tests.helpers.site import Site

LISTED, SPARE = 10, 3
"""Some pictures will not pass the enrolment gate."""


@pytest.mark.slow
@pytest.mark.serves("R2")
async def test_of_a_list_that_ended_nothing_is_readable_with_a_backup_from_before(
    own_site: Site, tmp_path: Path
) -> None:
    site, deployment = own_site, await _a_deployment_with_matches(own_site)
    backup = tmp_path / "backup"
    shutil.copytree(site.folder / "data", backup)
    before = _values(backup, deployment, _keys(site, tmp_path / "then"))
    needles = _needles(before.opened)
    assert len(before.opened) == before.values > 2 * LISTED
    assert _found(needles, before.opened) >= {Kind.JPEG, Kind.FLOAT32}
    assert not search_files(backup, needles)[1], "sealed, it is readable already"

    site.cordon("admin", "deployment", "end", deployment, "--confirm", deployment)

    assert not (site.folder / "data" / "deployments" / deployment).exists()
    for place in (site.folder, backup):
        assert not search_files(place, needles)[1]
    keys = _keys(site, tmp_path / "now")
    assert _values(backup, deployment, keys).opened == ()
    _assert_the_old_keyring_opens_nothing(site, backup, tmp_path / "old")
    _assert_restored_it_is_removed(site, backup, deployment)


async def _a_deployment_with_matches(site: Site) -> str:
    camera, identity = site.add_camera()
    deployment = site.add_deployment(camera)
    people = crowd_in_order()[: LISTED + SPARE]
    assert await list_people(site, deployment, people) >= LISTED
    site.arm(deployment)
    async with channel_of(identity) as channel:
        stream = Stream(channel)
        await stream.hello()
        matches = [(await stream.frame(each.read_bytes())).matches for each in people]
    assert sum(matches) > LISTED / 2
    return deployment


def _keys(site: Site, folder: Path) -> list[bytes]:
    """Every key that the site has, read from copies of its files."""
    keyring = _keyring(site, site.folder / "data", folder)
    return [
        key
        for label in Label
        for name in keyring.names(label)
        if (key := keyring.get(label, name)) is not None
    ]


def _keyring(site: Site, data: Path, folder: Path) -> Keyring:
    """The keyring of a data directory, opened with the secrets that the site has now."""
    storage = load_settings(site.folder / "cordon.toml").storage
    shutil.copytree(storage.never_backed_up, folder / "secrets")
    shutil.copy(data / "keyring", folder / "keyring")
    passphrase = site_passphrase(storage.passphrase_file)
    secrets = WrappingSecrets(folder / "secrets")
    return Keyring(folder / "keyring", secrets, passphrase, cost=ScryptCost())


def _values(backup: Path, deployment: str, keys: Iterable[bytes]) -> Opened:
    return open_values(
        backup / "deployments" / deployment,
        TABLES,
        keys,
        model_id=load_pack().model_id,
        size_bytes_max=8 * 2**30,
    )


def _needles(values: Iterable[bytes]) -> Needles:
    """Pieces of every picture and template among the values of a deployment."""
    needles = Needles()
    for value in values:
        if value.startswith(b"\xff\xd8"):
            needles.add_picture(value)
            continue
        try:
            vector = REFERENCES.decode(value).vector
        except StorageDamaged:
            continue  # a record of another table
        needles.add_template(np.frombuffer(vector, "<f4"))
    return needles


def _found(needles: Needles, values: Iterable[bytes]) -> set[Kind]:
    return set(sum((needles.found_in(value) for value in values), Counter[Kind]()))


def _assert_the_old_keyring_opens_nothing(site: Site, backup: Path, folder: Path) -> None:
    keyring = _keyring(site, backup, folder)

    assert [keyring.names(label) for label in Label] == [[] for _ in Label]


def _assert_restored_it_is_removed(site: Site, backup: Path, deployment: str) -> None:
    """Put back beside a registry that knows of its end, it does not outlive the next start."""
    site.stop()
    restored = site.folder / "data" / "deployments" / deployment
    shutil.copytree(backup / "deployments" / deployment, restored)

    site.start()

    assert not restored.exists()
    shown = site.cordon_json("admin", "deployment", "show", deployment)
    assert shown["entry_count"] >= LISTED
