"""Translations that go through English, come as HTML, or come as a stream that a client puts
together; and which errors are a whole request's."""

from __future__ import annotations

import json
from itertools import groupby
from typing import Any

import pytest
from fastapi.testclient import TestClient

from polygraft.serve.host import Host

HAWAIIAN = "Aloha mum. See you soon!\n\nThe train is late, 12."


def ask(api: TestClient, **body: Any) -> Any:
    return api.post("/v1/translate", json=body).json()


def test_a_direction_that_is_missing_goes_through_english_and_says_so(
    api: TestClient, host: Host
) -> None:
    (through,) = ask(api, text=HAWAIIAN, source="haw", target="yo")["results"]
    (first,) = ask(api, text=HAWAIIAN, source="haw", target="en")["results"]
    (second,) = ask(api, text=first["translation"], source="en", target="yo")["results"]
    assert (through["source"], through["via"], through["target"]) == ("haw", "en", "yo")
    versions = {m.name: m.named for m in host.engine.manifests()}
    assert through["steps"] == [versions["haw-en"], versions["en-yo"]]
    assert through["via_text"] == first["translation"]
    assert through["translation"] == second["translation"]
    assert (through["adapter"], through["score"]) == ("en-yo", second["score"])
    assert not {"via", "steps", "via_text"} & first.keys(), "a direct one does not say so"


def test_what_goes_through_english_may_be_mixed_with_what_does_not(api: TestClient) -> None:
    texts = ["Aloha ʻoe", "Ọjọ́ dára", "hello", "Aloha mum", " ", "see you soon mum", "win a prize"]
    detected = {
        text: api.post("/detect", json={"q": text}).json()[0]["language"]
        for text in texts
        if text.strip()
    }
    assert {"haw", "en"} <= {*detected.values()}, "the detector does not tell: the test is void"
    results = ask(api, texts=texts, target="yo")["results"]
    for text, result in zip(texts, results, strict=True):
        language = detected.get(text)
        if language in ("haw", "en"):
            alone = ask(api, text=text, source=language, target="yo")["results"]
            assert [result] == alone
            assert result.get("via") == ("en" if language == "haw" else None)
        else:
            assert result["error"]["code"] == ("SameLanguage" if language else "InvalidRow")


def test_it_can_be_switched_off(api: TestClient) -> None:
    error = ask(api, text="Aloha", source="haw", target="yo", pivot=False)["error"]
    assert error["code"] == "UnknownLanguage"
    assert "with pivot it would go through en" in error["message"]
    named = ask(api, text="Aloha", source="haw", target="yo", adapter="haw-en")["error"]
    assert named["code"] == "InvalidOption", "a named adapter is never helped out by another"


def test_n_best_and_html_go_through_english_too(api: TestClient) -> None:
    written = "<p>Aloha <b>mum</b>.</p>"
    body: dict[str, Any] = {"text": written, "source": "haw", "target": "yo", "format": "html"}
    (result,) = ask(api, **body, beam=3, n_best=2)["results"]
    assert len(result["alternatives"]) == 1
    for html in (result["translation"], result["via_text"], *result["alternatives"]):
        assert html.startswith("<p>")
        assert html.endswith("</p>")
        assert html.index("<b>") < html.index("</b>")


@pytest.mark.parametrize(
    ("source", "target", "served"),
    [("EN", "yo-NG", ("en", "yo")), ("en_US", "YOR", ("en", "yo")), ("HAW", "eng", ("haw", "en"))],
)
def test_languages_are_understood_and_said_as_they_are_served(
    api: TestClient, source: str, target: str, served: tuple[str, str]
) -> None:
    for adapter in ({}, {"adapter": "en-yo" if served[0] == "en" else "haw-en"}):
        (result,) = ask(api, text="hello", source=source, target=target, **adapter)["results"]
        assert (result["source"], result["target"]) == served
    asked = api.post("/translate", json={"q": "hello", "source": source, "target": target})
    assert asked.json()["translatedText"] == result["translation"]
    row = {"adapter": result["adapter"], "text": "hello", "language": source, "target": target}
    (batch,) = api.post("/v1/batch", json={"rows": [row]}).json()["results"]
    assert batch == result
    classified = {"adapter": "spam", "text": "hello", "language": "en-GB"}
    assert api.post("/v1/classify", json=classified).status_code == 200


