"""What an embedding adapter is shown beside: TF-IDF over characters, and the bare backbone; all
look for the same translations. The gain over the bare backbone is paired over pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polygraft.architectures.text import TextEncoder, load_encoder
from polygraft.reporting.intervals import bootstrap, paired_difference
from polygraft.tasks.embedding.job import EmbeddingJob
from polygraft.tasks.embedding.model import Embedder
from polygraft.tasks.embedding.retrieval import Hits, hits, tfidf_hits
from polygraft.tasks.serving import Floats
from polygraft.tasks.translation.data import Pair
from polygraft.tasks.vectors import unit
from polygraft.training.vectors import sentence_vectors

Sides = tuple[Floats, Floats]


def score_baselines(job: EmbeddingJob, seeds: Sequence[Embedder]) -> dict[str, Any]:
    """Figures of every baseline and of the adapter (one of `seeds` each) for every pair of
    languages, on dev and, where there is one, test; and the gains of the last split."""
    encoder = load_encoder(job.backbone)
    scored: dict[str, Any] = {}
    for split in ("dev", "test") if job.pairs.test else ("dev",):
        scored[split] = {
            languages: _figures(pairs, encoder, seeds, job)
            for languages, pairs in job.held_out(split).items()
        }
    last = list(scored.values())[-1]
    gains = {
        f"retrieval {languages}": figures["gain_over_bare"]
        for languages, figures in last.items()
        if "gain_over_bare" in figures
    }
    return {"retrieval": scored} | ({"gains": gains} if gains else {})


def _figures(
    pairs: Sequence[Pair], encoder: TextEncoder, seeds: Sequence[Embedder], job: EmbeddingJob
) -> dict[str, Any]:
    texts = [(pair.source, pair.target) for pair in pairs]
    with seeds[0].adapted.disable_adapter():
        bare = _sides(seeds[0], encoder, texts)
    found: dict[str, list[Hits]] = {"tfidf": [tfidf_hits(texts)], "bare": [hits(*bare, texts)]}
    figures: dict[str, Any] = {"rows": len(pairs)}
    if job.recipe.strategy == "lora":
        ours = [_sides(embedder, encoder, texts) for embedder in seeds]
        found["adapter"] = [hits(*sides, texts) for sides in ours]
        figures["dimensions"] = {
            str(size): round(float(np.mean([_found(sides, texts, size) for sides in ours])), 1)
            for size in job.dimensions
        }
        gain = paired_difference(_all_right(texts), found["adapter"], found["bare"], _accuracy)
        figures["gain_over_bare"] = gain.record() | {"verdict": gain.verdict}
    figures["rungs"] = {
        name: bootstrap(_all_right(texts), runs, _accuracy).record() for name, runs in found.items()
    }
    return figures


def _sides(embedder: Embedder, encoder: TextEncoder, texts: Sequence[tuple[str, str]]) -> Sides:
    sources, targets = (
        sentence_vectors(embedder.adapted, encoder, [pair[side] for pair in texts])
        for side in (0, 1)
    )
    return sources, targets


def _found(sides: Sides, texts: Sequence[tuple[str, str]], size: int) -> float:
    """The accuracy of vectors cut to `size` values, in percent."""
    sources, targets = (unit(side[:, :size]) for side in sides)
    return 100 * float(hits(sources, targets, texts).mean())


def _all_right(texts: Sequence[tuple[str, str]]) -> NDArray[np.bool_]:
    """Both ways of every pair found: what the hits are compared with."""
    return np.ones(2 * len(texts), bool)


def _accuracy(wanted: Hits, found: Hits) -> float:
    return 100 * float((wanted == found).mean())
