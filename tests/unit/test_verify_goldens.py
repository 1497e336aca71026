"""Goldens (issue 15, defects 3 and 14): noise passes; another's output, the bare backbone's, and a
manifest that makes up its own distance to the bare backbone do not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from polygraft.architectures.conventions import Conventions
from polygraft.errors import AdapterError, GoldenMismatch
from polygraft.tasks import registry
from polygraft.tasks.classification.manifest import GoldenLogits
from polygraft.tasks.classification.serving import Head, Heads
from polygraft.tasks.translation.manifest import GoldenText
from polygraft.tasks.vectors import GoldenVector

GOLDEN = [
    GoldenText(
        text="a",
        target="yo",
        written="the children are at school today",
        bare="my people have gone to a far place",
    ),
    GoldenText(
        text="b",
        target="yo",
        written="she will call when the train is late",
        bare="in the house of the king and sons",
    ),
]
WRITTEN, BARE = [g.written for g in GOLDEN], [g.bare for g in GOLDEN]
NEAR_WRITTEN = ["the children were in school today", "she calls when trains are late"]
NEAR_BARE = ["my people went to a far place", "into the house of the kings son"]
OTHER = ["nothing like it, 42!", "some wholly other words?"]


def adapter(head: Head | None = None, **goldens: Any) -> Any:
    manifest = SimpleNamespace(
        pooling="mean",
        directions=[("en", "yo")],
        direction_of=lambda golden: ("en", "yo"),
        name="mine",
        **goldens,
    )
    return SimpleNamespace(name="mine", head=head and Heads(head, {}), manifest=manifest)


def verify_numbers(adapter: Any, pooled: np.ndarray, bare: np.ndarray) -> None:
    """As at loading, when the adapter's slots give `pooled` and slot 0 gives `bare`."""
    task = "language" if adapter.head is None else "classification"
    replay: Any = SimpleNamespace(vectors=lambda texts: (pooled, bare))
    registry.served(task).verify_goldens(adapter, replay)


def verify_texts(adapter: Any, now: list[str], bare: list[str]) -> None:
    conventions = Conventions(start=("{target}",), end="</s>", pad="<pad>", max_length=9)
    replay: Any = SimpleNamespace(
        conventions=conventions, written=lambda texts, directions: (now, bare)
    )
    registry.served("translation").verify_goldens(adapter, replay)


@pytest.mark.parametrize(
    ("now", "bare", "proved"),
    [
        (WRITTEN, BARE, True),
        (NEAR_WRITTEN, NEAR_BARE, True),
        (BARE, BARE, False),
        (WRITTEN, WRITTEN, False),
        (NEAR_BARE, BARE, False),
        (OTHER, BARE, False),
        (WRITTEN, OTHER, False),
        (BARE, WRITTEN, False),
        (["", ""], BARE, False),
    ],
)
def test_what_counts_is_whose_text_it_is_like(
    now: list[str], bare: list[str], proved: bool
) -> None:
    if proved:
        verify_texts(adapter(golden_texts=GOLDEN), now, bare)
    else:
        with pytest.raises(GoldenMismatch, match=r"does not (write|give the outputs)"):
            verify_texts(adapter(golden_texts=GOLDEN), now, bare)


def test_forged_texts_of_an_adapter_that_does_nothing() -> None:
    """Passed before: `bare` was what the manifest said, so made-up words were far from what zero
    weights write."""
    forged = [
        GoldenText(text=g.text, target=g.target, written=g.bare, bare="zzzz qqqq") for g in GOLDEN
    ]
    with pytest.raises(GoldenMismatch, match="like the bare backbone"):
        verify_texts(adapter(golden_texts=forged), BARE, BARE)


@pytest.fixture
def head() -> Head:
    rng = np.random.default_rng(0)
    return Head(rng.normal(size=(3, 8)).astype(np.float32), rng.normal(size=3).astype(np.float32))


def classifier(head: Head, then: np.ndarray, bare: np.ndarray) -> Any:
    golden = [
        GoldenLogits(text=str(i), logits=list(map(float, a)), bare=list(map(float, b)))
        for i, (a, b) in enumerate(zip(then, bare, strict=True))
    ]
    return adapter(head, golden=golden)