@pytest.mark.parametrize(
    ("path", "asked", "status", "code"),
    [
        ("/v1/translate", {"target": "tlh"}, 422, "UnknownLanguage"),
        ("/v1/translate", {"target": "tlh", "source": "en"}, 422, "UnknownLanguage"),
        ("/v1/translate", {"target": "en", "source": "tlh"}, 422, "UnknownLanguage"),
        ("/v1/translate", {"target": "haw", "source": "en"}, 422, "UnknownLanguage"),
        ("/v1/translate", {"target": "en", "source": "en"}, 422, "SameLanguage"),
        ("/v1/translate", {"target": "en", "adapter": "nope"}, 404, "UnknownAdapter"),
        ("/v1/translate", {"target": "haw", "adapter": "en-yo"}, 422, "InvalidOption"),
        ("/v1/translate", {"target": "yo", "adapter": "spam"}, 422, "InvalidOption"),
        ("/v1/translate", {"target": "yo", "source": "en", "beam": 99}, 422, "InvalidOption"),
        ("/v1/classify", {"adapter": "nope"}, 404, "UnknownAdapter"),
        ("/v1/classify", {"adapter": "spam", "language": "sw"}, 422, "InvalidOption"),
        ("/v1/classify", {"adapter": "spam", "head": "nope"}, 422, "InvalidOption"),
        ("/v1/classify", {"stack": ["nope", "spam"]}, 404, "UnknownAdapter"),
        ("/v1/classify", {"adapter": "en-yo"}, 422, "InvalidOption"),
    ],
)
def test_what_is_said_for_all_texts_together_fails_the_request_as_a_whole(
    api: TestClient, path: str, asked: dict[str, Any], status: int, code: str
) -> None:
    """Issue 18, point 11: an unknown adapter did, an unknown target language was an error in every
    row. Also where one of the texts cannot be used by itself."""
    for texts in (["hello", "see you soon"], [" ", "hello"]):
        response = api.post(path, json={"texts": texts} | asked)
        assert response.status_code == status, response.text
        assert response.json()["error"]["code"] == code


def test_what_a_row_says_of_itself_fails_that_row_alone(api: TestClient) -> None:
    """Also where all rows fail, and for the same reason: whether a request fails does not depend on
    the rows beside."""
    rows = [
        {"adapter": "nope", "text": "hello"},
        {"adapter": "en-yo", "text": "hello", "target": "tlh"},
        {"adapter": "spam", "text": "hello", "language": "sw"},
    ]
    codes = ["UnknownAdapter", "InvalidOption", "InvalidOption"]
    for some in (rows, rows[:1], rows[:1] * 3):
        response = api.post("/v1/batch", json={"rows": some})
        assert response.status_code == 200
        told = [row["error"]["code"] for row in response.json()["results"]]
        assert told == [codes[rows.index(row)] for row in some]


def libre(api: TestClient, q: Any, source: str, target: str, **more: Any) -> Any:
    return api.post("/translate", json={"q": q, "source": source, "target": target} | more).json()


def test_libretranslates_lists_keep_a_text_that_needs_no_translation(api: TestClient) -> None:
    """Issue 18, point 10: one such text failed the list."""
    assert libre(api, "as it is", "en", "EN-us")["translatedText"] == "as it is"
    detected = {
        text: api.post("/detect", json={"q": text}).json()[0]["language"]
        for text in ("Aloha ʻoe", "Ọjọ́ dára", "hello", "see you soon mum", "win a prize")
    }
    texts = [*detected]
    assert len({*detected.values()}) > 1, "the detector does not tell: the test is void"
    answer = libre(api, texts, "auto", "en", alternatives=1)
    for text, written, others in zip(
        texts, answer["translatedText"], answer["alternatives"], strict=True
    ):
        is_kept = detected[text] == "en"
        assert (written == text) == is_kept
        assert (others == []) == is_kept


def test_libretranslates_errors_say_which_text_they_are_of(api: TestClient) -> None:
    told = libre(api, ["hello", "word " * 5_000], "en", "yo")["error"]
    assert told.startswith("q[1]: the text has 25,000 characters")


def test_libretranslate_goes_through_english_and_says_so(api: TestClient) -> None:
    languages = {one["code"]: one["targets"] for one in api.get("/languages").json()}
    assert languages == {"en": ["yo"], "haw": ["en", "yo"], "yo": ["en"]}
    (through,) = ask(api, text="Aloha mum", source="haw", target="yo")["results"]
    answer = libre(api, "Aloha mum", "haw", "yo")
    assert answer == {
        "translatedText": through["translation"],
        "quality": "gist",
        "via": "en",
    }
    assert "via" not in libre(api, "hello", "en", "yo")
    for no in (False, "false"):
        assert "would go through en" in libre(api, "Aloha mum", "haw", "yo", pivot=no)["error"]
    form = {"q": "Aloha", "source": "haw", "target": "yo", "pivot": "maybe"}
    assert "give true or false" in api.post("/translate", data=form).json()["error"]


