"""Greedy and beam search over made-up next tokens."""

import numpy as np
import pytest

from polygraft.errors import InvalidRow
from polygraft.runtime.search import BeamState, Search

END = 1


def step(state: BeamState, *rows: dict[int, float]) -> list[tuple[int, int]] | None:
    """One step: for every beam, tokens and log-probabilities."""
    ordered = [sorted(row.items(), key=lambda x: -x[1]) for row in rows]
    return state.advance(
        np.array([[t for t, _ in o] for o in ordered]),
        np.array([[s for _, s in o] for o in ordered], np.float32),
    )


def test_greedy_takes_the_likeliest_until_the_end() -> None:
    state = BeamState(Search(), END, max_tokens=10)
    assert step(state, {7: -0.1}) == [(0, 7)]
    assert step(state, {8: -0.2}) == [(0, 8)]
    assert step(state, {END: -0.3}) is None
    (hypothesis,) = state.hypotheses()
    assert (hypothesis.tokens, hypothesis.cut) == ([7, 8], False)
    assert hypothesis.score == pytest.approx(-0.2)


def test_the_bound_cuts_and_says_so() -> None:
    state = BeamState(Search(), END, max_tokens=2)
    step(state, {7: -0.1})
    assert step(state, {7: -0.1}) is None
    (hypothesis,) = state.hypotheses()
    assert (hypothesis.tokens, hypothesis.cut) == ([7, 7], True)


def test_sampling_draws_by_temperature_and_seed() -> None:
    def first(temperature: float, seed: int) -> int:
        state = BeamState(Search(temperature=temperature, seed=seed), END, max_tokens=10)
        assert state.next_tokens_needed > 1
        (chosen,) = step(state, {7: -0.1, 8: -2.5, 9: -3.0}) or []
        return chosen[1]

    hot = [first(2.0, seed) for seed in range(100)]
    assert hot == [first(2.0, seed) for seed in range(100)]
    assert set(hot) == {7, 8, 9}
    assert {first(0.05, seed) for seed in range(100)} == {7}


def test_a_beam_finds_what_greedy_misses() -> None:
    state = BeamState(Search(beam=2, n_best=2), END, max_tokens=10)
    assert step(state, *[{7: -0.5, 8: -0.9, 9: -5, 10: -6}] * 2) == [(0, 7), (0, 8)], (
        "beams start equal: the first alone counts"
    )
    assert step(state, {11: -3, 12: -3.1, 13: -9, 14: -9}, {20: -0.1, 21: -4, 22: -9, 23: -9}) == [
        (1, 20),
        (0, 11),
    ]
    assert (
        step(state, {END: -0.1, 30: -9, 31: -9, 32: -9}, {END: -0.1, 30: -9, 31: -9, 32: -9})
        is None
    )
    best, second = state.hypotheses()
    assert (best.tokens, second.tokens) == ([8, 20], [7, 11])
    assert best.score > second.score


def test_length_penalty_turns_the_order_of_short_and_long() -> None:
    order = {}
    for penalty in (0.0, 2.0):
        state = BeamState(Search(beam=2, n_best=2, length_penalty=penalty), END, max_tokens=4)
        step(state, *[{7: -0.5, END: -1.0, 9: -9, 10: -9}] * 2)
        while (
            step(state, {8: -0.4, END: -3, 9: -9, 10: -9}, {8: -9, END: -9, 9: -9, 10: -9})
            is not None
        ):
            pass
        done = [h for h in state._ended if not h.cut]
        order[penalty] = max(done, key=lambda h: h.score).tokens
    assert order[0.0] == []
    assert len(order[2.0]) > 1


def test_no_sequence_is_written_twice() -> None:
    state = BeamState(Search(no_repeat=2), END, max_tokens=20)
    for tokens in ({7: -0.1, 8: -0.2}, {8: -0.1, 9: -0.2}, {7: -0.1, 9: -0.2}, {8: -0.1, 9: -0.2}):
        assert state.next_tokens_needed >= 1
        last = step(state, tokens)
    assert last == [(0, 9)], "7 8 stands there already"


@pytest.mark.parametrize(
    "bad",
    [
        {"beam": 0},
        {"beam": 17},
        {"beam": 2, "n_best": 3},
        {"no_repeat": 17},
        {"length_penalty": 9.0},
    ],
)
def test_searches_that_make_no_sense_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(InvalidRow, match=list(bad)[-1]):
        Search(**bad)  # type: ignore[arg-type]
