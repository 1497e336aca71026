"""Why a text got its label: what each of its spans pushed towards it, and by which part.

- **Lexical**: exact (see `attribution`). The pushes of all spans and the bias are the lexical
  part's logit.
- **Neural**: leave one out (Li et al. 2016, "Understanding Neural Networks through Representation
  Erasure"). A span's push is what the label's logit, centred over the labels, loses when the span
  is not there; each variant of the text is encoded like a text of its own. At most `MAX_VARIANTS`
  are: where more spans are read, neighbours leave together and share their push evenly. What the
  backbone does not read pushes nothing. The bias is what is left of the logit: what no span by
  itself accounts for; all of it where there is but one span, which could only leave no text.

Both are in the logits that are joined, their parts' weights included, so they can be added up and
compared. Does not: explain other labels than the one answered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from polygraft.architectures.text import TextEncoder
from polygraft.runtime.rows import MAX_VARIANTS
from polygraft.tasks.classification.attribution import Placed, Pushes
from polygraft.tasks.classification.lexical import Lexical
from polygraft.tasks.classification.parts import Join
from polygraft.tasks.classification.spans import Span, fewer, grouped, spans_of, without
from polygraft.tasks.serving import Floats

DECIMALS = 6
MARGIN = 1000
"""Characters that a variant may have beyond those read of the whole text: up to the next space, so
that no word is read in half."""


@dataclass(frozen=True)
class Push:
    """Towards the label by each part; None for a part that is not there, or was not asked."""

    lexical: float | None
    neural: float | None

    def record(self) -> dict[str, float]:
        pushes = {"lexical": self.lexical, "neural": self.neural}
        return {
            part: round(push, DECIMALS) + 0.0 for part, push in pushes.items() if push is not None
        }

    @property
    def both(self) -> float:
        return (self.lexical or 0.0) + (self.neural or 0.0)


@dataclass(frozen=True)
class ExplainedSpan:
    """`text` is what stands from `start` to `end`, in code points, in the text as it was sent."""

    start: int
    end: int
    text: str
    push: Push


@dataclass(frozen=True)
class Explanation:
    """What led to `label`: the pushes of all spans, together with `bias`, are the label's logit."""

    label: str
    spans: list[ExplainedSpan]
    bias: Push

    def record(self) -> dict[str, Any]:
        """As JSON can write it; pushes that are None are left out."""
        spans = [
            {"start": span.start, "end": span.end, "text": span.text, **span.push.record()}
            for span in self.spans
        ]
        return {"label": self.label, "spans": spans, "bias": self.bias.record()}


class Explainer:
    """Explains the answer to one text. `variants` are to be encoded with it."""

    def __init__(
        self, text: str, lexical: Lexical | None, join: Join, encoder: TextEncoder
    ) -> None:
        self._text, self._lexical, self._join = text, lexical, join
        spans = spans_of(text)
        self._spans = fewer(spans)
        self._placed = Placed(text) if lexical else None
        self._left_out: list[list[Span]] = []
        self.variants: list[str] = []
        if join.neural:
            read = encoder.characters_read(text)
            read_spans = [span for span in spans if span.start < read]
            runs = grouped(len(read_spans), MAX_VARIANTS)
            if len(runs) > 1:
                self._left_out = [read_spans[run.start : run.stop] for run in runs]
                kept = text[: _end_of_word(text, read)]
                self.variants = [without(kept, left_out) for left_out in self._left_out]

    def explain(
        self, place: int, label: str, neural: Floats, lexical: Floats | None
    ) -> Explanation:
        """`neural` are the logits [1 + variants, labels] of the text and of its variants, `lexical`
        those [labels] of the text; `label` is the one at `place` among the labels."""
        lexical_pushes, lexical_bias = self._lexical_pushes(place, lexical)
        neural_pushes, neural_bias = self._neural_pushes(place, neural.astype(np.float64))
        spans = [
            ExplainedSpan(
                span.start,
                span.end,
                self._text[span.start : span.end],
                Push(_within(lexical_pushes, span), _within(neural_pushes, span)),
            )
            for span in self._spans
        ]
        return Explanation(label, spans, Push(lexical_bias, neural_bias))

    def _lexical_pushes(
        self, place: int, logits: Floats | None
    ) -> tuple[Pushes | None, float | None]:
        """By character, as they add up from the first, and of the bias."""
        if self._lexical is None or self._placed is None or logits is None:
            return None, None
        pushes = self._join.lexical * self._placed.pushes(self._lexical, place)
        bias = self._join.lexical * float(logits[place]) - float(pushes.sum())
        return _added_up(pushes), bias

    def _neural_pushes(self, place: int, logits: Pushes) -> tuple[Pushes | None, float]:
        """By character, as they add up from the first, and what they leave of the whole logit."""
        centred = self._join.neural * (logits[:, place] - logits.mean(axis=1))
        if self._join.neural and not self.variants:
            return None, float(centred[0])
        pushes = np.zeros(len(self._text))
        for left_out, without_it in zip(self._left_out, centred[1:], strict=True):
            for span in left_out:  # on one of its characters: spans are never cut
                pushes[span.start] += (centred[0] - without_it) / len(left_out)
        return _added_up(pushes), float(centred[0] - pushes.sum())


def _end_of_word(text: str, read: int) -> int:
    """The next white space from the character `read`, `MARGIN` characters further at most."""
    rest: Sequence[str] = text[read : read + MARGIN].split(maxsplit=1)
    word = rest[0] if rest and not text[read].isspace() else ""
    return read + len(word)


def _added_up(pushes: Pushes) -> Pushes:
    """[characters + 1]: the sum of those before each character."""
    return np.concatenate([[0.0], np.cumsum(pushes)])


def _within(added_up: Pushes | None, span: Span) -> float | None:
    return None if added_up is None else float(added_up[span.end] - added_up[span.start])
