"""Answers kept for rows that come again."""

from __future__ import annotations

import pytest

from polygraft.runtime.cache import MAX_CHARACTERS, MAX_VALUES, AnswerCache
from polygraft.runtime.rows import Row
from polygraft.runtime.search import Search
from polygraft.tasks.classification.serving import Classified, LabelScore


def answer(labels: int = 2) -> Classified:
    return Classified("spam", "1", [LabelScore(str(i), 0.5) for i in range(labels)])


def kept(cache: AnswerCache, row: Row, adapters: tuple[int, ...] = (1,)) -> Classified:
    key, given = cache.key(row, adapters), answer()
    assert key is not None
    cache.put(key, given)
    return given


def test_the_same_row_to_the_same_adapters_gets_the_same_answer() -> None:
    cache, row = AnswerCache(10), Row("spam", "hello")
    given = kept(cache, row)
    assert cache.get(cache.key(Row("spam", "hello"), (1,))) is given
    for other in (Row("spam", "hello", top_k=1), Row("spam", "Hello"), Row("mood", "hello")):
        assert cache.get(cache.key(other, (1,))) is None
    assert cache.get(cache.key(row, (2,))) is None, "another adapter of the same name"
    assert cache.hits == 1


def test_labels_are_the_same_however_many_more_were_allowed() -> None:
    """The API allows fewer labels of each row the more rows a request has."""
    cache = AnswerCache(10)
    given = kept(cache, Row("spam", "hello", top_k=50_000))
    for top_k in (25_000, MAX_VALUES + 1, None):
        assert cache.get(cache.key(Row("spam", "hello", top_k=top_k), (1,))) is given
    for top_k in (1, MAX_VALUES):
        assert cache.get(cache.key(Row("spam", "hello", top_k=top_k), (1,))) is None


def test_those_used_last_are_kept() -> None:
    cache, rows = AnswerCache(2), [Row("spam", str(i)) for i in range(3)]
    kept(cache, rows[0])
    kept(cache, rows[1])
    assert cache.get(cache.key(rows[0], (1,)))
    kept(cache, rows[2])
    assert [cache.get(cache.key(row, (1,))) is not None for row in rows] == [True, False, True]
    assert len(cache) == 2


@pytest.mark.parametrize(
    "row",
    [
        Row("en-fr", "hello", search=Search(temperature=1.0)),
        Row("spam", "hello", explain=True),
        Row("spam", "x" * (MAX_CHARACTERS + 1)),
    ],
)
def test_what_is_drawn_by_chance_or_large_is_not_kept(row: Row) -> None:
    assert AnswerCache(10).key(row, (1,)) is None


def test_a_seed_makes_a_draw_the_same() -> None:
    assert AnswerCache(10).key(Row("en-fr", "a", search=Search(temperature=1.0, seed=3)), (1,))


def test_none_are_kept_where_there_is_no_room() -> None:
    assert AnswerCache(0).key(Row("spam", "hello"), (1,)) is None
    cache = AnswerCache(10)
    cache.put("many", answer(MAX_VALUES + 1))
    assert len(cache) == 0
