"""`POST /v1/translate`, whole or as a stream of server-sent events."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import ConfigDict, Field

from polygraft.errors import InvalidRow, PolygraftError
from polygraft.runtime.rows import Row
from polygraft.serve import languages
from polygraft.serve.answers import answer, check_count, results
from polygraft.serve.host import Host
from polygraft.serve.schemas import ClassifyResponse, RowOut, SearchIn


class TranslateRequest(SearchIn):
    """Either `text` or `texts`."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"text": "The market opens at nine.", "source": "en", "target": "yo", "beam": 4}]}
    )
    text: Any = Field(None, description="one text, of any length up to 20,000 characters", json_schema_extra={"type": "string"})
    texts: list[Any] | None = Field(None, description="several texts", json_schema_extra={"items": {"type": "string"}})
    source: str | None = Field(None, description="language of the texts; left out, each is detected on its own")
    target: str = Field(description="language to write")
    adapter: str | None = Field(None, description="left out: the one made for these languages")
    stream: bool = Field(False, description="answer with server-sent events; one text only")


def router(host: Callable[[], Host]) -> APIRouter:
    routes = APIRouter(tags=["inference"])

    @routes.post("/v1/translate", response_model=ClassifyResponse, response_model_exclude_none=True)
    def translate(request: TranslateRequest) -> Any:
        """Translate texts. `results[i].translation` is the i-th text's.

        With `stream`: events `progress` (`{"text"}`, the sentence being written) and at the end `result`, or `error`.
        """
        given = [name for name in ("text", "texts") if name in request.model_fields_set]
        if len(given) != 1:
            raise InvalidRow(f"send exactly one of text or texts (got {', '.join(given) or 'none'})")
        texts = [request.text] if request.texts is None else request.texts
        check_count(len(texts))
        if request.stream and request.texts is not None:
            raise InvalidRow("a stream is for one text; send text, or leave stream out")
        engine = host().engine
        known = [request.source] * len(texts) if request.adapter else languages.sources(engine, texts, request.source)
        rows = languages.route(engine, texts, known, request.target, request.search(), request.adapter)
        if request.texts is None and isinstance(rows[0], PolygraftError):
            raise rows[0]
        if request.stream:
            return StreamingResponse(_events(host(), rows), media_type="text/event-stream")
        answers = answer(host(), rows)
        if request.texts is None and isinstance(answers[0], PolygraftError):
            raise answers[0]
        return ClassifyResponse(results=results(rows, answers))

    return routes


def _events(host: Host, rows: list[Row | PolygraftError]) -> Iterator[str]:
    """The sentence being written whenever it has grown, then the whole answer."""
    heard: queue.SimpleQueue[str | RowOut] = queue.SimpleQueue()

    def work() -> None:
        heard.put(results(rows, answer(host, rows, listener=heard.put))[0])

    threading.Thread(target=work, daemon=True).start()
    while isinstance(said := heard.get(), str):
        yield _event("progress", {"text": said})
    yield _event("error" if said.error else "result", said.model_dump(exclude_none=True))


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
