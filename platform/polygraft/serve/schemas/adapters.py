"""`/v1/adapters`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, Field

from polygraft.adapters.format import Manifest
from polygraft.serve.schemas.errors import ErrorBody
from polygraft.tasks.classification.manifest import Decision
from polygraft.tasks.translation.manifest import TranslationManifest
from polygraft.tasks.translation.quality import Quality


class AdapterOut(BaseModel):
    """An adapter that is served."""

    name: str
    version: str
    task: str
    languages: list[str]
    labels: list[str] = []
    heads: dict[str, list[str]] = Field({}, description="labels of its further heads, by task")
    decide: dict[str, Decision] = Field(
        {}, description="its decisions by name, in the order they are tried, with their thresholds"
    )
    directions: list[Annotated[list[str], Field(min_length=2, max_length=2)]] = Field(
        [], description="translation: from, to"
    )
    quality: dict[str, Quality] = Field(
        {}, description="translation: the class of each direction, by its name, such as en-yo"
    )
    dimensions: list[int] = Field(
        [], description="embedding: lengths that a vector may have, the whole one first"
    )
    parent: str | None
    stack: list[str] = Field(
        [],
        description="what it was trained on top of, and lies on unless the request says otherwise",
    )
    description: str
    aliases: dict[str, str] = Field({}, description="versions by alias, where any was pointed to")


class Refused(BaseModel):
    """An adapter in the library that is not served, and why."""

    name: str
    error: ErrorBody


class AdaptersResponse(BaseModel):
    adapters: list[AdapterOut]
    refused: list[Refused] = []
    free_slots: int
    backbone: str
    total: int = Field(0, description="adapters that are served, over all pages")
    next: str | None = Field(
        None, description="send it as `after` for the next page; none: the end"
    )


def adapter_out(manifest: Manifest, aliases: Mapping[str, str]) -> AdapterOut:
    """What the API tells of an adapter."""
    shown = manifest.model_dump(include=set(AdapterOut.model_fields))
    shown |= {"version": manifest.version, "aliases": aliases}
    if isinstance(manifest, TranslationManifest):
        shown["quality"] = manifest.qualities()
    return AdapterOut.model_validate(shown)