def states(seed: int) -> Any:
    return np.random.default_rng(seed).normal(size=(4, 8)).astype(np.float32)


def test_logits_within_the_tolerance_that_is_measured_here(head: Head) -> None:
    pooled, bare = states(1), states(2)
    now, without = head.logits(pooled), head.logits(bare)
    gap = now - without
    verify_numbers(classifier(head, now, without), pooled, bare)
    verify_numbers(classifier(head, now + 0.29 * gap, without - 0.29 * gap), pooled, bare)
    for wrong in (
        classifier(head, now + 0.31 * gap, without),
        classifier(head, now, without + 0.31 * gap),
    ):
        with pytest.raises(GoldenMismatch, match="does not give the outputs"):
            verify_numbers(wrong, pooled, bare)


def test_a_manifest_cannot_widen_its_own_tolerance(head: Head) -> None:
    """Passed before: the allowed distance was a share of the distance between two numbers of the
    manifest."""
    pooled, bare = states(1), states(2)
    with pytest.raises(GoldenMismatch):
        verify_numbers(
            classifier(head, head.logits(pooled) + 50, head.logits(bare) + 1000), pooled, bare
        )


def test_forged_goldens_of_an_adapter_that_does_nothing(head: Head) -> None:
    """Passed before, see above: logits as zero weights give them, and a made-up `bare`."""
    bare = states(2)
    with pytest.raises(GoldenMismatch, match="outputs without it"):
        verify_numbers(classifier(head, head.logits(bare), head.logits(bare) + 9), bare, bare)
    with pytest.raises(GoldenMismatch, match="outputs without it"):
        verify_numbers(classifier(head, head.logits(bare), head.logits(bare)), bare, bare)


def test_a_head_on_the_bare_backbone_says_so_by_its_bias(head: Head) -> None:
    bare = states(2)
    verify_numbers(classifier(head, head.logits(bare), np.tile(head.bias, (4, 1))), bare, bare)
    nothing = Head(np.zeros_like(head.weight), head.bias)
    with pytest.raises(GoldenMismatch, match="like the bare backbone"):
        verify_numbers(
            classifier(nothing, np.tile(head.bias, (4, 1)), np.tile(head.bias, (4, 1))), bare, bare
        )


def vectors(ours: np.ndarray, bare: np.ndarray) -> Any:
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (ours, bare)]
    golden = [
        GoldenVector(text=str(i), vector=list(map(float, a)), bare=list(map(float, b)))
        for i, (a, b) in enumerate(zip(*unit, strict=True))
    ]
    return adapter(golden_vectors=golden)


def test_vectors_of_a_language_adapter() -> None:
    pooled, bare = states(1), states(2)
    verify_numbers(vectors(pooled, bare), 3 * pooled, 5 * bare)
    for wrong, args in (
        (vectors(pooled, bare), (bare, bare)),
        (vectors(bare, pooled), (bare, bare)),
        (vectors(pooled, bare), (bare, pooled)),
    ):
        with pytest.raises(GoldenMismatch):
            verify_numbers(wrong, *args)
    with pytest.raises(GoldenMismatch):
        verify_numbers(vectors(pooled, bare), np.zeros_like(pooled), bare)


def test_not_a_number_is_a_mismatch(head: Head) -> None:
    pooled, bare = states(1), states(2)
    right = classifier(head, head.logits(pooled), head.logits(bare))
    for bad in (np.nan, np.inf):
        with pytest.raises(GoldenMismatch):
            verify_numbers(right, np.full_like(pooled, bad), bare)


def test_a_head_or_vectors_of_another_width(head: Head) -> None:
    """Defect 3: a ValueError of numpy before."""
    right = classifier(head, np.zeros((4, 3)), np.ones((4, 3)))
    with pytest.raises(
        AdapterError, match="head reads 8 values, and this backbone's vectors have 9"
    ):
        verify_numbers(right, np.ones((4, 9), np.float32), np.zeros((4, 9), np.float32))
    with pytest.raises(AdapterError, match="golden vectors have 8 values"):
        verify_numbers(
            vectors(states(1), states(2)), np.ones((4, 9), np.float32), np.zeros((4, 9), np.float32)
        )
