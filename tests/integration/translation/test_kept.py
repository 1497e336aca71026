"""Addresses, numbers and placeholders in translations over HTTP, and glossaries: whole, as a
stream, as HTML, through English, in a batch."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from polygraft.client import TranslationProgress, TranslationResult
from polygraft.client.progress import EventReader

TEXT = "Hello {name}, see https://x.org/a?b=1 at 10:30. The train to Lagos State is late 👍🏽\n"
KEPT = ("{name}", "https://x.org/a?b=1", "10:30", "👍🏽")
GLOSSARY = {"Lagos State": "Ìpínlẹ̀ Èkó", "train": "ọkọ̀ ojú irin"}


def ask(api: TestClient, **more: Any) -> Any:
    body = {"text": TEXT, "source": "en", "target": "yo", "glossary": GLOSSARY} | more
    return api.post("/v1/translate", json=body)


def is_kept(translation: str) -> bool:
    return all(translation.count(one) == 1 for one in (*KEPT, *GLOSSARY.values()))


def test_all_is_kept_in_every_alternative(api: TestClient) -> None:
    (result,) = ask(api, beam=4, n_best=3).json()["results"]
    for translation in (result["translation"], *result["alternatives"]):
        assert is_kept(translation), translation


def test_a_stream_ends_with_the_translation_put_together_of_its_sentences(api: TestClient) -> None:
    reader, whole = EventReader(1), ask(api).json()["results"][0]["translation"]
    events = list(reader.read(ask(api, stream=True).text))
    grown = [event for event in events if isinstance(event, TranslationProgress)]
    (last,) = [event for event in events if isinstance(event, TranslationResult)]
    assert grown[-1].translation == last.result.translation == whole
    assert is_kept(whole)
    assert not any("Boston" in event.translation for event in grown)


def test_html_and_what_goes_through_english_keep_it_too(api: TestClient) -> None:
    html = f"<p>{TEXT.replace('Lagos State', '<b>Lagos State</b>')}</p>"
    (result,) = ask(api, text=html, format="html").json()["results"]
    assert is_kept(result["translation"]), result
    (result,) = ask(api, source="haw").json()["results"]
    assert result["via"] == "en"
    assert is_kept(result["via_text"]), result
    assert is_kept(result["translation"]), result


def test_rows_have_their_own_glossaries_and_answers_are_not_mixed_up(api: TestClient) -> None:
    row = {"adapter": "en-yo", "text": "The train is late", "target": "yo"}
    rows = [row | {"glossary": {"train": word}} for word in ("reluwe", "ọkọ̀")] + [row]
    first, second, without = api.post("/v1/batch", json={"rows": rows}).json()["results"]
    assert "reluwe" in first["translation"]
    assert "ọkọ̀" in second["translation"]
    assert not {"reluwe", "ọkọ̀"} & {*without["translation"].split()}


@pytest.mark.parametrize(
    ("glossary", "told"),
    [
        ({"Lagos": "a", "lagos": "b"}, "are one term"),
        ({"": "a"}, "is empty"),
        ({"a": 1}, "glossary.a"),
        (["a"], "glossary"),
        ({str(i): "x" for i in range(501)}, "at most 500"),
    ],
)
def test_a_glossary_that_cannot_be_kept_to_is_422(
    api: TestClient, glossary: Any, told: str
) -> None:
    answer = ask(api, glossary=glossary)
    assert answer.status_code == 422
    assert told in answer.json()["error"]["message"]


def test_what_writes_no_text_takes_no_glossary(api: TestClient) -> None:
    row = {"adapter": "spam", "text": "WIN", "glossary": {"a": "b"}}
    (result,) = api.post("/v1/batch", json={"rows": [row]}).json()["results"]
    assert result["error"]["code"] == "InvalidOption"
    assert "leave the glossary out" in result["error"]["message"]
