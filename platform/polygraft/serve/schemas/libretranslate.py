"""What LibreTranslate's API takes and gives, by its own names."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from polygraft.runtime.search import MAX_BEAM
from polygraft.tasks.translation.quality import Quality


class TranslateIn(BaseModel):
    """What `/translate` reads; other fields of LibreTranslate's are passed over."""

    q: str | list[str]
    source: str = Field(description='language code, or "auto"')
    target: str
    format: Literal["text", "html"] | None = None
    alternatives: int | None = Field(None, ge=0, lt=MAX_BEAM)
    pivot: bool = Field(True, description="whether a text may go through English")
    allow_experimental: bool | None = Field(
        None,
        description="whether a direction of the class experimental may be chosen; left out, the "
        "server's setting",
    )


class DetectIn(BaseModel):
    q: str


class DetectedOut(BaseModel):
    language: str
    confidence: float = Field(description="0 to 100")


class TranslateOut(BaseModel):
    """Lists where `q` is a list."""

    translatedText: str | list[str]  # noqa: N815
    detectedLanguage: DetectedOut | list[DetectedOut] | None = None  # noqa: N815
    alternatives: list[str] | list[list[str]] | None = None
    quality: Quality | list[Quality | None] | None = Field(
        None, description="the class of each translation's direction"
    )
    via: str | list[str | None] | None = Field(
        None, description="the language that it went through, where no adapter has the direction"
    )


class LanguageOut(BaseModel):
    code: str
    name: str
    targets: list[str] = Field(description="into what it is translated where nothing else is said")
    quality: dict[str, Quality] = Field(
        description="into what it can be translated, with the class of that; what is experimental "
        "needs allow_experimental"
    )
