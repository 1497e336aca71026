"""Pairs in batches, the loss over them, and what counts as found."""

from __future__ import annotations

import numpy as np
import torch

from polygraft.tasks.embedding.batches import EncodedPairs, numbered, training_groups
from polygraft.tasks.embedding.model import Embedder
from polygraft.tasks.embedding.recipe import EmbeddingTraining
from polygraft.tasks.embedding.retrieval import hits, tfidf_hits
from polygraft.tasks.translation.data import Pair
from polygraft.tasks.vectors import unit

LANGUAGES = ("en", "yo")


def many(count: int) -> EncodedPairs:
    rng = np.random.default_rng(0)
    anchors = unit(rng.normal(size=(count, 8)).astype(np.float32))
    texts = np.arange(2 * count).reshape(count, 2)
    return EncodedPairs([None] * count, [None] * count, anchors, texts, np.ones(count))  # type: ignore[list-item]


def test_every_pair_is_drawn_once_before_any_comes_again() -> None:
    for neighbours in (0, 3):
        options = EmbeddingTraining(steps=25, pairs=8, neighbours=neighbours)
        groups = training_groups(many(200), options, seed=0)
        assert sorted(np.concatenate(groups)) == list(range(200))


def test_neighbours_stand_in_one_batch() -> None:
    pairs = many(400)
    nearness = []
    for neighbours in (0, 5):
        options = EmbeddingTraining(steps=50, pairs=8, neighbours=neighbours)
        groups = training_groups(pairs, options, seed=0)
        nearness.append(np.mean([(pairs.anchors[g] @ pairs.anchors[g].T).mean() for g in groups]))
    assert nearness[1] > nearness[0] + 0.1


def test_a_rare_file_is_drawn_less_often() -> None:
    pairs = many(400)
    pairs.weights[:200] = 0.25
    groups = training_groups(pairs, EmbeddingTraining(steps=100, pairs=8, neighbours=0), seed=0)
    drawn = np.concatenate(groups)
    assert 0.15 < (drawn < 200).mean() < 0.28


def test_texts_that_are_the_same_are_not_told_apart() -> None:
    embedder = Embedder(torch.nn.Linear(1, 1), temperature=0.05, dimensions=[4])  # type: ignore[arg-type]
    vectors = torch.eye(4)[[0, 0, 1]]
    wanted = torch.arange(3)
    free, masked = torch.zeros(3, 3, dtype=torch.bool), torch.zeros(3, 3, dtype=torch.bool)
    masked[0, 1] = masked[1, 0] = True
    assert float(embedder._loss(vectors, vectors, wanted, free)) > 0.4
    assert float(embedder._loss(vectors, vectors, wanted, masked)) < 1e-6


def test_texts_have_one_number_each() -> None:
    pairs = [Pair("a", "b", LANGUAGES), Pair("c", "b", LANGUAGES), Pair("a", "d", LANGUAGES)]
    assert numbered(pairs).tolist() == [[0, 1], [2, 1], [0, 3]]
    assert numbered([]).shape == (0, 2)


def test_what_is_found() -> None:
    sources = np.eye(3, dtype=np.float32)
    targets = sources[[0, 2, 1]]
    assert hits(sources, targets, [("a", "A"), ("b", "B"), ("c", "C")]).tolist() == (
        [True, False, False, True, False, False]
    )
    same = [("a", "A"), ("b", "B"), ("b", "B")]
    assert hits(sources, targets, same).all()  # either of two equal texts is right
    assert tfidf_hits([("Lagos 2019", "Ilu Lagos"), ("5 June", "Okudu 5")]).all()
