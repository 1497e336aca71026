"""What can be had in seconds, compared on a recipe's own rows: the lexical part alone, a head
beside it, and a head that is given a source's rows too, for every source.

Each is made as training would make it (the lexical part beside the neural one, their weights and
the source's found on held-out rows), and answers every row of train and dev together, held out in
stratified folds that are cut anew several times. No more rows are trained on than the recipe has
training rows. Without torch. Does not: train LoRA, or look at test rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polygraft.data.splits import Split
from polygraft.reporting.intervals import Interval, bootstrap, paired_difference
from polygraft.tasks.classification.features import TextFeatures
from polygraft.tasks.classification.joining import (
    Fold,
    Held,
    Places,
    find_join,
    folds_of,
    log_loss,
    places,
)
from polygraft.tasks.classification.lexical_training import fit_features
from polygraft.tasks.classification.metrics import counted_f1
from polygraft.tasks.classification.parts import Parts
from polygraft.tasks.serving import Floats
from polygraft.training.linear_head import Vectors
from polygraft.training.phases import Advance
from polygraft.transfer.mixing import Beside, out_of_fold, out_of_fold_by_weight

LEXICAL, HEAD = "TF-IDF", "head"
REPEATS = {300: 5, 800: 2}  # by how many rows there are at most; of more, folds are cut once
Answers = NDArray[np.int64]


@dataclass(frozen=True)
class Pool:
    """The rows that are answered: those of train and dev. Unit vectors [rows, hidden], and the
    features of each text. `trained_on` is how many rows of each label training has; `hybrid`
    whether it puts a lexical part beside the neural one."""

    rows: Split
    vectors: Vectors
    features: Sequence[TextFeatures]
    trained_on: Mapping[str, int]
    hybrid: bool = True

    @property
    def repeats(self) -> int:
        """How often folds are cut: many rows need it less, and take longer."""
        return next((count for most, count in REPEATS.items() if len(self.rows) <= most), 1)

    def steps(self, sources: int) -> int:
        """How often `compare` advances, with so many sources."""
        return self.repeats * (1 + sources)

    def folds(self, repeat: int) -> list[Fold]:
        """Folds of `folds_of`, of which no more rows are trained on than training has."""
        rng = np.random.default_rng(repeat)
        return [
            (self._thinned(rng.permutation(kept)), held_out)
            for kept, held_out in folds_of(self.rows, repeat)
        ]

    def _thinned(self, kept: Places) -> Places:
        taken, drawn = Counter[str](), list[int]()
        for i in kept.tolist():
            label = self.rows.labels[i]
            if taken[label] < self.trained_on.get(label, 0):
                taken[label] += 1
                drawn.append(i)
        return np.array(sorted(drawn), np.int64)


@dataclass(frozen=True)
class Compared:
    """What each way answered to every row, held out: `answers[way]` [repeats, rows], places among
    the labels, and the true ones `gold` [rows]. A way is `LEXICAL`, `HEAD`, or the name of a
    source."""

    gold: Places
    labels: int
    answers: dict[str, Answers]

    def score(self, way: str) -> Interval:
        """Macro-F1, mean over the repeats."""
        return bootstrap(self.gold, list(self.answers[way]), counted_f1(self.labels))

    def lead(self, way: str, over: str) -> Interval:
        """By how much macro-F1 `way` is ahead, over rows and repeats."""
        return paired_difference(
            self.gold,
            list(self.answers[way]),
            list(self.answers[over]),
            counted_f1(self.labels),
        )


def compare(
    pool: Pool, labels: Sequence[str], sources: Mapping[str, Beside], advance: Advance
) -> Compared | None:
    """Every way on every row; None where a label has but one row, so that none can be held out.
    The weights in `sources` are what their rows count when their mean is about 1. `advance` hears
    of every way of every repeat."""
    gold, row_labels = places(pool.rows.labels, labels), pool.rows.labels
    answers = dict[str, list[Answers]]()
    for repeat in range(pool.repeats):
        folds = pool.folds(repeat)
        if not folds:
            return None
        lexical = _lexical(pool, labels, folds)
        answers.setdefault(LEXICAL, []).append(lexical.argmax(axis=1))
        joined = lexical if pool.hybrid else None
        alone = {0.0: out_of_fold(pool.vectors, row_labels, labels, folds)}
        answers.setdefault(HEAD, []).append(_answers(gold, alone, joined, folds))
        advance(1)
        for name, beside in sources.items():
            neural = out_of_fold_by_weight(pool.vectors, row_labels, labels, folds, beside)
            answers.setdefault(name, []).append(_answers(gold, neural, joined, folds))
            advance(1)
    return Compared(gold, len(labels), {way: np.stack(runs) for way, runs in answers.items()})


def _lexical(pool: Pool, labels: Sequence[str], folds: Sequence[Fold]) -> Floats:
    """Logits [rows, labels] of the lexical part, each row's without its fold; zeros where there is
    nothing to fit."""
    logits = np.zeros((len(pool.rows), len(labels)), np.float32)
    for kept, held_out in folds:
        read, gold = [pool.features[i] for i in kept], [pool.rows.labels[i] for i in kept]
        if fitted := fit_features(read, gold, labels, []):
            logits[held_out] = [fitted.part.logits_of(pool.features[i]) for i in held_out]
    return logits


def _answers(
    gold: Places, neural: Mapping[float, Floats], lexical: Floats | None, folds: Sequence[Fold]
) -> Answers:
    """The likeliest label of each row [rows], by the parts joined; their weights, and which source
    weight of `neural` is taken, are those that the other folds' rows support."""
    answers = np.zeros(len(gold), np.int64)
    for _, held_out in folds:
        others = np.setdiff1d(np.arange(len(gold)), held_out)
        tried = []
        for logits in neural.values():
            held = Held(gold[others], _rows(Parts(logits, lexical), others))
            join = find_join(held)
            tried.append((log_loss(held, join), join, logits))
        _, join, logits = min(tried, key=lambda one: one[0])
        answers[held_out] = _rows(Parts(logits, lexical), held_out).joined(join).argmax(axis=1)
    return answers


def _rows(parts: Parts, rows: Places) -> Parts:
    return Parts(parts.neural[rows], None if parts.lexical is None else parts.lexical[rows])
