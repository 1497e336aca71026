"""What the fields of several requests have in common: names, texts, and how strictly they are
read."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SkipValidation,
    StringConstraints,
    model_validator,
)

from polygraft.architectures.text import not_unicode
from polygraft.tasks.translation.glossary import MAX_TERMS

MAX_NAME, MAX_FIELDS = 128, 64  # characters of a name, fields of an object
MAX_EXPLAINED = 16  # rows of a request


def _valid_unicode(text: str) -> str:
    if problem := not_unicode(text):
        raise ValueError(problem)
    return text


Name = Annotated[str, StringConstraints(max_length=MAX_NAME), AfterValidator(_valid_unicode)]
CheckedText = Annotated[str, AfterValidator(_valid_unicode)]
UncheckedText = SkipValidation[str]
"""Texts of a list are checked one by one, after they are counted: the OpenAPI document says what
they are, pydantic lets them pass."""


class Strict(BaseModel):
    """A request's object: no unknown fields, no types that are made to fit."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _has_few_fields(cls, given: Any) -> Any:
        """Each unknown field is an error of its own, and 400,000 of them took seconds."""
        if isinstance(given, dict) and len(given) > MAX_FIELDS:
            raise ValueError(f"{len(given):,} fields, at most {MAX_FIELDS} are read")
        return given


def _has_few_terms(given: Any) -> Any:
    """Each wrong term is an error of its own (see `Strict`)."""
    if isinstance(given, dict) and len(given) > MAX_TERMS:
        raise ValueError(f"{len(given):,} terms, at most {MAX_TERMS} are read")
    return given


GlossaryIn = Annotated[dict[str, str], BeforeValidator(_has_few_terms)]
"""What its terms and renderings say together is checked by `read_glossary`."""


class LayerIn(Strict):
    """An adapter in a stack."""

    adapter: Name
    weight: float = Field(1.0, description="how much its update counts")


Stack = Annotated[list[Name | LayerIn], Field(min_length=1, max_length=8)]
