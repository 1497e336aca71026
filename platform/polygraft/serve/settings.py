"""Every setting of a server: the POLYGRAFT_* environment variables, with meaning, default and
range.

    settings = Settings.from_environment()              # SettingsError lists every problem at once
    settings = Settings.from_environment(files=True)    # and what is missing on disk

Does not: read a file, or keep a copy. What a process uses is what its environment says when it
asks.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from polygraft.adapters.layout import NAME
from polygraft.adapters.library import BUNDLED as BUNDLED_LIBRARY
from polygraft.adapters.library import Library, own_folder
from polygraft.architectures.conventions import read_conventions
from polygraft.architectures.folder import BUNDLED as BUNDLED_BACKBONE
from polygraft.architectures.folder import BackboneFiles
from polygraft.errors import (
    BackboneError,
    SettingsError,
    UnknownAdapter,
    end_of_sentence,
    shortened,
)

PREFIX = "POLYGRAFT_"
MAX_TIMEOUT = 600
_ORIGIN = re.compile(r"https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")


class Settings(BaseModel):
    """One field a variable: `slots` is POLYGRAFT_SLOTS. An empty variable counts as one that is not
    set."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False)

    backbone: Path = Field(BUNDLED_BACKBONE, description="folder of the exported backbone")
    library: Path = Field(
        default_factory=own_folder, description="folder of the user's adapters and their versions"
    )
    bundled: bool = Field(True, description="whether the bundled adapters are served too")
    precision: Literal["int8", "fp32"] = Field(
        "int8", description="of the backbone's graph; fp32 must be exported first"
    )
    slots: int = Field(
        128, ge=1, le=65_536, description="slots of rank 8; an adapter of rank 32 takes four"
    )
    resident_mib: int = Field(
        1_024,
        ge=16,
        le=1_048_576,
        description="MiB of heads and words of the adapters that lie in slots",
    )
    warm_mib: int = Field(
        512, ge=0, le=1_048_576, description="MiB of adapters that wait packed in memory"
    )
    pins: tuple[str, ...] = Field(
        (), description="adapters that stay in memory, separated by commas"
    )
    threads: int = Field(0, ge=0, le=1_024, description="of ONNX Runtime; 0: one a core")
    max_rows: int = Field(512, ge=1, le=100_000, description="rows one request may hold")
    max_body_mib: int = Field(4, ge=1, le=1_024, description="MiB one JSON or form body may hold")
    queue: int = Field(
        4_096,
        ge=1,
        le=1_000_000,
        description="units of work that may wait before requests are refused",
    )
    cache: int = Field(
        4_096,
        ge=0,
        le=1_000_000,
        description="answers kept in memory for texts that come again; 0: none",
    )
    timeout: float = Field(
        60, ge=1, le=MAX_TIMEOUT, description="seconds a request may wait before it is given up"
    )
    detector: str = Field("langid", description="adapter that tells languages apart")
    embedder: str = Field("embed", description="adapter of /v1/embed, where a request names none")
    allow_experimental: bool = Field(
        False,
        description="whether directions of the class experimental are served where a request "
        "neither names the adapter nor says",
    )
    cors_origins: tuple[str, ...] = Field(
        (), description="origins whose pages may ask, separated by commas; * for every one"
    )
    admin_key: SecretStr | None = Field(
        None, description="key for adding and removing adapters; not set: one kept for the user"
    )

    @field_validator("detector", "embedder")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if not NAME.fullmatch(value):
            raise ValueError(
                "give an adapter's name: a-z, 0-9, '.', '_' and '-', at most 64 characters"
            )
        return value

    @field_validator("pins", mode="before")
    @classmethod
    def _are_names(cls, value: object) -> object:
        names = [part.strip() for part in str(value).split(",")]
        if wrong := [name for name in names if not NAME.fullmatch(name)]:
            raise ValueError(f"{wrong[0]!r} is no adapter's name; give names, separated by commas")
        return tuple(names)

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _are_origins(cls, value: object) -> object:
        origins = [part.strip().lower() for part in str(value).split(",")]
        wrong = [origin for origin in origins if origin != "*" and not _ORIGIN.fullmatch(origin)]
        if wrong:
            raise ValueError(
                f"{wrong[0]!r} is no origin; give scheme, host and port, as in "
                "https://example.org,http://localhost:8080, or * for every origin"
            )
        return tuple(origins)

    @field_validator("admin_key")
    @classmethod
    def _can_be_sent(cls, value: SecretStr | None) -> SecretStr | None:
        key = value.get_secret_value() if value else ""
        if key != key.strip() or not key.isprintable():
            raise ValueError(
                "it cannot be sent in a header; leave out white space at its ends and control "
                "characters"
            )
        return value

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str] | None = None, *, files: bool = False
    ) -> Settings:
        """The settings that `environment` (default: the process's own) gives; with `files`, folders
        and graphs must be there.

        Raises `SettingsError` with every problem.
        """
        given = os.environ if environment is None else environment
        values = {name: value for name in cls.model_fields if (value := given.get(variable(name)))}
        problems: list[str] = []
        try:
            settings = cls.model_validate(values)
        except ValidationError as error:
            wrong = {str(e["loc"][0]): e["msg"] for e in error.errors()}
            problems += [_problem(name, message, values) for name, message in wrong.items()]
            settings = cls.model_validate(
                {name: value for name, value in values.items() if name not in wrong}
            )
        if files:
            problems += settings._file_problems()
        if problems:
            raise SettingsError("settings", problems)
        return settings

    def open_library(self) -> Library:
        """The user's adapters, over the bundled ones."""
        return Library(self.library, BUNDLED_LIBRARY if self.bundled else None)

    def _file_problems(self) -> list[str]:
        problems = []
        if "library" in self.model_fields_set and not self.library.is_dir():
            problems.append(
                f"{variable('library')} is {str(self.library)!r}, which is not a folder; give the "
                "folder of adapters"
            )
        elif "detector" in self.model_fields_set:
            problems += self._detector_problems()
        if not self.backbone.is_dir():
            problems.append(
                f"{variable('backbone')} is {str(self.backbone)!r}, which is not a folder; give a "
                "backbone's folder"
            )
            return problems
        files = BackboneFiles(self.backbone)
        needed = [files.config, files.tokenizer, files.graph, files.model(self.precision)]
        try:
            if read_conventions(self.backbone) is not None:
                needed += [files.cross(self.precision), files.step(self.precision)]
        except BackboneError as error:
            problems.append(str(error))
        missing = [str(f.relative_to(self.backbone)) for f in needed if not f.is_file()]
        if missing:
            problems.append(
                f"{variable('backbone')} is {str(self.backbone)!r}, where {', '.join(missing)} is "
                "missing; export it with "
                f"polygraft export --precision {self.precision}, or give another folder or "
                f"{variable('precision')}"
            )
        return problems

    def _detector_problems(self) -> list[str]:
        """The default one may be missing, where nothing is translated (see `detector`)."""
        names = self.open_library().names()
        if self.detector in names:
            return []
        unknown = UnknownAdapter(self.detector, names)
        return [f"{variable('detector')} is {self.detector!r}: {unknown} in {self.library}"]


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def _problem(name: str, message: str, values: Mapping[str, str]) -> str:
    """One line that names the variable, its value and what it may be; a key is never shown."""
    shown = "set to a value" if name == "admin_key" else shortened(values[name])
    return f"{variable(name)} is {shown}: {end_of_sentence(message)}{_range(name)}"


def _range(name: str) -> str:
    limits = {type(m).__name__: m for m in Settings.model_fields[name].metadata}
    if "Ge" not in limits:
        return ""
    return f" ({Settings.model_fields[name].description}: {limits['Ge'].ge} to {limits['Le'].le})"
