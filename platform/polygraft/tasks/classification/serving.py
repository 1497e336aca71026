"""Text classification: a linear head on the mean of the token states, joined to a lexical part
where the adapter has one, softmax over its labels. numpy only.

Does not: train (see `training`), or compute metrics (see `metrics`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polygraft.adapters.format import Adapter
from polygraft.architectures.text import TextEncoder
from polygraft.errors import AdapterError, InvalidOption, shortened
from polygraft.runtime.rows import Answer, Row
from polygraft.tasks.classification.explain import Explainer, Explanation
from polygraft.tasks.classification.hidden_layer import HiddenLayer, read_hidden_layer
from polygraft.tasks.classification.lexical import (
    Lexical,
    compare_joined,
    compare_lexical,
    read_join,
    read_lexical,
)
from polygraft.tasks.classification.manifest import (
    SCORE_DIGITS,
    ClassificationManifest,
    Decision,
)
from polygraft.tasks.classification.parts import NEURAL_ALONE, Join, softmax
from polygraft.tasks.goldens import MIN_EFFECT, compare_numbers, effect, same_width
from polygraft.tasks.serving import Floats, Output, Replay, RowPlan, ServedTask, beginning


@dataclass(frozen=True)
class Head:
    """`weight` [labels, hidden] and `bias` [labels], float32, of the neural part, and the layer
    before them where there is one; the lexical part, and how they are joined."""

    weight: Floats
    bias: Floats
    lexical: Lexical | None = None
    join: Join = NEURAL_ALONE
    hidden: HiddenLayer | None = None

    @property
    def width(self) -> int:
        """How many values it reads."""
        first = self.hidden or self
        return int(first.weight.shape[1])

    def logits(self, pooled: Floats) -> Floats:
        """[rows, hidden] -> [rows, labels], of the neural part."""
        if self.hidden:
            pooled = self.hidden(pooled)
        out: Floats = pooled @ self.weight.T + self.bias
        return out


@dataclass(frozen=True)
class Heads:
    """An adapter's own head, and those of further tasks by name."""

    own: Head
    further: dict[str, Head]

    @property
    def all(self) -> list[Head]:
        return [self.own, *self.further.values()]


@dataclass(frozen=True)
class LabelScore:
    label: str
    score: float


@dataclass(frozen=True)
class Classified(Answer):
    """`labels` is sorted, likeliest first. `decision`: the name of one of the adapter's, or the
    label that reached the row's own threshold; None where none is reached, or there is none.
    `explanation` is of the first label, where the row asked."""

    labels: list[LabelScore]
    decision: str | None = None
    explanation: Explanation | None = None

    @property
    def size(self) -> int:
        return len(self.labels)

    @property
    def label(self) -> str:
        return self.labels[0].label

    @property
    def score(self) -> float:
        return self.labels[0].score

    def fields(self) -> dict[str, Any]:
        labels = [
            {"label": one.label, "score": round(one.score, SCORE_DIGITS)} for one in self.labels
        ]
        return {**labels[0], "labels": labels, **self._further()}

    def summary(self) -> dict[str, Any]:
        return {"label": self.label, "score": round(self.score, SCORE_DIGITS), **self._further()}

    def _further(self) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        if self.decision is not None:
            fields["decision"] = self.decision
        if self.explanation is not None:
            fields["explanation"] = self.explanation.record()
        return fields


