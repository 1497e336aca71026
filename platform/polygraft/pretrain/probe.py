"""Zero-shot probe: logistic regression on English sentence vectors, applied to other languages'
(SIB-200).

Three protocols, all macro-F1 in percent: `folds`, 5-fold over all 800 id-aligned rows (a language
is scored on folds whose English rows the classifier never saw); `centred`, the same with the mean
of its language's 800 vectors taken from each (which needs to know the language, and unlabelled text
of it); and `official`, fitted on the 701 training rows, scored on the 99 dev rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedKFold

from polygraft.architectures.loading import load_backbone
from polygraft.architectures.text import load_encoder
from polygraft.pretrain.corpus import read_lines
from polygraft.training.linear_head import Vectors
from polygraft.training.vectors import sentence_vectors


def zero_shot(
    vectors_of: Callable[[str], Vectors],
    labels: Sequence[str],
    is_train: NDArray[np.bool_],
    languages: Sequence[str],
) -> dict[str, dict[str, float]]:
    """Scores by language; the first language is the source. `vectors_of(language)` is [len(labels),
    hidden]."""
    y = np.asarray(labels)
    vectors = {language: vectors_of(language) for language in languages}
    folds = _in_folds(vectors, y)
    centred = _in_folds({language: v - v.mean(axis=0) for language, v in vectors.items()}, y)
    official = _probe(vectors[languages[0]][is_train], y[is_train])
    return {
        language: {
            "folds": folds[language],
            "centred": centred[language],
            "official": _macro_f1(y[~is_train], official.predict(vectors[language][~is_train])),
        }
        for language in languages
    }


def _in_folds(vectors: dict[str, Vectors], y: NDArray[np.str_]) -> dict[str, float]:
    """Scores by language, each row predicted by a probe of the first language that saw no
    translation of it."""
    source = next(iter(vectors.values()))
    predicted = {language: np.empty_like(y) for language in vectors}
    for train, test in StratifiedKFold(5, shuffle=True, random_state=0).split(source, y):
        probe = _probe(source[train], y[train])
        for language, own in vectors.items():
            predicted[language][test] = probe.predict(own[test])
    return {language: _macro_f1(y, labels) for language, labels in predicted.items()}


def _probe(vectors: Vectors, y: NDArray[np.str_]) -> LogisticRegression:
    return LogisticRegression(C=10, max_iter=2000).fit(vectors, y)


def probe_sib200(
    backbone: Path, folder: Path, languages: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Scores of a backbone on the multi-parallel SIB-200 files of `folder` (`<code>.txt.gz`,
    `labels.tsv.gz`)."""
    rows = [line.split("\t") for line in read_lines(folder / "labels.tsv.gz")]
    model, encoder = load_backbone(backbone), load_encoder(backbone, max_length=128)
    return zero_shot(
        lambda language: sentence_vectors(
            model, encoder, read_lines(folder / f"{language}.txt.gz")
        ),
        [row[2] for row in rows],
        np.array([row[1] == "train" for row in rows]),
        languages,
    )


def _macro_f1(gold: NDArray[np.str_], predicted: NDArray[np.str_]) -> float:
    return round(100 * float(f1_score(gold, predicted, average="macro")), 1)
