from polygraft.tasks.classification.baselines import changed


def test_a_row_is_fixed_when_most_seeds_say_so() -> None:
    gold = ["a", "b", "a", "b"]
    ours = [["a", "b", "b", "b"], ["a", "b", "b", "a"], ["b", "b", "b", "b"]]
    theirs = [["b", "b", "a", "a"]]
    assert changed(gold, ours, theirs) == {"fixed": [0, 3], "broke": [2]}
    assert changed(gold, theirs, ours) == {"fixed": [2], "broke": [0, 3]}
