"""Rows and their answers: what goes into the engine and what comes out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, Literal

from polygraft.architectures.text import not_unicode
from polygraft.errors import InvalidOption
from polygraft.runtime.search import Search

Encoding = Literal["float", "base64", "int8", "binary"]
"""Of a vector in an answer; `tasks.embedding.serving` says what each is."""
MAX_WEIGHT = 4
MAX_VARIANTS = 32
"""Of a text, each computed as a text of its own, to explain its answer."""


def text_problem(text: object) -> str | None:
    """Why what stands in a text's place cannot be answered by any adapter; None for a text."""
    if not isinstance(text, str) or not text.strip():
        return (
            "the text is empty or not a string; send at least one character that is not white space"
        )
    return not_unicode(text)


@dataclass(frozen=True)
class WeightedAdapter:
    """An adapter in a stack, and how much its update counts (1: as it was trained). `version`: as
    of a row."""

    adapter: str
    weight: float = 1.0
    version: str | None = None

    def __post_init__(self) -> None:
        if not -MAX_WEIGHT <= self.weight <= MAX_WEIGHT:
            raise InvalidOption(
                f"weight of {self.adapter!r} is {self.weight:g}, it must lie within ±{MAX_WEIGHT}"
            )


@dataclass(frozen=True)
class Row:
    """One text for one adapter, which answers; or for a stack of them, of which the last answers.

    `stack`: the adapters under it, usually a language's; None: those it was trained on top of.
    `weight`: how much its own update counts. `head`: the task, for an adapter with several.
    `language`: that of the text; when given, it must be one the adapter was made for. `target` and
    `search` are for translation: the language to write, needed when the adapter can write several,
    and how to look for it. `top_k`: labels at most, for an adapter that has labels. `threshold`:
    the score from which the likeliest label is the decision, in place of the adapter's own.
    `explain`: the answer also says what each span of the text did to it, for an adapter that can.
    `html`: the text to translate is HTML, whose markup is kept. `glossary`: terms with what is to
    be written for them. `dimensions` and `encoding`: how many values a vector is to have (None:
    all), and how it is written. `version`: that of the adapter; None: the one that is served under
    the name. Where a row was asked for, it may be an alias, or the beginning of a version, and
    `key` is what a canary chooses by in place of the text; an engine gets neither (see
    `rollout.names`).
    """

    adapter: str
    text: str
    language: str | None = None
    truncate: bool = False
    target: str | None = None
    search: Search = field(default_factory=Search)
    stack: tuple[WeightedAdapter, ...] | None = None
    head: str | None = None
    weight: float = 1.0
    top_k: int | None = None
    threshold: float | None = None
    explain: bool = False
    html: bool = False
    glossary: tuple[tuple[str, str], ...] = ()
    dimensions: int | None = None
    encoding: Encoding = "float"
    version: str | None = None
    key: str | None = None

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise InvalidOption(
                f"threshold is {self.threshold:g}, a score lies within 0 and 1; send such a "
                "number, or leave it out for the adapter's own decisions"
            )


@dataclass(frozen=True)
class Progress:
    """What is written so far of one of the texts that are decoded for a row: for the `row`-th of a
    call, its `part`-th sentence, `final` when it is whole. `before` and `after` stand around it in
    the answer: those of all parts together are the answer's text."""

    row: int
    part: int
    text: str
    before: str
    after: str
    final: bool


@dataclass(frozen=True)
class Answer(ABC):
    """A row's answer: `version` is that of the adapter that gave it, `stack` those of the adapters
    under it, `name@version`; `alias` the one that was asked for, or that a route chose. Each task
    adds what it answers."""

    adapter: str
    version: str
    stack: list[str] = field(default_factory=list, kw_only=True)
    alias: str | None = field(default=None, kw_only=True)

    @property
    def size(self) -> int:
        """How many values it holds, about."""
        return 1

    @abstractmethod
    def fields(self) -> dict[str, Any]:
        """What it answers, whole, as JSON can write it."""

    @abstractmethod
    def summary(self) -> dict[str, Any]:
        """The same in few fields: the best and its score."""
