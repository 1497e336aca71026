"""What a client sends, and how it reads a stream."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any

import pytest

from polygraft.client import AsyncClient, Client, TranslationProgress, TranslationResult, calls
from polygraft.client.options import ClassifyOptions, TranslateOptions
from polygraft.client.progress import EventReader
from polygraft.serve.lines import MAX_HELD
from polygraft.serve.schemas.classify import ClassifyRequest
from polygraft.serve.schemas.translate import TranslateRequest

ROW = {"adapter": "spam-en", "text": "hello"}


def sent(call: calls.Call[Any]) -> Any:
    return json.loads(call.content or b"")


@pytest.mark.parametrize(
    ("texts", "listed"),
    [
        ("hello", ["hello"]),
        ("", [""]),
        (["hello"], ["hello"]),
        (("hello", "mum"), ["hello", "mum"]),
        ((text for text in ("hello", "mum")), ["hello", "mum"]),
        ([], []),
    ],
)
def test_a_string_is_one_text(texts: Any, listed: list[str]) -> None:
    """Issue 18, point 11: each of its characters was a text, then it was refused."""
    texts = list(texts) if inspect.isgenerator(texts) else texts
    assert sent(calls.classify("spam-en", texts, {}))["texts"] == listed
    assert sent(calls.translate(texts, "fr", {}))["texts"] == listed


def test_an_object_is_one_row() -> None:
    for call in (calls.classify_rows, calls.batch):
        assert sent(call(ROW, {})) == sent(call([ROW], {})) == {"rows": [ROW]}


@pytest.mark.parametrize("wrong", [None, 5, b"hello", {"text": "hello"}])
def test_what_is_neither_one_text_nor_several_is_a_type_error(wrong: Any) -> None:
    for call in (
        lambda: calls.classify("spam-en", wrong, {}),
        lambda: calls.translate(wrong, "fr", {}),
    ):
        with pytest.raises(TypeError, match=f"texts is of type {type(wrong).__name__}"):
            call()


@pytest.mark.parametrize("wrong", [None, 5, "hello", b"hello"])
def test_what_is_neither_one_row_nor_several_is_a_type_error(wrong: Any) -> None:
    for call in (calls.classify_rows, calls.batch):
        with pytest.raises(TypeError, match=f"rows is of type {type(wrong).__name__}"):
            call(wrong, {})
    with pytest.raises(TypeError, match=f"rows is of type {type(wrong).__name__}"):
        next(calls.stream(wrong, {}))


def test_a_text_in_a_rows_place_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="a row is of type str; give an object, its fields"):
        calls.batch(["hello"], {})  # type: ignore[list-item]


def test_a_stream_is_sent_in_parts_that_the_server_holds_while_nobody_reads() -> None:
    """5,000 long rows were sent before any answer was read; the server waited for that, and the
    client for the server."""
    rows = [{"adapter": "spam-en", "text": "x" * 10_000}] * 4_000
    parts = [call.content or b"" for call, _ in calls.stream(rows, {})]
    assert sum(part.count(b"\n") for part in parts) == 4_000
    assert max(map(len, parts)) < MAX_HELD / 2
    short = [reader.missing for _, reader in calls.stream([ROW] * 12_000, {})]
    assert short == [5_000, 5_000, 2_000]


def test_an_option_that_there_is_not_is_a_type_error() -> None:
    with Client("http://127.0.0.1:1") as client:
        wrong: Callable[..., Any] = client.classify
        with pytest.raises(TypeError, match="no option 'topk'; there are: language, head, top_k"):
            wrong("spam-en", "hello", topk=1)


def test_options_that_are_left_out_are_not_sent() -> None:
    call = calls.classify(["lang-yo", "topics-en"], "x", {"top_k": 1, "language": None})
    assert sent(call) == {"stack": ["lang-yo", "topics-en"], "texts": ["x"], "top_k": 1}


def test_the_options_are_those_of_the_requests() -> None:
    """Sync, async and the server: one list."""
    texts = {"adapter", "stack", "text", "texts", "rows"}
    assert set(ClassifyOptions.__annotations__) == set(ClassifyRequest.model_fields) - texts
    own = {"text", "texts", "target", "stream"}
    assert set(TranslateOptions.__annotations__) == set(TranslateRequest.model_fields) - own


def test_both_clients_have_the_same_methods_with_the_same_parameters() -> None:
    def methods(kind: type) -> dict[str, list[str]]:
        return {
            name: [
                f"{p.name}: {p.annotation}" for p in inspect.signature(method).parameters.values()
            ]
            for name, method in vars(kind).items()
            if inspect.isfunction(method) and not name.startswith("_")
        }

    assert methods(Client) == methods(AsyncClient)


def test_a_stream_is_read_in_pieces_of_any_size() -> None:
    def event(name: str, **told: Any) -> str:
        return f"event: {name}\ndata: {json.dumps(told)}\n\n"

    def progress(row: int, sentence: int, text: str, **around: str) -> str:
        more = {"before": "", "after": "", "final": False} | around
        return event("progress", row=row, sentence=sentence, text=text, **more)

    stream = (
        progress(0, 1, "Deux", after="\n")
        + progress(1, 0, "Autre")
        + progress(0, 0, "Un", before="- ", after=" ")
        + progress(0, 1, "Deux é", after="\n")
        + event("result", row=0, translation="- Un Deux é\n")
        + event("error", row=1, error={"code": "RowFailed", "message": "it failed"})
    )
    for size in (1, 7, len(stream)):
        reader = EventReader(2)
        told = []
        for start in range(0, len(stream), size):
            assert not reader.is_complete
            told += list(reader.read(stream[start : start + size]))
        assert reader.is_complete
        grown = [(one.row, one.translation) for one in told if isinstance(one, TranslationProgress)]
        assert grown == [(0, "Deux\n"), (1, "Autre"), (0, "- Un Deux\n"), (0, "- Un Deux é\n")]
        ends = [one for one in told if isinstance(one, TranslationResult)]
        assert ends[0].result.translation == "- Un Deux é\n"
        assert ends[1].result.error is not None
        assert ends[1].result.error.code == "RowFailed"


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_lines_are_read_from_pieces_of_any_size(size: int) -> None:
    """Cut at line feeds alone: httpx's own lines end at other separators too."""
    texts = ["one\u2028two\x85", "three"]
    answer = "".join(
        json.dumps({"row": i, "adapter": "en-fr", "translation": text}, ensure_ascii=False) + "\n"
        for i, text in enumerate(texts)
    )
    reader = calls.LineReader(len(texts))
    pieces = [answer[i : i + size] for i in range(0, len(answer), size)]
    read = [row for piece in pieces for row in reader.read(piece)]
    assert [row.translation for row in read] == texts
    assert reader.missing == 0
