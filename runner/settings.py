"""The settings: `sendledger.toml`, overruled by `SENDLEDGER_…` in the environment. Secrets only by reference.

The file is found at `SENDLEDGER_SETTINGS`, or as `sendledger.toml` in the working directory. Paths in it are relative
to the file. An unknown key is an error: a misspelt limit must not be a silent default.
"""

from __future__ import annotations

import os
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, PrivateAttr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource
from pydantic_settings import SettingsConfigDict as Config

from domain.errors import InvalidInput
from domain.events import Sender
from runner.secret import check_reference, read_secret

FILE_NAME = "sendledger.toml"
WHERE = "SENDLEDGER_SETTINGS"
PREFIX = "SENDLEDGER_"
SQLITE = "sqlite:///"
MAX_CADENCE_S = 24 * 3600

TEMPLATE = """\
# Settings of one ledger. Every key can be overruled by SENDLEDGER_<KEY> in the environment.

# Where the ledger is. A path is relative to this file.
database_url = "sqlite:///sendledger.db"

# The key of the suppression list, kept outside the database. Lose it and the list can no longer be read.
suppression_key = "file:sendledger.key"

# Seconds between two ticks of each sender.
v1_every_s = 60
v2_every_s = 30

# "text" for people, "json" for machines.
log_format = "text"
"""


class Settings(BaseSettings):
    """What `sendledger.toml` and the environment say."""

    model_config = Config(env_prefix=PREFIX, extra="forbid", frozen=True)

    database_url: str = f"{SQLITE}sendledger.db"
    suppression_key: str = "file:sendledger.key"
    v1_every_s: int = Field(default=60, ge=1, le=MAX_CADENCE_S)
    v2_every_s: int = Field(default=30, ge=1, le=MAX_CADENCE_S)
    log_format: Literal["text", "json"] = "text"
    _folder: Path = PrivateAttr(default=Path())

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the base class's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base class's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base class's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment overrules the file, which comes as `init`."""
        return (env_settings, init_settings)

    @classmethod
    def of(cls, values: dict[str, Any], folder: Path) -> Self:
        """The settings of these values, with paths relative to a folder."""
        settings = cls(**values)
        settings._folder = folder
        return settings

    @field_validator("database_url")
    @classmethod
    def _names_a_database(cls, url: str) -> str:
        if not url.removeprefix(SQLITE) or not url.startswith(SQLITE):
            raise ValueError(f"{url.partition(':')[0]} is no database that this version knows: write {SQLITE}PATH")
        return url

    @field_validator("suppression_key")
    @classmethod
    def _is_a_reference(cls, reference: str) -> str:
        try:
            return check_reference(reference, field="suppression_key")
        except InvalidInput as error:
            raise ValueError(f"{error.problem} {error.mend}") from None

    @property
    def folder(self) -> Path:
        """Where the settings file is; paths are relative to it."""
        return self._folder

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.folder / self.database_url.removeprefix(SQLITE)

    @property
    def runners_folder(self) -> Path:
        """Where runners keep their locks and journals: beside the database, but not in it."""
        return self.database.with_name(self.database.name + ".runners")

    @property
    def cadence(self) -> dict[Sender, timedelta]:
        """How often each sender ticks."""
        return {"v1": timedelta(seconds=self.v1_every_s), "v2": timedelta(seconds=self.v2_every_s)}

    def secret(self) -> bytes:
        """The suppression key."""
        reference = self.suppression_key
        kind, _, place = reference.partition(":")
        if kind == "file":
            reference = f"file:{self.folder / place}"
        return read_secret(reference, field="suppression_key").encode()


def settings_path() -> Path:
    """Where the settings file is, or would be."""
    return Path(os.environ.get(WHERE, FILE_NAME))


def load_settings(path: Path | None = None) -> Settings:
    """Read and check them. Raises `InvalidInput` naming the file and the key."""
    path = path or settings_path()
    return parse_settings(_read(path), path)


def parse_settings(values: dict[str, Any], path: Path) -> Settings:
    """The settings of these values, which stand in that file. Raises `InvalidInput` naming the key and the file, or
    the variable of the environment."""
    try:
        return Settings.of(values, path.parent)
    except ValidationError as error:
        raise _named(error, path) from None


def _named(error: ValidationError, path: Path) -> InvalidInput:
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        known = ", ".join(sorted(Settings.model_fields))
        return InvalidInput("is no setting.", mend=f"There are: {known}.", field=field, source=str(path))
    problem = first["msg"].removeprefix("Value error, ").rstrip(".")
    variable = f"{PREFIX}{field.upper()}"
    if variable in {name.upper() for name in os.environ}:
        return InvalidInput(f"{problem}.", mend="Mend it, or unset it.", source=variable)
    return InvalidInput(f"{problem}.", mend="Mend it.", field=field, source=str(path))


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        mend = f"Make a ledger here with `sendledger init`, or set {WHERE} to the settings of one."
        raise InvalidInput("there is no settings file.", mend=mend, source=str(path)) from None
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"is not TOML: {error}.", mend="Mend that line.", source=str(path)) from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InvalidInput(f"cannot be read: {why}.", mend="Mend the file.", source=str(path)) from None
