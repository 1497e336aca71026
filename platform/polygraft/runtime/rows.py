"""Rows and their answers: what goes into the engine and what comes out."""

from __future__ import annotations

from dataclasses import dataclass, field

from polygraft.runtime.search import Search
from polygraft.tasks.classification import LabelScore


@dataclass(frozen=True)
class Row:
    """One text for one adapter.

    `language`: that of the text; when given, it must be one the adapter was made for. `target` and `search` are for
    translation: the language to write, needed when the adapter can write several, and how to look for it.
    """

    adapter: str
    text: str
    language: str | None = None
    truncate: bool = False
    target: str | None = None
    search: Search = field(default_factory=Search)


@dataclass(frozen=True)
class Classified:
    """A row's answer: `labels` is sorted, likeliest first; `version` is that of the adapter that gave it."""

    adapter: str
    version: str
    labels: list[LabelScore]

    @property
    def label(self) -> str:
        return self.labels[0].label

    @property
    def score(self) -> float:
        return self.labels[0].score


@dataclass(frozen=True)
class Translated:
    """A row's answer. `texts`: the n best, best first, and their `scores` (mean over sentences of the length-normalised
    log-probability). `cut`: the bound on the length was reached in some sentence before it ended."""

    adapter: str
    version: str
    source: str
    target: str
    texts: list[str]
    scores: list[float]
    cut: bool

    @property
    def text(self) -> str:
        return self.texts[0]


Answer = Classified | Translated
