"""The baselines that read words and no backbone: the majority label, and TF-IDF with a linear
model, as it comes and tuned."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import FeatureUnion, make_union
from sklearn.svm import LinearSVC

from polygraft.data.splits import Split
from polygraft.tasks.classification.joining import folds_of
from polygraft.tasks.classification.metrics import macro_f1


def majority(train: Split, texts: Sequence[str]) -> list[str]:
    """The commonest training label for every row."""
    return [max(sorted(set(train.labels)), key=train.labels.count)] * len(texts)


def tfidf(train: Split, texts: Sequence[str]) -> list[str]:
    """TF-IDF of words (1-2) and characters (2-5) into logistic regression: the strong cheap
    baseline."""
    features = _features()
    return _answers(_regression(10), features.fit_transform(train.texts), train, features, texts)


def tuned_tfidf(train: Split, texts: Sequence[str]) -> list[str]:
    """The same features into logistic regression or a linear SVM, whichever of six does best on
    folds of the training rows (macro-F1); untuned where a label has but one row."""
    folds = folds_of(train)
    if not folds:
        return tfidf(train, texts)
    features, gold = _features(), np.array(train.labels)
    rows = features.fit_transform(train.texts)
    best = max(
        (*map(_regression, (1, 10, 100)), *map(_svm, (0.1, 0.5, 2))),
        key=lambda model: macro_f1(gold, cross_val_predict(model, rows, gold, cv=folds)),
    )
    return _answers(best, rows, train, features, texts)


def _features() -> FeatureUnion:
    return make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=1),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=2),
    )


def _regression(c: float) -> ClassifierMixin:
    return LogisticRegression(C=c, max_iter=2000, class_weight="balanced")


def _svm(c: float) -> ClassifierMixin:
    return LinearSVC(C=c, class_weight="balanced", random_state=0)


def _answers(
    model: ClassifierMixin,
    rows: object,
    train: Split,
    features: FeatureUnion,
    texts: Sequence[str],
) -> list[str]:
    model.fit(rows, train.labels)
    return [str(label) for label in model.predict(features.transform(list(texts)))]
