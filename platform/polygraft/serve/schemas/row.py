"""One row of a request, and one result of an answer."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SkipValidation
from pydantic.config import JsonDict

from polygraft.runtime.search import MAX_BEAM, MAX_NO_REPEAT, MAX_PENALTY, MAX_TEMPERATURE, Search
from polygraft.serve.schemas.errors import ErrorBody
from polygraft.serve.schemas.explanation import ExplanationOut
from polygraft.serve.schemas.fields import (
    MAX_EXPLAINED,
    CheckedText,
    GlossaryIn,
    Name,
    Stack,
    Strict,
)
from polygraft.tasks.translation.quality import Quality


def _within(low: float, high: float) -> JsonDict:
    """Bounds for the OpenAPI document; `Search` checks them, together with what else makes no
    sense."""
    return {"minimum": low, "maximum": high}


THRESHOLD = (
    "the decision is the likeliest label if its score is at least this; left out, the adapter's "
    "own decisions"
)
EXPLAIN = (
    "say what each span of the text pushed towards the label, for an adapter that has labels; "
    f"{MAX_EXPLAINED} rows a request at most"
)


EncodingName = Literal["float", "base64", "int8", "binary"]
DIMENSIONS = "values of the vector: one of the lengths its adapter gives; left out: all"
ENCODING = (
    "of the vector. base64: little-endian float32; int8: whole numbers, times `scale`; binary: a "
    "bit a value, eight a byte"
)
GLOSSARY = (
    "translation: terms of the text and what is to be written for them, such as "
    '{"Lagos State": "Ìpínlẹ̀ Èkó"}; a term may be its own rendering'
)
KEY = (
    "what a canary chooses by, such as a user's number: rows of one key get one version; left out, "
    "the text"
)


class SearchIn(Strict):
    """How to look for a translation."""

    beam: int = Field(1, description="1: greedy", json_schema_extra=_within(1, MAX_BEAM))
    n_best: int = Field(
        1,
        description="translations a text, at most the beam",
        json_schema_extra=_within(1, MAX_BEAM),
    )
    length_penalty: float = Field(
        1.0,
        description="log-probability is divided by length to this power",
        json_schema_extra=_within(-MAX_PENALTY, MAX_PENALTY),
    )
    no_repeat: int = Field(
        0,
        description="no sequence of so many tokens twice; 0: no such rule",
        json_schema_extra=_within(0, MAX_NO_REPEAT),
    )
    temperature: float = Field(
        0.0,
        description="above 0: tokens are drawn, not the likeliest taken",
        json_schema_extra=_within(0, MAX_TEMPERATURE),
    )
    seed: int | None = Field(None, description="the same seed draws the same text")

    def search(self) -> Search:
        """Raises `InvalidRow`."""
        return Search(
            beam=self.beam,
            n_best=self.n_best,
            length_penalty=float(self.length_penalty),
            no_repeat=self.no_repeat,
            temperature=float(self.temperature),
            seed=self.seed,
        )


class RowIn(SearchIn):
    """One text for one adapter, or for a stack of which the last one answers."""

    adapter: Name | None = None
    stack: Stack | None = Field(
        None,
        description=(
            "names or {adapter, weight}, in place of adapter: usually a language, then the task"
        ),
    )
    text: CheckedText
    head: Name | None = Field(None, description="the task, for an adapter with several heads")
    language: Name | None = Field(
        None, description="ISO 639 code of the text; must be one the adapter was made for"
    )
    truncate: bool = Field(
        False, description="read the beginning of a text that is too long, instead of an error"
    )
    target: Name | None = Field(
        None, description="language to write, for a translation adapter with several"
    )
    glossary: GlossaryIn | None = Field(None, description=GLOSSARY)
    explain: bool = Field(False, description=EXPLAIN)
    key: Name | None = Field(None, description=KEY)
    threshold: float | None = Field(None, description=THRESHOLD, json_schema_extra=_within(0, 1))
    dimensions: int | None = Field(None, ge=1, description=DIMENSIONS)
    encoding: EncodingName = Field("float", description=ENCODING)


UncheckedRow = SkipValidation[RowIn]
"""Rows are checked one by one (`serve.rows`), so that a bad one is answered in its place."""


class LabelOut(BaseModel):
    label: str
    score: float


class TagOut(BaseModel):
    """`text[start:end]` of the text as it was sent, in code points."""

    start: int
    end: int
    text: str
    label: str
    score: float = Field(
        description="the probability that just these words are a span of this label; of a word, "
        "that it has this tag"
    )


class SentenceOut(BaseModel):
    """A sentence of a translation."""

    source: str
    translation: str
    estimate: float
    check: bool


class RowOut(BaseModel):
    """A row's answer, or its `adapter` and `error`; what does not apply is left out. Tasks that are
    added may answer with fields of their own."""

    model_config = ConfigDict(extra="allow")
    adapter: str | None = None
    version: str | None = None
    alias: str | None = Field(
        None, description="the alias that was asked for, or that the adapter's route chose"
    )
    stack: list[str] | None = Field(
        None, description="name@version of the adapters under the one that answered"
    )
    label: str | None = None
    score: float | None = None
    labels: list[LabelOut] | None = None
    decision: str | None = Field(
        None,
        description="name of the adapter's first decision whose threshold is reached, or the label "
        "that reached the row's own threshold; left out where none is",
    )
    explanation: ExplanationOut | None = Field(None, description="of the label, where asked for")
    embedding: list[float] | list[int] | str | None = None
    scale: float | None = Field(None, description="what the numbers of an int8 vector are times")
    dimensions: int | None = None
    spans: list[TagOut] | None = Field(
        None, description="of an adapter that finds spans, in order; an empty list: it found none"
    )
    word_tags: list[TagOut] | None = Field(
        None, description="of an adapter that gives every word a tag: the words, in order"
    )
    translation: str | None = None
    alternatives: list[str] | None = Field(
        None, description="the other translations asked for, best first"
    )
    source: str | None = None
    target: str | None = None
    quality: Quality | None = Field(
        None,
        description="how far translations in this direction can be trusted: usable, gist (what a "
        "text is about) or experimental (often wrong altogether)",
    )
    estimate: float | None = Field(
        None, description="chrF++ that is expected of the translation, 0 to 1"
    )
    check: bool | None = Field(
        None, description="whether some sentence is not to be trusted unread, by its estimate"
    )
    sentences: list[SentenceOut] | None = Field(
        None, description="of a translation of several sentences: the estimate of each"
    )
    via: str | None = Field(
        None, description="the language that it went through, where no adapter has the direction"
    )
    via_text: str | None = Field(None, description="what was written in that language")
    steps: list[str] | None = Field(
        None, description="name@version of the adapters that it went through, in order"
    )
    cut: bool | None = Field(
        None, description="true: a sentence reached the bound on its length before it ended"
    )
    error: ErrorBody | None = None


class ClassifyResponse(BaseModel):
    """`results[i]` answers the i-th row or text of the request."""

    results: list[RowOut]
