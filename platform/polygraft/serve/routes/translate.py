"""`POST /v1/translate`, whole or as a stream of server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from polygraft.errors import InvalidRow, PolygraftError
from polygraft.runtime.rows import Row
from polygraft.serve import languages
from polygraft.serve.answers import Submission, answer, count, results
from polygraft.serve.host import Host
from polygraft.serve.limits import check_count
from polygraft.serve.rows import row_out
from polygraft.serve.schemas.row import ClassifyResponse
from polygraft.serve.schemas.translate import TranslateRequest

STREAMED = {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}}


def router(host: Callable[[], Host]) -> APIRouter:
    routes = APIRouter(tags=["inference"])

    @routes.post(
        "/v1/translate",
        response_model=ClassifyResponse,
        response_model_exclude_none=True,
        responses=STREAMED,  # type: ignore[arg-type]
    )
    async def translate(request: TranslateRequest) -> Any:
        """Translate texts. `results[i].translation` is the i-th text's.

        With `stream`: events `progress` (`{"text"}`, the sentence being written) and at the end
        `result`, or `error`.
        """
        inputs = [name for name in ("text", "texts") if name in request.model_fields_set]
        if len(inputs) != 1:
            raise InvalidRow(
                f"send exactly one of text or texts (got {', '.join(inputs) or 'none'})"
            )
        texts: list[Any] = [request.text] if request.texts is None else request.texts
        check_count(host().settings, len(texts))
        if request.stream and request.texts is not None:
            raise InvalidRow("a stream is for one text; send text, or leave stream out")
        sources: Sequence[str | PolygraftError | None] = [request.source] * len(texts)
        if not request.adapter:
            sources = await languages.sources(host(), texts, request.source)
        rows = languages.route(
            host().engine,
            texts,
            sources,
            request.target,
            request.search(),
            adapter=request.adapter,
            detected=request.source is None,
        )
        if request.texts is None and isinstance(rows[0], PolygraftError):
            raise rows[0]
        if request.stream and isinstance(rows[0], Row):
            return await EventStream.begin(host(), rows[0])
        answers = await answer(host(), rows)
        if request.texts is None and isinstance(answers[0], PolygraftError):
            raise answers[0]
        return ClassifyResponse(results=results(rows, answers))

    return routes


class EventStream(StreamingResponse):
    """The sentence being written whenever it has grown, then the whole answer or its error. No
    thread waits, and only the newest text is kept for a client that reads slowly. A client that
    leaves ends the writing."""

    def __init__(self, submission: Submission, grown: asyncio.Event) -> None:
        super().__init__(self._events(), media_type="text/event-stream")
        self._submission, self._grown, self._newest = submission, grown, ""

    @classmethod
    async def begin(cls, host: Host, row: Row) -> EventStream:
        """Queue the row. Raises `Overloaded`."""
        loop, grown = asyncio.get_running_loop(), asyncio.Event()
        stream = cls(Submission(host, [row]), grown)

        def heard(text: str) -> None:
            stream._newest = text
            loop.call_soon_threadsafe(grown.set)

        try:
            await stream._submission.submit(listener=heard)
        except BaseException:  # the client may leave while the text is being tokenised
            stream._submission.abandon()
            raise
        stream._submission.futures[0].add_done_callback(
            lambda _: loop.call_soon_threadsafe(grown.set)
        )
        return stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._submission.abandon()

    async def _events(self) -> AsyncIterator[str]:
        (row,), (future,) = self._submission.rows, self._submission.futures
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._submission.timeout
        try:
            while not future.done():
                await asyncio.wait_for(self._grown.wait(), deadline - loop.time())
                self._grown.clear()
                if not future.done() and self._newest:
                    yield _event("progress", {"text": self._newest})
        except TimeoutError:
            future.cancel()
        answer = self._submission.answer(future)
        count([answer])
        result = row_out(answer, row.adapter)
        yield _event("error" if result.error else "result", result.model_dump(exclude_none=True))


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
