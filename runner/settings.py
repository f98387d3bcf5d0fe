"""The settings: `sendledger.toml`, overruled by `SENDLEDGER_…` in the environment. Secrets only by reference.

The file is found at `SENDLEDGER_SETTINGS`, or as `sendledger.toml` in the working directory. Paths in it are relative
to the file. An unknown key is an error: a misspelt limit must not be a silent default.
"""

from __future__ import annotations

import json
import os
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, PrivateAttr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource
from pydantic_settings import SettingsConfigDict as Config
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from domain.errors import InvalidInput
from domain.events import Sender
from projections.database import WRITE_AS, database_url, is_sqlite
from runner.secret import check_reference, read_secret

FILE_NAME = "sendledger.toml"
WHERE = "SENDLEDGER_SETTINGS"
PREFIX = "SENDLEDGER_"
DEFAULT_URL = "sqlite:///sendledger.db"
MAX_CADENCE_S = 24 * 3600

TEMPLATE = """\
# Settings of one ledger. Every key can be overruled by SENDLEDGER_<KEY> in the environment.

# Where the ledger is: sqlite:///PATH, relative to this file, or postgresql://USER@HOST/DATABASE.
database_url = {database_url}
# PostgreSQL's password, by reference only: "env:NAME" or "file:PATH". Without it libpq's own ways hold (~/.pgpass, …).
# database_password = "env:SENDLEDGER_PGPASSWORD"

# The key of the suppression list, kept outside the database. Lose it and the list can no longer be read.
suppression_key = "file:sendledger.key"

# The key that signs checkpoints over the events, and the file that they are appended to. Keep copies of that file, and
# of the public key (`sendledger audit key`), where nobody who can write here can write.
signing_key = "file:sendledger.seal.key"
checkpoints = "sendledger.checkpoints"

# Seconds between two ticks of each sender.
v1_every_s = 60
v2_every_s = 30

# "text" for people, "json" for machines.
log_format = "text"
"""


class Settings(BaseSettings):
    """What `sendledger.toml` and the environment say."""

    model_config = Config(env_prefix=PREFIX, extra="forbid", frozen=True)

    database_url: str = DEFAULT_URL
    database_password: str | None = None
    suppression_key: str = "file:sendledger.key"
    signing_key: str = "file:sendledger.seal.key"
    checkpoints: str = Field(default="sendledger.checkpoints", min_length=1)
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
        try:
            named = database_url(url).database
        except InvalidInput as error:
            raise ValueError(f"{error.problem} {error.mend}") from None
        if not named:
            raise ValueError(f"it names no database. {WRITE_AS}")
        return url

    @field_validator("suppression_key", "signing_key", "database_password")
    @classmethod
    def _is_a_reference(cls, reference: str | None) -> str | None:
        try:
            return None if reference is None else check_reference(reference, field="")
        except InvalidInput as error:
            raise ValueError(f"{error.problem} {error.mend}") from None

    @property
    def folder(self) -> Path:
        """Where the settings file is; paths are relative to it."""
        return self._folder

    @property
    def url(self) -> URL:
        """The database. Raises `InvalidInput` for one that this program does not know."""
        url = database_url(self.database_url)
        if is_sqlite(url):
            return url.set(database=str(self.folder / (url.database or "")))
        if self.database_password is None:
            return url
        return url.set(password=self._secret(self.database_password, "database_password"))

    @property
    def runners_folder(self) -> Path:
        """Where this machine's runners keep their locks, journals and guard: never in the database."""
        url = database_url(self.database_url)
        name = f"{Path(url.database or '').name}.runners"
        return self.folder / Path(url.database or "").with_name(name) if is_sqlite(url) else self.folder / name

    @property
    def cadence(self) -> dict[Sender, timedelta]:
        """How often each sender ticks."""
        return {"v1": timedelta(seconds=self.v1_every_s), "v2": timedelta(seconds=self.v2_every_s)}

    def secret(self) -> bytes:
        """The suppression key."""
        return self._secret(self.suppression_key, "suppression_key").encode()

    def signing_key_line(self) -> str:
        """The key that signs checkpoints."""
        return self._secret(self.signing_key, "signing_key")

    @property
    def checkpoints_file(self) -> Path:
        """Where checkpoints are appended to, outside the database."""
        return self.folder / self.checkpoints

    def key_file(self, reference: str) -> Path | None:
        """The file that this reference names; None for one that stands in the environment."""
        kind, _, place = reference.partition(":")
        return self.folder / place if kind == "file" else None

    def _secret(self, reference: str, field: str) -> str:
        kind, _, place = check_reference(reference, field=field).partition(":")
        return read_secret(f"file:{self.folder / place}" if kind == "file" else reference, field=field)


def settings_path() -> Path:
    """Where the settings file is, or would be."""
    return Path(os.environ.get(WHERE, FILE_NAME))


def load_settings(path: Path | None = None) -> Settings:
    """Read and check them. Raises `InvalidInput` naming the file and the key."""
    path = path or settings_path()
    return parse_settings(_read(path), path)


def new_settings(url: str) -> str:
    """The text of a settings file for a new ledger in this database. JSON's strings are TOML's."""
    return TEMPLATE.format(database_url=json.dumps(url))


def parse_settings(values: dict[str, Any], path: Path) -> Settings:
    """The settings of these values, which stand in that file. Raises `InvalidInput` naming the key and the file, or
    the variable of the environment."""
    if isinstance(url := values.get("database_url"), str) and _password_in(url):
        mend = 'Leave it out of the URL and write database_password = "env:NAME" or "file:PATH".'
        raise InvalidInput("holds a password.", mend=mend, field="database_url", source=str(path))
    try:
        return Settings.of(values, path.parent)
    except ValidationError as error:
        raise _named(error, path) from None


def _password_in(url: str) -> bool:
    try:
        return bool(make_url(url).password)
    except ArgumentError:
        return False  # told elsewhere


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
