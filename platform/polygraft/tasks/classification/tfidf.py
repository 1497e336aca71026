"""The baselines that read words and no backbone: the majority label, and TF-IDF with a linear
model, as it comes and tuned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from sklearn.base import ClassifierMixin
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import FeatureUnion, make_union
from sklearn.svm import LinearSVC

from polygraft.data.splits import Split
from polygraft.tasks.classification.joining import folds_of
from polygraft.tasks.classification.lexical_training import Matrix
from polygraft.tasks.classification.metrics import macro_f1
from polygraft.training.threads import on_one_thread

SPANNED = 2000  # rows; of more, the features themselves are the smaller matrix
TUNED = 2000
"""Rows at most that the models are compared on. With 5,000 news articles, or 19,000 texts in 21
languages, all six on folds of all rows take over half an hour of CPU, on so many two minutes."""
JITTER = 1e-9  # of the Gram matrix, whose diagonal is 2: equal rows make it singular


def majority(train: Split, texts: Sequence[str]) -> list[str]:
    """The commonest training label for every row."""
    return [max(sorted(set(train.labels)), key=train.labels.count)] * len(texts)


def tfidf(train: Split, texts: Sequence[str]) -> list[str]:
    """See `Tfidf.answers`."""
    return Tfidf.read(train, texts).answers()


def tuned_tfidf(train: Split, texts: Sequence[str]) -> list[str]:
    """See `Tfidf.tuned_answers`."""
    return Tfidf.read(train, texts).tuned_answers()


@dataclass(frozen=True)
class Tfidf:
    """TF-IDF of training rows and of the texts that are to be answered, words (1-2) and characters
    (2-5): read once, for every model on it."""

    train: Split
    rows: Matrix
    asked: Matrix

    @classmethod
    def read(cls, train: Split, texts: Sequence[str]) -> Tfidf:
        features = _features()
        rows = features.fit_transform(train.texts)
        return cls(train, *_in_their_span(rows, features.transform(list(texts))))

    @on_one_thread
    def answers(self, model: ClassifierMixin | None = None) -> list[str]:
        """A label for each text by the model; by logistic regression, the strong cheap baseline,
        when none is given."""
        model = model or _regression(10)
        model.fit(self.rows, self.train.labels)
        return [str(label) for label in model.predict(self.asked)]

    @on_one_thread
    def tuned_answers(self) -> list[str]:
        """By logistic regression or a linear SVM, whichever of six does best on folds of the
        training rows (macro-F1), of at most `TUNED` of them; untuned where a label has but one
        row."""
        each = TUNED // len(set(self.train.labels))
        few = self.train if len(self.train) <= TUNED else self.train.originals.few(each, seed=0)
        compared = self if few is self.train else Tfidf.read(few, few.texts[:1])
        folds, gold = folds_of(few), np.array(few.labels)
        if not folds:
            return self.answers()
        best = max(
            (*map(_regression, (1, 10, 100)), *map(_svm, (0.1, 0.5, 2))),
            key=lambda model: macro_f1(
                gold, cross_val_predict(model, compared.rows, gold, cv=folds)
            ),
        )
        return self.answers(best)


def _in_their_span(rows: Matrix, asked: Matrix) -> tuple[Matrix, Matrix]:
    """Both matrices in coordinates of the space that `rows` span, where there are fewer of them
    than features. A linear model with an L2 penalty is a sum of its training rows, so there it is
    the same model (Schölkopf et al. 2001, "A Generalized Representer Theorem"), with 1,400
    coordinates in place of 330,000: logistic regression on 1,400 news articles takes 0.3 s in place
    of 5."""
    count, features = rows.shape
    if not 1 < count <= min(SPANNED, features):
        return rows, asked
    gram = (rows @ rows.T).toarray() + JITTER * np.eye(count)
    lower = scipy.linalg.cholesky(gram, lower=True)
    return lower, scipy.linalg.solve_triangular(lower, (rows @ asked.T).toarray(), lower=True).T


def _features() -> FeatureUnion:
    return make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=1),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=2),
    )


def _regression(c: float) -> ClassifierMixin:
    return LogisticRegression(C=c, max_iter=2000, class_weight="balanced")


def _svm(c: float) -> ClassifierMixin:
    return LinearSVC(C=c, class_weight="balanced", random_state=0)