class Classification(ServedTask):
    """A row is answered with the labels of one head and their probabilities."""

    manifest = ClassificationManifest
    answer_fields = frozenset({"label", "score", "decision", "explanation"})
    explains = True

    def read_head(
        self, manifest: ClassificationManifest, tensors: Mapping[str, NDArray[Any]]
    ) -> Heads:
        own = _head(tensors, "", len(manifest.labels), manifest.name)
        join, lexical = read_join(tensors, manifest.name), None
        if manifest.lexical is not None:
            lexical = read_lexical(tensors, manifest.lexical, len(manifest.labels), manifest.name)
        hidden = None
        if manifest.activation is not None:
            inner = own.weight.shape[1]
            hidden = read_hidden_layer(tensors, manifest.activation, inner, manifest.name)
        own = replace(own, lexical=lexical, join=join, hidden=hidden)
        further = {
            task: _head(tensors, f"{task}.", len(labels), manifest.name)
            for task, labels in manifest.heads.items()
        }
        heads = Heads(own, further)
        widths = {one.width for one in heads.all}
        if len(widths) > 1:
            raise AdapterError(
                f"adapter {manifest.name!r}: its heads read {sorted(widths)} values; all read the "
                "backbone's hidden size"
            )
        return heads

    def plan(self, row: Row, adapter: Adapter, stack: list[str], encoder: TextEncoder) -> RowPlan:
        if row.target is not None or row.html:
            asked = "the target" if row.target is not None else "format: html"
            raise InvalidOption(
                f"adapter {row.adapter!r} does not translate, it has labels; leave {asked} out, "
                "and classify with it"
            )
        head, labels = _chosen(adapter, row.head)
        decisions = adapter.manifest.decide if head is adapter.head.own else {}
        text = beginning(row)
        explainer = Explainer(text, head.lexical, head.join, encoder) if row.explain else None
        variants = explainer.variants if explainer else []
        reads_first = adapter.manifest.pooling == "first"

        def answer(outputs: Sequence[Floats]) -> Classified:
            vectors = [states[0] for states in outputs] if reads_first else outputs
            lexical = head.lexical.logits(text) if head.lexical else None
            logits = head.join.joined(head.logits(vectors[0][None])[0], lexical)
            scores = softmax(logits)
            ordered = ranked(scores, labels, row.top_k)
            explanation = None
            if explainer:
                neural, label = head.logits(np.stack(vectors)), ordered[0].label
                explanation = explainer.explain(labels.index(label), label, neural, lexical)
            return Classified(
                adapter.name,
                adapter.version,
                ordered,
                decided(scores, labels, decisions, row.threshold),
                explanation,
                stack=stack,
            )

        window = adapter.manifest.window
        output = Output.STATES if reads_first else Output.VECTOR
        return RowPlan([text, *variants], output, answer, own=1, window=window)

    def verify_goldens(self, adapter: Adapter, replay: Replay) -> None:
        """A head that was trained on the bare backbone has the bias, what it gives to no text, as
        its bare outputs."""
        goldens, heads = adapter.manifest.golden, adapter.head
        pooled, bare_pooled = _read(adapter.manifest, replay)
        for head in heads.all:
            same_width(adapter.name, "head reads", head.width, pooled.shape[1])
        now, bare = heads.own.logits(pooled), heads.own.logits(bare_pooled)
        if effect(now, bare) < MIN_EFFECT:
            bare = np.tile(heads.own.bias, (len(now), 1))
        compare_numbers(
            adapter.name, now, bare, [g.logits for g in goldens], [g.bare for g in goldens]
        )
        if lexical := heads.own.lexical:
            compare_lexical(
                adapter.name,
                np.stack([lexical.logits(golden.text) for golden in goldens]),
                np.array([golden.lexical for golden in goldens]),
            )
        for golden in goldens:
            compare_joined(adapter.name, heads.own.join, golden)


TASK = Classification()


def ranked(scores: Floats, labels: Sequence[str], top_k: int | None) -> list[LabelScore]:
    """Labels of one row, likeliest first, at most `top_k`. `scores` is [labels]."""
    values: list[float] = scores.tolist()
    order = sorted(range(len(values)), key=lambda i: -values[i])[:top_k]
    return [LabelScore(labels[i], values[i]) for i in order]


def decided(
    scores: Floats,
    labels: Sequence[str],
    decisions: Mapping[str, Decision],
    threshold: float | None,
) -> str | None:
    """The likeliest label if its score reaches `threshold`; without one, the name of the first of
    the `decisions` whose label's score reaches its own. Else None. Scores are compared as an answer
    gives them."""
    if threshold is not None:
        best = int(scores.argmax())
        return labels[best] if round(float(scores[best]), SCORE_DIGITS) >= threshold else None
    for name, decision in decisions.items():
        if decision.threshold is not None:
            score = float(scores[labels.index(decision.label)])
            if round(score, SCORE_DIGITS) >= decision.threshold:
                return name
    return None


def _read(manifest: ClassificationManifest, replay: Replay) -> tuple[Floats, Floats]:
    """What the head reads of each golden, [goldens, hidden]: with the adapter, and without."""
    texts = [golden.text for golden in manifest.golden]
    if manifest.pooling == "mean":
        return replay.vectors(texts)
    now, bare = replay.states(replay.encoder.encode(texts))
    return np.stack([states[0] for states in now]), np.stack([states[0] for states in bare])


def _chosen(adapter: Adapter, task: str | None) -> tuple[Head, list[str]]:
    """The head for `task` (None: the adapter's own) and its labels. Raises `InvalidOption`."""
    if task is None or task == adapter.name:
        return adapter.head.own, adapter.manifest.labels
    if task not in adapter.head.further:
        known = ", ".join([adapter.name, *adapter.head.further])
        raise InvalidOption(f"adapter {adapter.name!r} has no head {task!r}; it has {known}")
    return adapter.head.further[task], adapter.manifest.heads[task]


def _head(tensors: Mapping[str, NDArray[Any]], prefix: str, labels: int, name: str) -> Head:
    """The head whose tensors' names start with `prefix`. Raises `AdapterError` for one of another
    number of labels."""
    weight, bias = tensors.get(f"{prefix}weight"), tensors.get(f"{prefix}bias")
    if (
        weight is not None
        and bias is not None
        and weight.ndim == 2
        and len(weight) == labels
        and weight.shape[1] > 0
        and bias.shape == (labels,)
    ):
        return Head(weight, bias)
    shapes = ", ".join(
        f"{shortened(key)} {list(value.shape)}" for key, value in sorted(tensors.items())[:6]
    )
    raise AdapterError(
        f"adapter {name!r}: the head ({shapes or 'nothing'}) does not fit its {labels} labels: "
        f"wanted are {prefix}weight [{labels}, hidden] and {prefix}bias [{labels}]"
    )
