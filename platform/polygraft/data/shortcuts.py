"""Labels that something else than the text gives away: its length, or another field of the row,
such as where it came from.

A model may learn that instead of the task, and a test split made the same way does not notice
(Gururangan et al. 2018, "Annotation artifacts in natural language inference data"; Geirhos et al.
2020, "Shortcut learning in deep neural networks"). Does not: read files, or decide what to do about
it (see `tasks/classification/data.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier

GIVEN_AWAY = 95.0
FOLDS, MIN_ROWS = 5, 10


def given_away(
    texts: Sequence[str], labels: Sequence[str], fields: Mapping[str, Sequence[str]]
) -> dict[str, float]:
    """What tells the label for at least `GIVEN_AWAY` percent balanced accuracy (five folds):
    `length`, or a name in `fields`.

    Fields with one value, or a new one for every other row (ids, texts), say nothing; nor do labels
    with fewer than `MIN_ROWS` rows, which are left out. Length alone gives 81 to 85 percent on the
    spam sets this was set with.
    """
    counts = Counter(labels)
    rows = [i for i, label in enumerate(labels) if counts[label] >= MIN_ROWS]
    gold = np.array([labels[i] for i in rows])
    if len(set(gold)) < 2:
        return {}
    tree = DecisionTreeClassifier(
        max_leaf_nodes=2 * len(set(gold)), class_weight="balanced", random_state=0
    )
    hints: dict[str, tuple[Any, Sequence[Any]]] = {"length": (tree, [len(texts[i]) for i in rows])}
    for name, values in fields.items():
        of_rows = [values[i] for i in rows]
        if 1 < len(set(of_rows)) <= len(of_rows) / 2:
            encoder = OneHotEncoder(handle_unknown="ignore")
            regression = LogisticRegression(class_weight="balanced", C=100, max_iter=1000)
            hints[name] = (make_pipeline(encoder, regression), of_rows)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    scores = {}
    for name, (model, values) in hints.items():
        guessed = cross_val_predict(model, np.array(values)[:, None], gold, cv=folds)
        scores[name] = round(100 * float(balanced_accuracy_score(gold, guessed)), 1)
    return {name: score for name, score in scores.items() if score >= GIVEN_AWAY}
