"""Decode workers: texts that fail do so alone, and those that nobody waits for leave before the
next step."""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Iterator, Sequence
from concurrent.futures import CancelledError
from typing import Any

import numpy as np
import pytest

from polygraft.runtime.decode import DecodeRequest
from polygraft.runtime.decode_worker import DecodeJob, DecodeWorker
from polygraft.runtime.search import Hypothesis, Search

BAD = 13
STEPS = 5


class CountingBatch:
    """Writes the numbers 0, 1, 2 ... of each text; a text that starts with BAD makes its step
    fail."""

    made = 0

    def __init__(self, before_step: Callable[[], None] = lambda: None) -> None:
        CountingBatch.made += 1
        self.open: dict[int, tuple[DecodeRequest, list[int]]] = {}
        self._before_step = before_step
        self.steps = 0

    @property
    def rows(self) -> int:
        return sum(text.search.beam for text, _ in self.open.values())

    @property
    def may_join(self) -> bool:
        return self.steps % 4 == 0 or not self.open

    def add(self, texts: Sequence[DecodeRequest]) -> None:
        assert self.may_join
        self.open |= {id(text): (text, []) for text in texts}

    def drop(self, texts: Container[int]) -> None:
        self.open = {key: one for key, one in self.open.items() if key not in texts}

    def written(self) -> list[tuple[DecodeRequest, list[int]]]:
        return list(self.open.values())

    def step(self) -> list[tuple[DecodeRequest, list[Hypothesis]]]:
        self._before_step()
        self.steps += 1
        done = []
        for key, (text, tokens) in list(self.open.items()):
            if text.start == [BAD] and len(tokens) == 2:
                raise ValueError("the graph fails on this text")
            tokens.append(len(tokens))
            if len(tokens) == text.max_tokens:
                done.append((text, [Hypothesis(tokens, 0.0)]))
                del self.open[key]
        return done


def text(start: int = 1, max_tokens: int = STEPS, beam: int = 1) -> DecodeRequest:
    states = np.zeros((3, 4), np.float32)
    return DecodeRequest(states, [(1, 1.0)], [start], Search(beam=beam), max_tokens)


def worker(before_step: Callable[[], None] = lambda: None, max_rows: int = 64) -> DecodeWorker:
    made: Any = lambda: CountingBatch(before_step)  # noqa: E731
    return DecodeWorker(made, max_rows, 0)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    gate = threading.Event()
    yield gate
    gate.set()


def test_a_text_that_fails_fails_alone_and_the_others_are_written_again() -> None:
    """Defect 7, for translations: a failing step failed every text of its batch."""
    writer = worker()
    waiting = [DecodeJob(text(start), None) for start in (1, BAD, 2, 3)]
    for one in waiting:
        writer.submit(one)
    for one in waiting:
        if one.request.start == [BAD]:
            with pytest.raises(ValueError, match="fails on this text"):
                one.future.result(timeout=10)
        else:
            assert one.future.result(timeout=10)[0].tokens == list(range(STEPS))
    late = DecodeJob(text(), None)
    writer.submit(late)
    assert late.future.result(timeout=10)[0].tokens == list(range(STEPS))
    assert (writer.load, writer.writes_with({1})) == (0, False)
    writer.close()


def test_a_cancelled_text_leaves_before_the_next_step(gate: threading.Event) -> None:
    begun = threading.Event()

    def before_step() -> None:
        begun.set()
        gate.wait(10)

    writer = worker(before_step, max_rows=2)
    endless, short = DecodeJob(text(max_tokens=10**9), None), DecodeJob(text(), None)
    queued = [DecodeJob(text(max_tokens=10**9), None) for _ in range(50)]
    for one in (endless, short, *queued):
        writer.submit(one)
    begun.wait(10)
    for one in (endless, *queued):
        assert one.future.cancel()
    gate.set()
    assert short.future.result(timeout=10)[0].tokens == list(range(STEPS))
    with pytest.raises(CancelledError):
        endless.future.result(timeout=10)
    assert writer.load == 0
    writer.close()


def test_closing_drops_what_is_not_written() -> None:
    """Found by a hostile outsider: a server that was stopped wrote on for minutes what nobody
    waited for."""
    writer = worker(max_rows=2)
    endless = [DecodeJob(text(max_tokens=10**9), None) for _ in range(10)]
    for one in endless:
        writer.submit(one)
    writer.close()
    assert all(one.future.cancelled() for one in endless)


def test_a_listener_that_raises_is_heard_no_more_and_its_text_is_written() -> None:
    """Defect 2: an exception in the worker of a stream left its client waiting for ever."""
    heard: list[int] = []

    def listener(tokens: list[int]) -> None:
        heard.append(len(tokens))
        raise RuntimeError("the event loop is closed")

    writer = worker()
    one, other = DecodeJob(text(), listener), DecodeJob(text(), None)
    writer.submit(one)
    writer.submit(other)
    assert one.future.result(timeout=10)[0].tokens == other.future.result(timeout=10)[0].tokens
    assert heard == [1]
    writer.close()
