"""Rows and their answers: what goes into the engine and what comes out."""

from __future__ import annotations

from dataclasses import dataclass, field

from polygraft.errors import InvalidRow
from polygraft.runtime.search import Search
from polygraft.tasks.classification.serving import LabelScore

MOST_WEIGHT = 4


@dataclass(frozen=True)
class Layer:
    """An adapter in a stack, and how much its update counts (1: as it was trained)."""

    adapter: str
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not -MOST_WEIGHT <= self.weight <= MOST_WEIGHT:
            raise InvalidRow(f"weight of {self.adapter!r} is {self.weight:g}, it must lie within ±{MOST_WEIGHT}")


@dataclass(frozen=True)
class Row:
    """One text for one adapter, which answers; or for a stack of them, of which the last answers.

    `under`: the adapters below it, usually a language's; None: those it was trained on top of. `weight`: how much its own
    update counts. `head`: the task, for an adapter with several. `language`: that of the text; when given, it must be one the
    adapter was made for. `target` and `search` are for translation: the language to write, needed when the adapter can write
    several, and how to look for it.
    """

    adapter: str
    text: str
    language: str | None = None
    truncate: bool = False
    target: str | None = None
    search: Search = field(default_factory=Search)
    under: tuple[Layer, ...] | None = None
    head: str | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class Classified:
    """A row's answer: `labels` is sorted, likeliest first; `version` is that of the adapter that gave it, `stack` those of the
    adapters under it, `name@version`."""

    adapter: str
    version: str
    labels: list[LabelScore]
    stack: list[str] = field(default_factory=list)

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
    stack: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return self.texts[0]


Answer = Classified | Translated
