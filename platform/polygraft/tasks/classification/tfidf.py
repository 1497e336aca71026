"""The baselines that read words and no backbone: the majority label, and TF-IDF with logistic
regression."""

from __future__ import annotations

from collections.abc import Sequence

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union

from polygraft.data.splits import Split


def majority(train: Split, texts: Sequence[str]) -> list[str]:
    """The commonest training label for every row."""
    return [max(sorted(set(train.labels)), key=train.labels.count)] * len(texts)


def tfidf(train: Split, texts: Sequence[str]) -> list[str]:
    """TF-IDF of words (1-2) and characters (2-5) into logistic regression: the strong cheap
    baseline."""
    features = make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=1),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=2),
    )
    model = make_pipeline(
        features, LogisticRegression(C=10, max_iter=2000, class_weight="balanced")
    )
    return [str(label) for label in model.fit(train.texts, train.labels).predict(list(texts))]
