"""Translation over HTTP: /v1/translate, its stream, /v1/batch, and LibreTranslate's API with a real
client of it."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import httpx
import numpy as np
import peft
import pytest
import uvicorn
from fastapi.testclient import TestClient
from libretranslatepy import LibreTranslateAPI

from polygraft import AsyncClient, Client
from polygraft.adapters.library import Library
from polygraft.architectures.loading import load_seq2seq
from polygraft.architectures.target_tokenizer import load_target_tokenizer
from polygraft.architectures.text import load_encoder
from polygraft.client import TranslationProgress, TranslationResult
from polygraft.errors import ServerError
from polygraft.runtime.engine import Engine
from polygraft.runtime.rows import Row
from polygraft.serve.app import create_app
from polygraft.serve.event_stream import EventStream
from polygraft.serve.host import Host
from polygraft.serve.schemas.libretranslate import DetectedOut
from polygraft.serve.translating import LastSteps
from polygraft.tasks.translation.greedy import translate
from polygraft.tasks.translation.serving import Translated


@pytest.fixture(scope="module")
def host(writing_backbone: Path, translators: Path) -> Iterator[Host]:
    host = Host(Engine(writing_backbone, precision="fp32", slots=8), Library(translators))
    assert not host.refused, host.refused
    yield host
    host.engine.close()


@pytest.fixture(scope="module")
def api(host: Host) -> TestClient:
    return TestClient(create_app(lambda: host))


@pytest.fixture(scope="module")
def url(host: Host) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(create_app(lambda: host), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        pass
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


def test_a_translation_cannot_be_explained(api: TestClient) -> None:
    translator, classifier = (
        {"adapter": "en-yo", "text": "See you soon, mum."},
        {"adapter": "spam", "text": "WIN cash"},
    )
    rows = [row | {"explain": True} for row in (translator, classifier)]
    told, explained = api.post("/v1/batch", json={"rows": rows}).json()["results"]
    assert told["error"]["code"] == "InvalidOption"
    assert "translation, whose answers cannot be explained" in told["error"]["message"]
    assert [span["text"] for span in explained["explanation"]["spans"]] == ["WIN", "cash"]


def test_one_batch_with_two_classifiers_and_two_translators(api: TestClient) -> None:
    rows = [
        {"adapter": "spam", "text": "WIN a free prize now!"},
        {"adapter": "en-yo", "text": "Hello mum. See you soon!", "target": "yo", "beam": 2},
        {"adapter": "topic", "text": "the train is late"},
        {"adapter": "haw-en", "text": "Aloha mum"},
        {"adapter": "nobody", "text": "x"},
    ]
    together = api.post("/v1/batch", json={"rows": rows}).json()["results"]
    alone = [api.post("/v1/batch", json={"rows": [row]}).json()["results"][0] for row in rows]
    for a, b in zip(together[:4], alone[:4], strict=True):
        assert a.get("label") == b.get("label")
        assert a.get("translation") == b.get("translation")
        assert a["score"] == pytest.approx(b["score"], abs=1e-4)
    assert [("label" in r, "translation" in r) for r in together[:4]] == [
        (True, False),
        (False, True),
    ] * 2
    assert (together[3]["source"], together[3]["target"]) == ("haw", "en")
    assert together[4]["error"]["code"] == "UnknownAdapter"


def test_translate_finds_the_adapter_for_the_languages(api: TestClient) -> None:
    one = api.post(
        "/v1/translate", json={"text": "see you soon", "source": "en", "target": "yo"}
    ).json()["results"][0]
    assert (one["adapter"], one["source"], one["target"]) == ("en-yo", "en", "yo")
    named = api.post(
        "/v1/translate", json={"texts": ["see you soon"], "adapter": "en-yo", "target": "yo"}
    ).json()["results"][0]
    assert named["translation"] == one["translation"]
    more = api.post(
        "/v1/translate",
        json={"text": "see you soon", "source": "en", "target": "yo", "beam": 4, "n_best": 3},
    ).json()
    assert len(more["results"][0]["alternatives"]) == 2


def test_each_text_without_a_source_is_detected_on_its_own(api: TestClient) -> None:
    texts = ["hello", "Aloha ʻoe", "Ọjọ́ dára", "see you soon mum", "win a prize"]
    found = [api.post("/detect", json={"q": text}).json()[0]["language"] for text in texts]
    results = api.post("/v1/translate", json={"texts": texts, "target": "en"}).json()["results"]
    for language, result in zip(found, results, strict=True):
        if language == "en":
            assert "already" in result["error"]["message"]
        else:
            assert result["source"] == language
            assert result["adapter"] == {"yo": "en-yo", "haw": "haw-en"}[language]


def test_a_stream_tells_the_text_as_it_grows_and_ends_with_the_result(api: TestClient) -> None:
    """Of a text long enough that a busy machine, which may pass over what has grown already, still
    tells more than once."""
    body = {"text": "Hello mum.\nSee you soon!\n" * 10, "source": "en", "target": "yo"}
    whole = api.post("/v1/translate", json=body).json()["results"][0]
    with api.stream("POST", "/v1/translate", json=body | {"stream": True}) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        events = [event.split("\n") for event in response.read().decode().strip().split("\n\n")]
    names = [event[0].removeprefix("event: ") for event in events]
    assert names == ["progress"] * (len(names) - 1) + ["result"]
    assert len(names) > 2
    assert json.loads(events[-1][1].removeprefix("data: "))["translation"] == whole["translation"]


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (
            {"text": "hi", "source": "en", "target": "xx"},
            422,
            "there are: en to yo, haw to en, yo to en",
        ),
        ({"text": "", "source": "en", "target": "yo"}, 422, "empty"),
        ({"text": 7, "source": "en", "target": "yo"}, 422, "not a string"),
        ({"text": "hi", "source": "en", "target": "yo", "beam": 0}, 422, "beam is 0"),
        ({"text": "hi", "source": "en", "target": "yo", "beam": "four"}, 422, "beam"),
        ({"text": "hi", "source": "en", "target": "yo", "n_best": 3}, 422, "n_best is 3"),
        ({"text": "hi", "source": "en"}, 422, "target"),
        ({"text": "hi", "texts": ["hi"], "target": "yo"}, 422, "exactly one"),
        (
            {"text": "hi", "source": "en", "target": "yo", "stream": True, "format": "html"},
            422,
            "HTML is not streamed",
        ),
        ({"text": "word " * 10_000, "source": "en", "target": "yo"}, 422, "at most 20,000"),
        (
            {"text": "hi", "source": "en", "target": "yo", "adapter": "spam"},
            422,
            "does not translate",
        ),
        ({"texts": ["hi"] * 600, "source": "en", "target": "yo"}, 413, "at most 512"),
    ],
)
def test_bad_requests_are_told_what_is_wrong(
    api: TestClient, body: dict[str, object], status: int, told: str
) -> None:
    response = api.post("/v1/translate", json=body)
    answer = response.json()
    assert (response.status_code, told in json.dumps(answer)) == (status, True), answer


@pytest.mark.parametrize(
    "text",
    ["🙂🙂👩‍👩‍👧", "12.5 / 7 = ?", "hello Ọjọ́ سلام 日本 привет", "a" * 3000, "!!!", "\u200b x"],
)
def test_odd_texts_get_a_sane_answer(api: TestClient, text: str) -> None:
    result = api.post("/v1/translate", json={"text": text, "source": "en", "target": "yo"}).json()[
        "results"
    ][0]
    if not any(c.isalpha() for c in text):
        assert result["translation"] == text
    assert isinstance(result["translation"], str)


def test_a_decode_that_loops_is_cut_at_its_bound_and_says_so(
    host: Host, api: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert host.engine.writer
    lanes = host.engine.writer._workers._workers
    with monkeypatch.context() as patched:
        for lane in lanes:
            patched.setattr(lane._batch, "end", 10**6)  # no token is the end
        result = api.post(
            "/v1/translate", json={"text": "hello mum", "source": "en", "target": "yo"}
        ).json()["results"][0]
    assert result["cut"] is True
    again = api.post(
        "/v1/translate", json={"text": "hello mum", "source": "en", "target": "yo"}
    ).json()["results"][0]
    assert isinstance(again["translation"], str)


def test_what_is_no_text_is_not_made_one(api: TestClient) -> None:
    """Defect 8: with an adapter given, null and objects were turned into text and translated."""
    body = {"texts": [None, {"a": 1}, "hello", 5, ["x"]], "adapter": "en-yo", "target": "yo"}
    results = api.post("/v1/translate", json=body).json()["results"]
    assert [r.get("error", {}).get("code") for r in results] == [
        "InvalidRow",
        "InvalidRow",
        None,
        "InvalidRow",
        "InvalidRow",
    ]
    for text in (None, {"a": 1}):
        assert (
            api.post(
                "/v1/translate", json={"text": text, "adapter": "en-yo", "target": "yo"}
            ).status_code
            == 422
        )


def test_streams_that_fail_end_with_an_error_and_hold_no_thread(
    api: TestClient, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Defect 2: an exception left the stream's thread waiting for ever; after 40 of them nobody was
    answered."""

    def fails(*_: object) -> None:
        raise ValueError("the writer fails")

    assert host.engine.writer
    monkeypatch.setattr(host.engine.writer, "text", fails)
    body = {"text": "hello mum", "source": "en", "target": "yo", "stream": True}
    before = threading.active_count()
    for _ in range(50):
        with api.stream("POST", "/v1/translate", json=body) as response:
            lines = list(response.iter_lines())
        assert "event: error" in lines
        assert (
            json.loads(lines[lines.index("event: error") + 1][6:])["error"]["code"] == "RowFailed"
        )
    assert threading.active_count() <= before + 1
    assert host.engine.leases == 0
    assert api.post("/v1/classify", json={"adapter": "spam", "text": "hello"}).status_code == 200


