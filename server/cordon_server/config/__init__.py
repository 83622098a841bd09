"""The server's settings: one typed model, from a file, the environment and flags, in that order.

Every limit of the server stands in its `sections`. `CORDON_RECOGNITION__WORKERS=2` sets
`recognition.workers`.
"""

from __future__ import annotations

import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from cordon_server.audit.room import AuditPlaces
from cordon_server.authority.policy import POLICY_FILE_ENDING
from cordon_server.config.sections import (
    Advised,
    Audit,
    Authority,
    Decision,
    Limits,
    Listen,
    Metrics,
    People,
    Recognition,
    Section,
    Storage,
    Watchlist,
)
from cordon_server.domain import ConfigInvalid


class Settings(BaseSettings):
    """Everything about one server."""

    model_config = SettingsConfigDict(
        env_prefix="CORDON_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )

    site: str = Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$")
    """The site's name, the trust domain of every identity: spiffe://{site}/…"""
    listen: Listen = Listen()
    recognition: Recognition = Recognition()
    decision: Decision = Decision()
    limits: Limits = Limits()
    people: People = People()
    authority: Authority = Authority()
    watchlist: Watchlist = Watchlist()
    advice: Advised = Advised()
    storage: Storage = Storage()
    audit: Audit = Audit()
    metrics: Metrics = Metrics()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # Values of the file are given as arguments, so the environment has to come first.
        return env_settings, init_settings

    @model_validator(mode="after")
    def _fit(self) -> Settings:
        largest = max(self.limits.image_bytes_max, self.limits.jpeg_bytes_max)
        if self.listen.message_bytes_max <= largest:
            raise ValueError(
                f"listen.message_bytes_max must be above limits.image_bytes_max and "
                f"limits.jpeg_bytes_max, so above {largest}"
            )
        return self

    @property
    def audit_places(self) -> AuditPlaces:
        storage = self.storage
        return AuditPlaces(
            self.site,
            storage.data,
            storage.certificates,
            storage.never_backed_up,
            storage.size_bytes_max,
            timedelta(days=self.audit.personal_days),
        )

    @property
    def registry_folder(self) -> Path:
        return self.storage.data / "registry"

    @property
    def deployments_folder(self) -> Path:
        return self.storage.data / "deployments"

    @property
    def components_folder(self) -> Path:
        return self.storage.data / "components"

    @property
    def models_folder(self) -> Path:
        return self.storage.data / "models"

    @property
    def keyring_file(self) -> Path:
        return self.storage.data / "keyring"


def load_settings(file: Path, overrides: dict[str, dict[str, object]] | None = None) -> Settings:
    """The settings of a file, then the environment, then `overrides` ({section: {field: value}}).

    Raises `ConfigInvalid` naming each field and its rule. Relative paths are taken from the file's
    folder.
    """
    try:
        values: dict[str, Any] = tomllib.loads(file.read_text())
    except FileNotFoundError as error:
        raise ConfigInvalid(
            f"there is no settings file {file}; make one with: cordon server init {file.parent}"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigInvalid(f"{file} cannot be read as TOML: {error}") from error
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise ConfigInvalid(f"{file}: {_in_words(error)}") from error
    except SettingsError as error:
        raise ConfigInvalid(f"the environment: {error}; write its value as JSON") from error
    settings = _absolute(settings, file.resolve().parent)
    sections = {
        name: _overridden(name, getattr(settings, name), fields)
        for name, fields in (overrides or {}).items()
    }
    return settings.model_copy(update=sections)


def _absolute(settings: Settings, base: Path) -> Settings:
    storage, recognition, policy = settings.storage, settings.recognition, settings.authority.policy
    names = ("data", "certificates", "passphrase_file", "never_backed_up")
    places = {name: base / getattr(storage, name) for name in names}
    pack = base / recognition.model_pack if recognition.model_pack else None
    cohort = base / settings.watchlist.cohort if settings.watchlist.cohort else None
    if policy.endswith(POLICY_FILE_ENDING):
        policy = str(base / policy)
    return settings.model_copy(
        update={
            "storage": storage.model_copy(update=places),
            "recognition": recognition.model_copy(update={"model_pack": pack}),
            "authority": settings.authority.model_copy(update={"policy": policy}),
            "watchlist": settings.watchlist.model_copy(update={"cohort": cohort}),
        }
    )


def _overridden(name: str, section: Section, fields: dict[str, object]) -> Section:
    try:
        return type(section).model_validate({**section.model_dump(), **fields})
    except ValidationError as error:
        raise ConfigInvalid(_in_words(error, f"{name}.")) from error


def _in_words(error: ValidationError, prefix: str = "") -> str:
    return "; ".join(
        f"{prefix}{'.'.join(map(str, one['loc']))}: {one['msg']}{_given(one.get('input'))}"
        for one in error.errors(include_url=False)
    )


def _given(value: object) -> str:
    """What was given, where it is a value and not all the settings."""
    return f" (got {value!r})" if isinstance(value, (str, int, float, list)) else ""
