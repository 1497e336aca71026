import numpy as np
import pytest

from polygraft.data.leaks import NEAR, Settled, leaked_texts, normalised, sentence, settle

SCAM = (
    "Habari, mimi ni wakala wa freemason, piga namba hii 0754888666 upate utajiri na mali nyingi "
    "sana leo"
)


def test_normalised() -> None:
    assert normalised("Call  0800\n123") == normalised("call 0999 456")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (SCAM.upper(), "equal"),
        (SCAM.replace("0754888666", "0711222333"), "equal"),
        (SCAM.replace("wakala", "ajenti"), "near-equal"),
        (SCAM + "!!", "near-equal"),
        (SCAM[: len(SCAM) // 2], None),
        ("Habari za asubuhi, mama?", None),
    ],
)
def test_equal_and_near_equal_texts_are_found(text: str, kind: str | None) -> None:
    found = leaked_texts(["something else", text], ["see you", SCAM])
    assert {i: leak.kind for i, leak in found.items()} == ({1: kind} if kind else {})


def test_no_candidate_is_missed_or_made_up() -> None:
    """Against the exact similarity of every pair."""
    rng = np.random.default_rng(0)
    letters = list("abcdefghij ")
    held = ["".join(rng.choice(letters, 80)) for _ in range(60)]
    ours = []
    for text in held:
        places = rng.choice(80, int(rng.integers(0, 6)), replace=False)
        ours.append("".join(rng.choice(letters) if i in places else c for i, c in enumerate(text)))

    def shingles(text: str) -> set[str]:
        plain = normalised(text)
        return {plain[i : i + 5] for i in range(len(plain) - 4)}

    exact = {
        i
        for i, a in enumerate(ours)
        if any(
            len(shingles(a) & shingles(b)) / len(shingles(a) | shingles(b)) >= NEAR for b in held
        )
    }
    found = set(leaked_texts(ours, held))
    assert found <= exact
    assert len(found) >= 0.95 * len(exact)
    assert 0 < len(exact) < len(ours)


def test_leaks_nobody_decided_about_are_a_problem_with_an_example_of_each_kind() -> None:
    texts = [SCAM, SCAM + "!!", "see you"]
    settled = settle(leaked_texts(texts, [SCAM]), texts, "rows also stand in dev", "error", None)
    assert settled.problem
    assert settled.problem.startswith("train: 2 rows also stand in dev (1 equal, e.g. 'Habari")
    assert "1 near-equal, e.g." in settled.problem
    assert not settled.drop
    dropped = settle(leaked_texts(texts, [SCAM]), texts, "", "drop", None)
    assert dropped.drop == {0, 1}
    assert (
        sentence(dropped.record)
        == "Training rows that stand in dev or test (1 equal, 1 near-equal): dropped."
    )
    assert settle({}, texts, "", "error", None) == Settled()


def test_texts_shorter_than_a_shingle() -> None:
    assert leaked_texts(["", "hi", "ok"], ["hi", "no"]).keys() == {1}