def test_a_stream_that_runs_out_of_time_ends_with_an_error(
    api: TestClient, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "settings", host.settings.model_copy(update={"timeout": 0.001}))
    body = {"text": "hello mum. " * 200, "source": "en", "target": "yo", "stream": True}
    with api.stream("POST", "/v1/translate", json=body) as response:
        assert "DeadlineExceeded" in list(response.iter_lines())[-2]
    assert host.engine.leases == 0


def test_a_client_that_leaves_a_stream_ends_its_writing(url: str, host: Host) -> None:
    body = {
        "text": "hello mum. see you soon. " * 300,
        "source": "en",
        "target": "yo",
        "stream": True,
    }
    with (
        httpx.Client(base_url=url) as client,
        client.stream("POST", "/v1/translate", json=body) as response,
    ):
        next(response.iter_lines())
        assert host.engine.leases == 1
    until = time.monotonic() + 5
    while host.engine.leases and time.monotonic() < until:
        time.sleep(0.01)
    assert (host.engine.leases, host.engine.admission.under_way) == (0, 0)


def test_a_client_that_leaves_while_its_text_is_tokenised_ends_it(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by a hostile outsider: such a stream was written to its end, whatever its length, past
    every deadline."""
    submit, begun = host.engine.submit, threading.Event()

    def slowly(*given: Any) -> Any:
        begun.set()
        time.sleep(0.3)
        return submit(*given)

    monkeypatch.setattr(host.engine, "submit", slowly)
    row = Row("en-yo", "hello mum. see you soon. " * 300, target="yo")

    steps = LastSteps([row], [None], seconds=60)

    async def leave() -> None:
        stream = asyncio.create_task(EventStream.begin(host, steps, lambda _: None))
        while not begun.is_set():
            await asyncio.sleep(0.005)
        stream.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stream

    asyncio.run(leave())
    until = time.monotonic() + 10
    time.sleep(0.5)
    while (host.engine.leases or host.engine.admission.under_way) and time.monotonic() < until:
        time.sleep(0.01)
    assert (host.engine.leases, host.engine.admission.under_way) == (0, 0)
    assert time.monotonic() < until - 5, "it was dropped, not written"


def test_a_translator_does_not_classify(api: TestClient) -> None:
    response = api.post("/v1/classify", json={"adapter": "en-yo", "text": "hello"})
    assert response.status_code == 422
    assert "/v1/translate" in response.json()["error"]["message"]


def test_a_libretranslate_client_is_served(url: str, api: TestClient) -> None:
    client = LibreTranslateAPI(url)
    languages = {x["code"]: x for x in client.languages()}
    assert languages["haw"] == {
        "code": "haw",
        "name": "Hawaiian",
        "targets": ["en", "yo"],
        "quality": {"en": "usable", "yo": "gist"},
    }
    mine = api.post(
        "/v1/translate", json={"text": "see you soon", "source": "en", "target": "yo"}
    ).json()["results"][0]
    assert client.translate("see you soon", "en", "yo") == mine["translation"]
    found = client.detect("Aloha ʻoe")
    assert {"language", "confidence"} == set(found[0])
    assert 0 <= found[0]["confidence"] <= 100
    with pytest.raises(HTTPError) as error:
        client.translate("hello", "en", "tlh")
    assert "no adapter translates" in json.loads(error.value.read())["error"]


def test_our_own_clients_translate(url: str, api: TestClient) -> None:
    mine = api.post(
        "/v1/translate", json={"text": "see you soon", "source": "en", "target": "yo"}
    ).json()["results"][0]
    with Client(url) as client:
        (one,) = client.translate(["see you soon"], "yo", source="en")
        mixed = client.batch(
            [
                {"adapter": "spam", "text": "hello"},
                {"adapter": "en-yo", "text": "hello", "target": "yo"},
            ]
        )
    assert one.translation == mine["translation"]
    assert (mixed[0].label is None, mixed[1].translation is None) == (False, False)

    async def ask() -> str | None:
        async with AsyncClient(url) as client:
            return (await client.translate(["see you soon"], "yo", source="en", beam=1))[
                0
            ].translation

    assert asyncio.run(ask()) == mine["translation"]


def test_our_own_clients_detect(url: str, api: TestClient) -> None:
    """Issue 18: they had no way to ask it."""
    wanted = api.post("/detect", json={"q": "Aloha ʻoe"}).json()

    async def ask() -> list[DetectedOut]:
        async with AsyncClient(url) as client:
            return await client.detect("Aloha ʻoe")

    with Client(url) as client:
        assert [one.model_dump() for one in client.detect("Aloha ʻoe")] == wanted
        with pytest.raises(ServerError, match="answered 400: the text is empty"):
            client.detect(" ")
    assert [one.model_dump() for one in asyncio.run(ask())] == wanted


def test_our_own_clients_read_streams(url: str, api: TestClient) -> None:
    texts = ["Hello mum.\n\nSee you soon!", " ", "The train is late."]
    whole = api.post("/v1/translate", json={"texts": texts, "source": "en", "target": "yo"}).json()
    wanted = [row.get("translation") for row in whole["results"]]

    async def ask() -> list[TranslationProgress | TranslationResult]:
        async with AsyncClient(url) as client:
            stream = client.translate_stream(texts, "yo", source="en")
            return [event async for event in stream]

    with Client(url) as client:
        told = list(client.translate_stream(texts, "yo", source="en"))
        with pytest.raises(ServerError, match=r"422.*no adapter translates to 'tlh'"):
            list(client.translate_stream("hello", "tlh"))
    for events in (told, asyncio.run(ask())):
        results = {e.row: e.result for e in events if isinstance(e, TranslationResult)}
        assert [results[row].translation for row in range(3)] == wanted
        assert results[1].error is not None
        grown = {e.row: e.translation for e in events if isinstance(e, TranslationProgress)}
        assert grown == {row: text for row, text in enumerate(wanted) if text}


def test_a_stream_that_is_cut_off_is_an_error(
    url: str, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cut(self: EventStream) -> AsyncIterator[str]:
        yield "event: progress\ndata: {"

    monkeypatch.setattr(EventStream, "_events", cut)
    with Client(url) as client, pytest.raises(ServerError, match="ended its answer too early"):
        list(client.translate_stream("hello mum", "yo", source="en"))


def test_libretranslate_lists_alternatives_and_auto(api: TestClient) -> None:
    answer = api.post(
        "/translate",
        json={"q": ["see you", "hello"], "source": "en", "target": "yo", "alternatives": 2},
    ).json()
    assert len(answer["translatedText"]) == len(answer["alternatives"]) == 2
    assert [len(a) for a in answer["alternatives"]] == [2, 2]
    for text in ("Aloha ʻoe", "Ọjọ́ dára", "mum"):
        detected = api.post("/detect", json={"q": text}).json()[0]
        answer = api.post("/translate", json={"q": text, "source": "auto", "target": "en"}).json()
        assert answer.get("detectedLanguage", detected) == detected
    form = api.post("/translate", data={"q": "see you", "source": "en", "target": "yo"}).json()
    assert isinstance(form["translatedText"], str)
    for body in (
        {},
        {"q": "x"},
        {"q": "x", "source": "en", "target": "yo", "alternatives": 99},
        {"q": [], "source": "en", "target": "yo"},
    ):
        bad = api.post("/translate", json=body)
        assert bad.status_code == 400
        assert isinstance(bad.json()["error"], str)
    assert (
        api.post(
            "/translate", content="{", headers={"content-type": "application/json"}
        ).status_code
        == 400
    )


def test_a_slot_used_again_answers_with_its_new_adapter(
    host: Host, writing_backbone: Path, make_translator: Callable[..., Path], tmp_path: Path
) -> None:
    texts, written = ["hello mum", "see you soon", "the train is late"], set[tuple[str, ...]]()
    encoder, pieces = (
        load_encoder(writing_backbone),
        load_target_tokenizer(writing_backbone),
    )
    for seed in (20, 21, 22):
        make_translator(tmp_path / f"t{seed}", [("en", "yo")], seed)
        host.engine.add(tmp_path / f"t{seed}")
        answers = host.engine.answer([Row(f"t{seed}", text) for text in texts])
        adapted = peft.PeftModel.from_pretrained(
            load_seq2seq(writing_backbone), tmp_path / f"t{seed}"
        ).eval()
        assert [a.text for a in answers if isinstance(a, Translated)] == translate(
            adapted, encoder, pieces, texts, ("en", "yo")
        )
        written.add(tuple(a.text for a in answers if isinstance(a, Translated)))
        host.engine.remove(f"t{seed}")
    assert len(written) == 3, "the adapters do not differ: the test is void"


def test_many_at_once_are_all_answered(host: Host) -> None:
    rows = [Row("en-yo", f"hello mum {i}", target="yo") for i in range(40)]
    alone = [host.engine.answer([row])[0] for row in rows[:6]]
    found: dict[int, list[object]] = {}

    def ask(i: int) -> None:
        found[i] = list(host.engine.answer(rows))

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(isinstance(a, Translated) for answers in found.values() for a in answers)
    texts = np.array(
        [[a.text for a in answers if isinstance(a, Translated)] for answers in found.values()]
    )
    assert (texts == texts[0]).all()
    assert [a.text for a in alone if isinstance(a, Translated)] == texts[0][:6].tolist()
