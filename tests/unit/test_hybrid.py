"""The lexical part of a classifier, and the weights that join it to the neural one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from polygraft.data.splits import Split
from polygraft.errors import AdapterError, GoldenMismatch
from polygraft.tasks.classification import lexical_training
from polygraft.tasks.classification.features import HASH
from polygraft.tasks.classification.joining import (
    LARGEST_WEIGHT,
    Held,
    domains_of,
    find_join,
    folds_of,
    log_loss,
    places,
)
from polygraft.tasks.classification.lexical import (
    compare_joined,
    compare_lexical,
    read_join,
    read_lexical,
)
from polygraft.tasks.classification.lexical_training import fit_lexical
from polygraft.tasks.classification.manifest import GoldenLogits
from polygraft.tasks.classification.parts import Join, Parts, softmax
from polygraft.tasks.classification.tfidf import tfidf, tuned_tfidf

LABELS = ["ham", "spam"]
NAMES = [
    *("ada", "ben", "cem", "dan", "eva", "fay", "gus", "hal", "ian", "jo"),
    *("kim", "lea", "max", "noa", "ola", "pia", "rex", "sue", "tim", "uma"),
]
ROWS = Split(
    [f"{name} win a free prize {name[::-1]}" for name in NAMES]
    + [f"{name[::-1]} see you at home {name}" for name in NAMES],
    ["spam"] * 20 + ["ham"] * 20,
    [],
)


def parts_of(right: np.ndarray, strength: tuple[float, float]) -> Held:
    """Two parts, each as likely to be right as its logits of 2 say when `strength` is 1."""
    rng = np.random.default_rng(0)
    share = 1 / (1 + np.exp(-2))
    logits = []
    for scale in strength:
        agrees = rng.random(len(right)) < share
        sign = np.where(agrees, 1, -1) * np.where(right == 1, 1, -1)
        logits.append((scale * np.stack([-sign, sign], axis=1)).astype(np.float32))
    return Held(right, Parts(*logits))


@pytest.mark.parametrize("strength", [(1.0, 1.0), (4.0, 0.5), (0.1, 10.0)])
def test_each_part_counts_as_much_as_it_can_be_trusted(strength: tuple[float, float]) -> None:
    """The weights undo the scale that the logits came in: they calibrate."""
    gold = np.random.default_rng(1).integers(0, 2, 4000)
    join = find_join(parts_of(gold, strength))
    assert join.neural * strength[0] == pytest.approx(1, abs=0.1)
    assert join.lexical * strength[1] == pytest.approx(1, abs=0.1)


def test_a_part_that_knows_nothing_counts_nothing() -> None:
    gold = np.random.default_rng(1).integers(0, 2, 4000)
    held = parts_of(gold, (1.0, 1.0))
    assert held.parts.lexical is not None
    for sign in (1, -1):
        misleading = replace(held, parts=Parts(held.parts.neural, -sign * held.parts.lexical))
        join = find_join(misleading)
        assert (join.lexical == 0) == (sign == 1)
    assert find_join(replace(held, parts=Parts(held.parts.neural))).lexical == 0


def test_parts_that_make_no_mistake_have_a_bound() -> None:
    gold = np.array([0, 1] * 20)
    perfect = np.where(np.eye(2)[gold] > 0, 1.0, -1.0).astype(np.float32)
    join = find_join(Held(gold, Parts(perfect, perfect)))
    assert 0 < join.neural + join.lexical < LARGEST_WEIGHT
    assert log_loss(Held(gold, Parts(perfect, perfect)), join) < 0.1


def test_the_lexical_part_learns_and_answers_out_of_fold() -> None:
    fitted = fit_lexical(ROWS, LABELS, folds_of(ROWS))
    assert fitted
    assert fitted.out_of_fold is not None
    gold = places(ROWS.labels, LABELS)
    assert (fitted.out_of_fold.argmax(axis=1) == gold).mean() > 0.9
    logits = fitted.logits(["a free prize", "home"])
    assert logits.argmax(axis=1).tolist() == [1, 0]
    np.testing.assert_allclose(logits.sum(axis=1), 0, atol=1e-3)


@pytest.mark.parametrize("text", ["😀", "ሰላም", "\x00", "…"])
def test_of_a_text_it_knows_nothing_of_it_says_nothing(text: str) -> None:
    """Not its bias either: the neural part answers."""
    fitted = fit_lexical(ROWS, LABELS, [])
    assert fitted
    np.testing.assert_array_equal(fitted.part.logits(text), 0)


def test_it_says_less_of_a_text_that_it_knows_less_of_than_usual() -> None:
    """The same known words beside others that it never saw, as in another language."""
    fitted = fit_lexical(ROWS, LABELS, folds_of(ROWS))
    assert fitted
    assert 0.2 < fitted.part.usual < 1
    known, foreign = "ada win a free prize", "ሰላም ጤና ይስጥልኝ እንደምን አደሩ free ደህና ነኝ አመሰግናለሁ"
    trusting = replace(fitted.part, usual=0.0)
    np.testing.assert_array_equal(fitted.part.logits(known), trusting.logits(known))
    quiet, loud = (np.abs(part.logits(foreign)).max() for part in (fitted.part, trusting))
    assert quiet < 0.1 * loud


def test_what_is_usual_is_found_on_rows_held_out() -> None:
    """Each row has a word of its own, which would be known if it were not held out."""
    texts = [f"{text} {chr(0x1200 + 7 * i) * 9}" for i, text in enumerate(ROWS.texts)]
    rows = replace(ROWS, texts=texts)
    fitted, plain = (fit_lexical(split, LABELS, folds_of(split)) for split in (rows, ROWS))
    assert fitted
    assert plain
    assert fitted.part.usual < 0.8 * plain.part.usual
    alone = fit_lexical(ROWS, LABELS, [])
    assert alone
    assert alone.part.usual == 0, "with nothing held out every text is trusted"


def test_rows_without_features_have_no_lexical_part() -> None:
    assert fit_lexical(Split(["  ", " "], ["ham", "spam"], []), LABELS, []) is None
    assert fit_lexical(Split(["a b", "a c"], ["ham", "ham"], []), LABELS, []) is None


def test_it_keeps_what_has_room_and_moves_most(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fit_lexical(ROWS, LABELS, [])
    monkeypatch.setattr(lexical_training, "BYTES", 40 * (6 + 2 * len(LABELS)))
    small = fit_lexical(ROWS, LABELS, [])
    assert whole
    assert small
    assert len(whole.part.vocabulary.features) > 40 == len(small.part.vocabulary.features)
    assert small.logits(["a free prize"]).argmax() == 1
    assert (np.diff(small.part.vocabulary.features) > 0).all()


def test_what_is_read_is_what_was_written() -> None:
    fitted = fit_lexical(ROWS, LABELS, [])
    assert fitted
    again = read_lexical(fitted.part.tensors(), HASH, 2, "mine")
    np.testing.assert_array_equal(again.logits("a free home"), fitted.part.logits("a free home"))


def test_another_hash_is_refused_by_name() -> None:
    fitted = fit_lexical(ROWS, LABELS, [])
    assert fitted
    with pytest.raises(AdapterError, match="'sha1-8', this version reads 'mmh3-20"):
        read_lexical(fitted.part.tensors(), "sha1-8", 2, "mine")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lexical.features", None),
        ("lexical.features", np.array([3, 1], np.int32)),
        ("lexical.features", np.array([[1, 3]], np.int32)),
        ("lexical.features", np.array([1, 3], np.float32)),
        ("lexical.idf", np.zeros(3, np.float32)),
        ("lexical.weight", np.zeros((2, 3), np.float32)),
        ("lexical.bias", np.zeros((2, 1), np.float32)),
        ("lexical.usual", np.array([1.5], np.float32)),
    ],
)
def test_tensors_that_do_not_fit_are_refused(name: str, value: np.ndarray | None) -> None:
    tensors: dict[str, np.ndarray | None] = {
        "lexical.features": np.array([1, 3], np.int32),
        "lexical.idf": np.zeros(2, np.float32),
        "lexical.weight": np.zeros((2, 2), np.float32),
        "lexical.bias": np.zeros(2, np.float32),
    }
    read_lexical(tensors, HASH, 2, "mine")
    with pytest.raises(AdapterError, match="mine"):
        read_lexical(
            {k: v for k, v in (tensors | {name: value}).items() if v is not None}, HASH, 2, "mine"
        )


def test_weights_of_the_parts() -> None:
    assert read_join({}, "mine") == Join(neural=1, lexical=0)
    assert read_join({"join": np.array([0.5, 3], np.float32)}, "mine") == Join(0.5, 3)
    for bad in (np.array([1.0]), np.array([-1.0, 1.0])):
        with pytest.raises(AdapterError, match="two weights"):
            read_join({"join": bad}, "mine")


def test_a_part_that_gives_something_else_is_a_mismatch() -> None:
    then = np.array([[1.0, -1.0]], np.float32)
    compare_lexical("mine", then + 1e-4, then)
    for now in (then + 0.01, then * np.nan):
        with pytest.raises(GoldenMismatch, match="reads text in another way"):
            compare_lexical("mine", now, then)


def test_folds_need_two_rows_of_every_label() -> None:
    assert len(folds_of(ROWS)) == 5
    assert folds_of(Split(["a", "b", "c"], ["x", "x", "y"], [])) == []


def test_domains_are_files_held_out_whole() -> None:
    others = [{"file": f"{i % 4}.csv"} for i in range(40)]
    folds = domains_of(replace(ROWS, others=others))
    assert len(folds) == 4
    for kept, held_out in folds:
        assert not {others[i]["file"] for i in kept} & {others[i]["file"] for i in held_out}
    assert domains_of(replace(ROWS, others=[{"file": "one.csv"}] * 40)) == []
    by_label = [{"file": f"{label}{i % 2}.csv"} for i, label in enumerate(ROWS.labels)]
    assert domains_of(replace(ROWS, others=by_label)), "each label has two files"
    one_each = [{"file": f"{label}.csv" if i else "x.csv"} for i, label in enumerate(ROWS.labels)]
    assert domains_of(replace(ROWS, others=one_each)) == []


def test_the_tuned_floor_is_never_far_below_the_untuned() -> None:
    texts = ["a free prize", "at home", "win", "you"]
    assert tuned_tfidf(ROWS, texts) == tfidf(ROWS, texts) == ["spam", "ham", "spam", "ham"]
    few = Split(["win a prize", "see you"], ["spam", "ham"], [])
    assert tuned_tfidf(few, texts) == tfidf(few, texts), "nothing to tune on"


def test_softmax_sums_to_one() -> None:
    np.testing.assert_allclose(softmax(np.array([[1e4, 0.0], [0.0, 0.0]])), [[1, 0], [0.5, 0.5]])


def test_a_golden_covers_how_the_parts_are_joined() -> None:
    """A head whose weights were doubled, or taken away, was served with thresholds of before."""
    golden = GoldenLogits(
        text="a", logits=[1.0, -1.0], bare=[0.0, 0.0], lexical=[0.5, -0.5], joined=[2.0, -2.0]
    )
    compare_joined("mine", Join(0.5, 3.0), golden)
    for join in (Join(1.0, 6.0), Join(0.0, 0.0), Join(0.5, 0.0), Join()):
        with pytest.raises(GoldenMismatch, match="not joined as they were"):
            compare_joined("mine", join, golden)
    compare_joined("mine", Join(), golden.model_copy(update={"joined": []}))
