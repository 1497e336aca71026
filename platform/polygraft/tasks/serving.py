"""What a task does when its adapters are served: the one interface between the engine and
`tasks/<task>/serving.py`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from polygraft.errors import InvalidRow

if TYPE_CHECKING:
    from polygraft.adapters.format import Adapter
    from polygraft.adapters.manifest import Manifest
    from polygraft.architectures.conventions import Conventions, Direction
    from polygraft.architectures.text import Encoded, TextEncoder
    from polygraft.runtime.rows import Answer, Row
    from polygraft.runtime.search import Search

Floats = NDArray[np.float32]
MAX_CHARACTERS = 20_000
"""Of a text. More is refused, or, where the row says `truncate`, not read."""


class Output(Enum):
    """What the engine computes of an encoded text: its sentence vector [hidden], the mean of its
    token states (of a text of several windows, the mean of theirs); or the token states [seq,
    hidden]."""

    VECTOR = "vector"
    STATES = "states"


@dataclass(frozen=True)
class Writing:
    """The engine decodes each text: `Written` hypotheses, best first, of its translation."""

    direction: Direction
    search: Search


@dataclass(frozen=True)
class Written:
    """A text that was decoded; `score` is its log-probability, normalised by length as was asked,
    and `log_probability` the mean of its tokens. `cut`: it reached the bound on its length."""

    text: str
    score: float
    log_probability: float
    cut: bool


@dataclass(frozen=True)
class RowPlan:
    """How a row is answered: each of `texts` is encoded (or was by the task itself: then it is read
    as it is, in one window), and `answer` is given one `output` a text, in order (float32 arrays,
    or a list of `Written`). It is called from another thread, and must be quick. `own`: how many of
    `texts`, from the first, are the row's own, and refused where they are longer than what is read
    and may not be cut (None: all); the others are variants of them. `window`: the tokens that are
    read at once (None: as many as the backbone reads). `around`: where texts are decoded, what
    stands in the answer before the first, between each two and after the last; empty where the
    answer cannot be put together while it is written. `shown` and `final`: of the text at a place,
    what is decoded so far, or of its best hypothesis, as it stands in the answer (None: as it
    is)."""

    texts: Sequence[str | Encoded]
    output: Output | Writing
    answer: Callable[[Sequence[Any]], Answer]
    own: int | None = None
    window: int | None = None
    around: Sequence[str] = ()
    shown: Callable[[int, str], str] | None = None
    final: Callable[[int, str], str] | None = None


class Replay(Protocol):
    """An adapter in its slots, asked again: each method gives what it computes now, and what is
    computed without it: by the bare backbone, or by what lies under an adapter that writes."""

    @property
    def conventions(self) -> Conventions:
        """How the backbone's decoder is spoken to. Asked only for adapters that write."""

    @property
    def encoder(self) -> TextEncoder:
        """How text is read."""

    def vectors(self, texts: Sequence[str]) -> tuple[Floats, Floats]:
        """Mean-pooled vectors [texts, hidden]."""

    def states(self, texts: Sequence[Encoded]) -> tuple[list[Floats], list[Floats]]:
        """Token states [seq, hidden] of each text."""

    def written(
        self, texts: Sequence[str], directions: Sequence[Direction]
    ) -> tuple[list[str], list[str]]:
        """Greedy translations, each text in its direction."""


class ServedTask(ABC):
    """`TASK` of `tasks/<task>/serving.py`."""

    manifest: ClassVar[type[Manifest]]
    writes: ClassVar[bool] = False
    """Whether its LoRA also sits on the decoder. What it writes can be told from nothing without
    the adapters it was trained on top of, so its goldens are replayed with them; those of other
    tasks by itself."""
    answer_fields: ClassVar[frozenset[str]] = frozenset()
    """What its answers' `summary` may hold: in a file that is answered again these are replaced."""
    explains: ClassVar[bool] = False
    """Whether its answers to rows with `explain` say why."""
    embeds: ClassVar[bool] = False
    """Whether it answers with a vector, so that a row may say its `dimensions` and `encoding`."""

    def read_head(self, manifest: Any, tensors: Mapping[str, NDArray[Any]]) -> Any:
        """The head in the tensors of its file (empty when there is none); None for a task without
        one. Raises `AdapterError` for one that does not fit."""
        return None

    @abstractmethod
    def plan(self, row: Row, adapter: Adapter, stack: list[str], encoder: TextEncoder) -> RowPlan:
        """How `adapter` answers `row` on top of the adapters `stack` (name@version). Raises the
        row's error."""

    @abstractmethod
    def verify_goldens(self, adapter: Adapter, replay: Replay) -> None:
        """Raises `GoldenMismatch` or `AdapterError` for an adapter that does not give what it gave
        when it was trained."""


def beginning(row: Row) -> str:
    """The row's text, or what of it is read. Raises `InvalidRow` for one that is too long and may
    not be cut."""
    if len(row.text) > MAX_CHARACTERS and not row.truncate:
        raise too_long(row.text, 'shorten it, or send "truncate": true')
    return row.text[:MAX_CHARACTERS]


def too_long(text: str, what_to_do: str) -> InvalidRow:
    return InvalidRow(
        f"the text has {len(text):,} characters, at most {MAX_CHARACTERS:,} are read; {what_to_do}"
    )
