"""A server that cannot start says why and what to do, and exits."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest

from tests.helpers.site import Site, free_port, init_site


def _run(site: Site, *options: str, config: Path | None = None) -> str:
    """Runs a server that is to fail; its words."""
    settings = str(config or site.folder / "cordon.toml")
    return site.cordon("server", "run", "--config", settings, *options, code=1).stderr


@pytest.mark.slow
def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    site = Site(tmp_path / "site", free_port())
    init_site(site)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", site.port))
        taken.listen()
        words = _run(site)
    assert f"127.0.0.1:{site.port} cannot be bound" in words
    assert "ss -ltnp" in words


@pytest.mark.slow
def test_two_servers_never_share_a_data_directory(site: Site) -> None:
    assert "another server is running on" in _run(site, "--port", "0")


@pytest.mark.slow
@pytest.mark.serves("R12")
def test_a_record_that_was_put_back_keeps_the_server_from_starting_until_it_is_accepted(
    tmp_path: Path,
) -> None:
    site = Site(tmp_path / "site", free_port())
    init_site(site)
    config = ("--config", str(site.folder / "cordon.toml"))
    record = site.folder / "data" / "audit" / "data.mdb"
    before = record.read_bytes()
    site.cordon("server", "renew", *config)
    record.write_bytes(before)

    refused = _run(site)
    accepted = site.cordon("server", "accept-record", *config)
    told = _run(site, "--provider", "cuda")

    assert "the audit record has 1 leaves and had 2" in refused
    assert "cordon server accept-record" in refused
    assert "goes on after 1 leaves; 2 had been signed" in accepted.stdout
    assert "audit record" not in told  # that far it comes now


@pytest.mark.slow
def test_a_provider_that_is_not_there_is_an_error_and_no_silent_fallback(site: Site) -> None:
    done = site.cordon(
        *("server", "check", "--config", str(site.folder / "cordon.toml"), "--provider", "cuda"),
        code=1,
    )
    assert "CUDA" in done.stderr
    assert "onnxruntime-gpu" in done.stderr


@pytest.mark.slow
def test_a_model_that_is_not_the_pinned_one_is_refused(site: Site, tmp_path: Path) -> None:
    built_in = (
        Path(__file__).parents[2] / "server/cordon_server/recognition/models/yunet-sface.toml"
    )
    text = built_in.read_text()
    pinned = "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee"
    assert pinned in text
    pack = tmp_path / "pack.toml"
    pack.write_text(text.replace(pinned, "0" * 64))
    shutil.copy(built_in.with_name("sface-reaches.json"), tmp_path)
    site.environment["CORDON_RECOGNITION__MODEL_PACK"] = str(pack)
    try:
        done = site.cordon(
            *("server", "check", "--config", str(site.folder / "cordon.toml")), code=1
        )
    finally:
        del site.environment["CORDON_RECOGNITION__MODEL_PACK"]
    assert pinned in done.stderr
    assert "0" * 64 in done.stderr


def test_a_setting_out_of_bounds_is_named_with_its_rule(site: Site, tmp_path: Path) -> None:
    config = tmp_path / "cordon.toml"
    config.write_text('site = "test.example"\n[limits]\nclock_skew_s_max = -1\nnonsense = 1\n')
    words = _run(site, config=config)
    assert "limits.clock_skew_s_max" in words
    assert "greater than 0" in words
    assert "limits.nonsense" in words


def test_a_settings_file_that_is_not_there_is_made_by_init(site: Site, tmp_path: Path) -> None:
    assert "cordon server init" in _run(site, config=tmp_path / "cordon.toml")


def test_a_site_is_never_overwritten(site: Site) -> None:
    done = site.cordon("server", "init", str(site.folder), code=7)
    assert "holds a site already" in done.stderr
