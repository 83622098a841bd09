from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import BaseModel

from cordon_server.config import Settings, load_settings
from cordon_server.domain import ConfigInvalid
from cordon_server.identity.tokens import TOKEN_LIFE_MAX

SITE = 'site = "north.example"\n'


@pytest.fixture(autouse=True)
def _no_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in os.environ if each.upper().startswith("CORDON_")]:
        monkeypatch.delenv(name)


def a_file(folder: Path, text: str) -> Path:
    path = folder / "cordon.toml"
    path.write_text(SITE + text)
    return path


def sections() -> dict[str, type[BaseModel]]:
    return {
        name: field.annotation
        for name, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }


def test_every_setting_says_what_it_does() -> None:
    assert Settings.model_fields["site"].description
    for name, section in sections().items():
        assert section.__doc__, name
        for field, info in section.model_fields.items():
            assert info.description, f"{name}.{field}"
    assert set(Settings.model_fields) == {"site", *sections()}


def test_a_file_with_a_site_is_enough(tmp_path: Path) -> None:
    settings = load_settings(a_file(tmp_path, ""))

    assert settings.site == "north.example"
    assert settings.listen.port == 7443
    assert settings.recognition.workers == 0


def test_the_environment_beats_the_file_and_a_flag_beats_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = a_file(tmp_path, '[listen]\nport = 1001\nhost = "127.0.0.1"\n')
    ports = [load_settings(file).listen.port]
    monkeypatch.setenv("CORDON_LISTEN__PORT", "1002")
    ports.append(load_settings(file).listen.port)
    last = load_settings(file, {"listen": {"port": 1003}, "recognition": {"provider": "cpu"}})

    assert [*ports, last.listen.port] == [1001, 1002, 1003]
    assert last.listen.host == "127.0.0.1"
    assert last.recognition.provider == "cpu"


def test_the_clients_variables_are_none_of_the_servers_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORDON_IDENTITY", "/elsewhere")
    monkeypatch.setenv("CORDON_CONFIG", "cordon.toml")

    assert load_settings(a_file(tmp_path, ""))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("colour = 1\n", "colour"),
        ("[listen]\nprt = 1\n", "listen.prt"),
        ("[listn]\nport = 1\n", "listn"),
        ("[listen]\nport = 70000\n", "listen.port"),
        ('[listen]\nport = "many"\n', "listen.port"),
        ("[listen]\ngrace_s = -1\n", "listen.grace_s"),
        ("[recognition]\ndetector_width = 650\n", "recognition.detector_width"),
        ('[recognition]\nprovider = "rocm"\n', "recognition.provider"),
        ("[limits]\nframe_height_max = 0\n", "limits.frame_height_max"),
        ("[limits]\nclock_skew_s_max = 0\n", "limits.clock_skew_s_max"),
        ('[watchlist]\ncategories = ["wanted"]\n', "watchlist.categories"),
        ("[watchlist]\nduplicate_score = 1.5\n", "watchlist.duplicate_score"),
        ("[listen]\nmessage_bytes_max = 1048576\n", "listen.message_bytes_max"),
        ("[audit]\npersonal_days = 183\n", "audit.personal_days"),
        ("[audit]\npersonal_days = 999999999\n", "audit.personal_days"),
    ],
)
def test_a_bad_setting_is_refused_by_name(tmp_path: Path, text: str, named: str) -> None:
    file = a_file(tmp_path, text)

    with pytest.raises(ConfigInvalid) as refused:
        load_settings(file)

    assert named in refused.value.message
    assert str(file) in refused.value.message


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("CORDON_LISTEN__PORT", "many", "listen.port"),
        ("CORDON_LISTEN__PRT", "1", "listen.prt"),
        ("CORDON_SITE", "Not A Site", "site"),
        ("CORDON_LISTEN", "{not json", "listen"),
        ("CORDON_WATCHLIST__CATEGORIES", "wanted,missing", "watchlist"),
    ],
)
def test_a_bad_variable_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, named: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(ConfigInvalid) as refused:
        load_settings(a_file(tmp_path, ""))

    assert named in refused.value.message


def test_a_bad_flag_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=r"listen\.port"):
        load_settings(a_file(tmp_path, ""), {"listen": {"port": 70_000}})


@pytest.mark.parametrize("site", ["", "North", "a b", "-a", "a" * 64, "a\\n", "spiffe://a"])
def test_a_site_is_a_trust_domain(tmp_path: Path, site: str) -> None:
    file = tmp_path / "cordon.toml"
    file.write_text(f'site = "{site}"\n')

    with pytest.raises(ConfigInvalid, match="site"):
        load_settings(file)


def test_a_file_that_is_missing_or_no_toml_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="cordon server init"):
        load_settings(tmp_path / "cordon.toml")
    for content in (b"site =", b"\xff\xfe"):
        (tmp_path / "cordon.toml").write_bytes(content)
        with pytest.raises(ConfigInvalid, match="cannot be read as TOML"):
            load_settings(tmp_path / "cordon.toml")
    with pytest.raises(ConfigInvalid, match="cannot be read"):
        load_settings(tmp_path)


def test_relative_paths_start_from_the_settings_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site").mkdir()
    a_file(tmp_path / "site", '[recognition]\nmodel_pack = "packs/own.toml"\n')
    monkeypatch.chdir(tmp_path)

    settings = load_settings(Path("site/cordon.toml"))

    base = tmp_path / "site"
    assert settings.storage.data == base / "data"
    assert settings.storage.certificates == base / "certs"
    assert settings.recognition.model_pack == base / "packs/own.toml"
    assert settings.registry_folder == base / "data" / "registry"


def test_absolute_paths_stay_as_they_are(tmp_path: Path) -> None:
    settings = load_settings(a_file(tmp_path, '[storage]\ndata = "/srv/cordon"\n'))

    assert settings.storage.data == Path("/srv/cordon")
    assert settings.recognition.model_pack is None


@pytest.mark.parametrize(
    ("field", "most"),
    [
        ("session_hours_max", 10),
        ("idle_minutes_max", 30),
        ("token_minutes", 10),
        ("fresh_password_s", 120),
    ],
)
def test_how_long_people_stay_signed_in_can_only_be_made_shorter(
    tmp_path: Path, field: str, most: int
) -> None:
    assert getattr(load_settings(a_file(tmp_path, "")).people, field) == most
    for value in (f"{most}.01", "0", "-1", "nan", "inf"):
        with pytest.raises(ConfigInvalid, match=f"people.{field}"):
            load_settings(a_file(tmp_path, f"[people]\n{field} = {value}\n"))

    shorter = load_settings(a_file(tmp_path, f"[people]\n{field} = 0.05\n"))

    assert getattr(shorter.people, field) == 0.05


def test_people_are_bound_by_the_settings_as_they_are_stated(tmp_path: Path) -> None:
    people = load_settings(a_file(tmp_path, "")).people

    rules, limits = people.session_rules, people.attempt_limits
    assert (rules.life_max, rules.idle_max) == (timedelta(hours=10), timedelta(minutes=30))
    assert (rules.token_life, rules.fresh_for) == (timedelta(minutes=10), timedelta(minutes=2))
    assert rules.token_life == TOKEN_LIFE_MAX
    assert (rules.per_user_max, limits.per_user_max, limits.per_machine_max) == (8, 10, 30)
    assert limits.window == timedelta(minutes=15)
