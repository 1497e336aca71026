"""The baselines that read words alone, and the rows on which two differ."""

from polygraft.data.splits import Split
from polygraft.tasks.classification.baselines import changed
from polygraft.tasks.classification.tfidf import majority, tfidf


def test_a_row_is_fixed_when_most_seeds_say_so() -> None:
    gold = ["a", "b", "a", "b"]
    ours = [["a", "b", "b", "b"], ["a", "b", "b", "a"], ["b", "b", "b", "b"]]
    theirs = [["b", "b", "a", "a"]]
    assert changed(gold, ours, theirs) == {"fixed": [0, 3], "broke": [2]}
    assert changed(gold, theirs, ours) == {"fixed": [2], "broke": [0, 3]}


def test_majority_and_tfidf_answer_from_the_training_rows() -> None:
    train = Split(
        ["win cash now", "free cash prize", "see you soon", "dinner at mum", "late train"] * 4,
        ["spam", "spam", "ham", "ham", "ham"] * 4,
        [],
    )
    assert majority(train, ["x", "y"]) == ["ham", "ham"]
    assert tfidf(train, ["cash prize", "dinner soon"]) == ["spam", "ham"]