def test_libretranslate_takes_html(api: TestClient) -> None:
    written = '<p class="a">See you <b>soon</b>, mum.</p><script>hello()</script><p>12</p>'
    html = libre(api, written, "en", "yo", format="html")["translatedText"]
    assert html.startswith('<p class="a">')
    assert html.endswith("</p><script>hello()</script><p>12</p>")
    assert html.count("<b>") == html.count("</b>") == 1
    (whole,) = ask(api, text=written, source="en", target="yo", format="html")["results"]
    assert whole["translation"] == html
    alone = [libre(api, text, "en", "yo")["translatedText"] for text in ("hello", "mum")]
    both = libre(api, "hello<br>mum", "en", "yo", format="html")["translatedText"]
    assert both == "<br>".join(alone)
    assert libre(api, "<p>Aloha</p>", "auto", "en", format="html").get("translatedText")
    assert "give text or html" in libre(api, "x", "en", "yo", format="markdown")["error"]


def events(api: TestClient, **body: Any) -> list[tuple[str, dict[str, Any]]]:
    with api.stream("POST", "/v1/translate", json=body | {"stream": True}) as response:
        assert response.status_code == 200
        parts = response.read().decode().strip().split("\n\n")
    pairs = [part.split("\n") for part in parts]
    return [
        (name.removeprefix("event: "), json.loads(data.removeprefix("data: ")))
        for name, data in pairs
    ]


def put_together(told: list[tuple[str, dict[str, Any]]], row: int, *, final: bool) -> str:
    """The newest of each sentence; with `final` of those that are whole."""
    newest = {
        event["sentence"]: event["before"] + event["text"] + event["after"]
        for name, event in told
        if name == "progress" and event["row"] == row and (event["final"] or not final)
    }
    return "".join(newest[sentence] for sentence in sorted(newest))


@pytest.mark.parametrize(
    "asked",
    [
        {"text": "Hello mum.\n\n  See you soon!  12. The train is late\n" * 5, "source": "en"},
        {"text": "12 -- hello mum", "source": "en"},
        {"text": "Hello mum. See you soon!", "source": "en", "beam": 3},
        {"text": "Hello mum. See you soon!", "adapter": "en-yo"},
        {"text": HAWAIIAN, "source": "haw"},
    ],
)
def test_a_streams_events_put_together_are_its_result(
    api: TestClient, asked: dict[str, Any]
) -> None:
    """Issue 18, point 10: sentences interleaved, and nothing told them apart."""
    told = events(api, **asked, target="yo")
    whole = ask(api, **asked, target="yo")["results"][0]
    *progress, (last, result) = told
    assert {name for name, _ in progress} == {"progress"}
    assert last == "result"
    assert result == {"row": 0} | whole
    assert put_together(told, 0, final=True) == whole["translation"]
    if asked.get("beam") is None:
        assert put_together(told, 0, final=False) == whole["translation"]
    finals = [event["sentence"] for _, event in progress if event["final"]]
    assert sorted(finals) == list(range(len(finals)))


def test_a_stream_of_several_texts_says_which_each_event_is_of(api: TestClient) -> None:
    texts = ["Hello mum. See you soon!", " ", "12", "The train is late.\nCall now."]
    told = events(api, texts=texts, source="en", target="yo")
    results = ask(api, texts=texts, source="en", target="yo")["results"]
    ends = {event["row"]: event for name, event in told if name != "progress"}
    assert ends == {row: {"row": row} | result for row, result in enumerate(results)}
    assert [name for name, event in told if event["row"] == 1] == ["error"]
    for row in (0, 2, 3):
        names = [name for name, event in told if event["row"] == row]
        assert [name for name, _ in groupby(names)][-1] == "result"
        assert names.count("result") == 1
        if row != 2:
            assert put_together(told, row, final=True) == results[row]["translation"]


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        ({"text": "hello", "adapter": "nope"}, 404, "UnknownAdapter"),
        ({"texts": ["hello", "mum"], "adapter": "nope"}, 404, "UnknownAdapter"),
        ({"texts": ["hello", "mum"], "source": "tlh"}, 422, "UnknownLanguage"),
        ({"text": "word " * 5_000, "source": "en"}, 422, "InvalidRow"),
    ],
)
def test_a_request_that_fails_as_a_whole_is_no_stream(
    api: TestClient, host: Host, asked: dict[str, Any], status: int, code: str
) -> None:
    response = api.post("/v1/translate", json=asked | {"target": "yo", "stream": True})
    assert response.status_code == status
    assert response.json()["error"]["code"] == code
    assert (host.engine.leases, host.engine.admission.under_way) == (0, 0)


def test_a_text_without_a_sentence_is_a_result_at_once(api: TestClient) -> None:
    assert [name for name, _ in events(api, text="12 = 12", source="en", target="yo")] == ["result"]
