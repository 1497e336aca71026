"""Which unlabelled rows to label next: those an adapter is unsure of, spread over what the backbone
sees in them.

k-means over the backbone's vectors of the most uncertain rows, each weighted by its uncertainty;
the row nearest to each centre is suggested (Zhdanov 2019, "Diverse mini-batch active learning").
Without an adapter all rows count alike: a first set to label. Does not: read files, or label
anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans

from polygraft.data.leaks import normalised
from polygraft.errors import AdapterError
from polygraft.runtime.engine import Engine
from polygraft.runtime.rows import Row
from polygraft.tasks.classification.manifest import ClassificationManifest
from polygraft.tasks.classification.serving import Classified
from polygraft.tasks.serving import Floats
from polygraft.training.linear_head import unit
from polygraft.transfer.translations import SAME

POOL, LEAST = 10, 1e-3


@dataclass(frozen=True)
class Suggestion:
    """`row` is its number; `label` the adapter's guess and `margin` how far it leads the next one,
    0 (unsure) to 1; None without an adapter."""

    row: int
    label: str | None = None
    margin: float | None = None


def suggest(
    engine: Engine,
    adapter: str | None,
    texts: Sequence[str],
    count: int,
    *,
    known: Sequence[str] = (),
    trained_on: Floats | None = None,
    seed: int = 0,
) -> list[Suggestion]:
    """At most `count` rows of `texts` to label next, the most uncertain first. Texts that are equal
    to one in `known` or to one before them are left out, and those whose vector is that of one in
    `trained_on` [rows, hidden]: the adapter has learnt from them. Raises `UnknownAdapter`,
    `AdapterError` for an adapter that does not classify, or `InvalidRow` for a text the adapter
    cannot answer."""
    seen, rows = {normalised(t) for t in known}, list[int]()
    for i, text in enumerate(texts):
        if text.strip() and (plain := normalised(text)) not in seen:
            seen.add(plain)
            rows.append(i)
    guesses = {i: Suggestion(i) for i in rows}
    if adapter is not None:
        guesses = dict(zip(rows, _guess(engine, adapter, texts, rows), strict=True))
        by_margin = sorted(rows, key=lambda i: guesses[i].margin or 0.0)
        rows = by_margin[: max(POOL * count, len(rows) // 4)]
    vectors = engine.vectors([texts[i] for i in rows]) if rows else np.zeros((0, 1), np.float32)
    if trained_on is not None and rows:
        is_new = (vectors @ unit(trained_on).T).max(axis=1) < SAME
        rows = [i for i, new in zip(rows, is_new, strict=True) if new]
        vectors = vectors[is_new]
    if len(rows) <= count:
        return [guesses[i] for i in rows]
    weights = np.array([max(LEAST, 1 - (guesses[i].margin or 0.0)) for i in rows])
    clusters = KMeans(count, n_init=3, random_state=seed).fit(vectors, sample_weight=weights)
    distances = clusters.transform(vectors)
    nearest = {rows[int(np.argmin(distances[:, k]))] for k in range(count)}
    return sorted((guesses[i] for i in nearest), key=lambda s: (s.margin or 0.0, s.row))


def _guess(
    engine: Engine, adapter: str, texts: Sequence[str], rows: Sequence[int]
) -> list[Suggestion]:
    for manifest in engine.manifests():
        if manifest.name == adapter and not isinstance(manifest, ClassificationManifest):
            raise AdapterError(
                f"adapter {adapter!r} does not classify (its task is {manifest.task}), so it has "
                "no label to be unsure of; "
                "give a classifier, or none to spread the rows out"
            )
    answers = engine.answer([Row(adapter, texts[i], truncate=True, top_k=2) for i in rows])
    guesses = []
    for i, answer in zip(rows, answers, strict=True):
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Classified):
            first, second = answer.labels
            guesses.append(Suggestion(i, first.label, round(first.score - second.score, 4)))
    return guesses
