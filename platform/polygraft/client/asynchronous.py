"""The client for asyncio."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import TypeVar, Unpack

import httpx

from polygraft.client import calls
from polygraft.client.calls import Call, Rows, Texts
from polygraft.client.connection import DEFAULT_URL, Connection
from polygraft.client.options import (
    AddOptions,
    ChangeOptions,
    ClassifyOptions,
    EmbedOptions,
    PromoteOptions,
    RouteOptions,
    RowsOptions,
    SimilarityOptions,
    StreamOptions,
    TagOptions,
    TranslateOptions,
)
from polygraft.client.progress import EventReader, TranslationProgress, TranslationResult
from polygraft.serve.schemas.adapters import AdapterOut, AdaptersResponse
from polygraft.serve.schemas.embed import SimilarityResponse
from polygraft.serve.schemas.libretranslate import DetectedOut
from polygraft.serve.schemas.rollout import CompareResponse, HistoryResponse, RouteOut
from polygraft.serve.schemas.row import RowOut

Result = TypeVar("Result")


class AsyncClient:
    """As `Client`, for asyncio."""

    def __init__(
        self, url: str = DEFAULT_URL, *, key: str | None = None, timeout: float = 60
    ) -> None:
        self._connection = Connection(url, key, timeout)
        self._http = httpx.AsyncClient(**self._connection.options)

    async def classify(
        self, adapter: str | Iterable[str], texts: Texts, **options: Unpack[ClassifyOptions]
    ) -> list[RowOut]:
        """One result a text, in order. `adapter`: a name, or those of a stack, of which the last
        answers."""
        return await self._send(calls.classify(adapter, texts, options))

    async def classify_rows(self, rows: Rows, **options: Unpack[RowsOptions]) -> list[RowOut]:
        """Rows `{"adapter", "text", "language"?, "truncate"?, "threshold"?, ...}`, adapters mixed
        as you like."""
        return await self._send(calls.classify_rows(rows, options))

    async def tag(
        self, adapter: str | Iterable[str], texts: Texts, **options: Unpack[TagOptions]
    ) -> list[RowOut]:
        """One result a text, in order: `result.spans`, or `result.word_tags` of an adapter that
        gives every word a tag. `adapter` as in `classify`."""
        return await self._send(calls.tag(adapter, texts, options))

    async def translate(
        self, texts: Texts, target: str, **options: Unpack[TranslateOptions]
    ) -> list[RowOut]:
        """One translation a text, in order (`result.translation`)."""
        return await self._send(calls.translate(texts, target, options))

    async def translate_stream(
        self, texts: Texts, target: str, **options: Unpack[TranslateOptions]
    ) -> AsyncIterator[TranslationProgress | TranslationResult]:
        """Translations as they grow, each text's result at its end."""
        texts = calls.listed(texts)
        call, reader = calls.translate_stream(texts, target, options), EventReader(len(texts))
        async with aclosing(self._pieces(call)) as pieces:
            async for piece in pieces:
                for event in reader.read(piece):
                    yield event
        if not reader.is_complete:
            raise self._connection.cut_off()

    async def batch(self, rows: Rows, **options: Unpack[RowsOptions]) -> list[RowOut]:
        """Rows of any task, each with its own adapter: `{"adapter", "text", "target"?, "beam"?,
        ...}`."""
        return await self._send(calls.batch(rows, options))

    async def embed(self, texts: Texts, **options: Unpack[EmbedOptions]) -> list[RowOut]:
        """One vector a text, in order (`result.embedding`)."""
        return await self._send(calls.embed(texts, options))

    async def similarity(
        self, texts: Texts, against: Texts | None = None, **options: Unpack[SimilarityOptions]
    ) -> SimilarityResponse:
        """Cosines of each text with each of `against`, or with each other
        (`answer.similarity[i][j]`)."""
        return await self._send(calls.similarity(texts, against, options))

    async def detect(self, text: str) -> list[DetectedOut]:
        """The languages that a text may be in, likeliest first, each with its confidence, 0 to 100;
        `und` first where none is certain."""
        return await self._send(calls.detect(text))

    async def stream(self, rows: Rows, **options: Unpack[StreamOptions]) -> AsyncIterator[RowOut]:
        """As `batch`, for as many rows as you like, which are read and sent 5,000 at a time (fewer
        of long ones); of those each result, in order, comes as soon as it is there."""
        for call, reader in calls.stream(rows, options):
            async with aclosing(self._pieces(call)) as pieces:
                async for piece in pieces:
                    for row in reader.read(piece):
                        yield row
            if reader.missing:
                raise self._connection.cut_off()

    async def adapters(self) -> AdaptersResponse:
        """What is served, all pages of it, and what was refused."""
        pages = [await self._send(calls.adapters())]
        while pages[-1].next:
            pages.append(await self._send(calls.adapters(pages[-1].next)))
        return calls.joined(pages)

    async def add(self, folder: str | Path, **options: Unpack[AddOptions]) -> AdapterOut:
        """Upload an adapter folder and serve it."""
        return await self._send(calls.add(folder, options))

    async def show_route(self, name: str) -> RouteOut:
        """What is served as `name`: aliases, canary, shadow, and the revision of that."""
        return await self._send(calls.show_route(name))

    async def set_route(self, name: str, **options: Unpack[RouteOptions]) -> RouteOut:
        """Set aliases, and who gets which: a canary, a shadow."""
        return await self._send(calls.set_route(name, options))

    async def promote(
        self, name: str, version: str = "candidate", **options: Unpack[PromoteOptions]
    ) -> RouteOut:
        """Make a version the champion of its name, by alias, version or its beginning."""
        return await self._send(calls.promote(name, version, options))

    async def roll_back(self, name: str, **options: Unpack[ChangeOptions]) -> RouteOut:
        """End the canary; where there is none, the champion before is the champion again."""
        return await self._send(calls.roll_back(name, options))

    async def history(self, name: str) -> HistoryResponse:
        """Who changed what, when and why, the newest first."""
        return await self._send(calls.history(name))

    async def compare(
        self, name: str, version: str = "candidate", against: str = "champion"
    ) -> CompareResponse:
        """Two versions by the rows that the server has observed, with intervals."""
        return await self._send(calls.compare(name, version, against))

    async def remove(self, name: str, *, purge: bool = False) -> AdapterOut:
        """Stop serving an adapter; with `purge` it is deleted from the server's library too."""
        return await self._send(calls.remove(name, purge=purge))

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _pieces(self, call: Call[None]) -> AsyncGenerator[str, None]:
        """An answer as it comes."""
        try:
            async with self._http.stream(**self._connection.request(call)) as response:
                if response.is_error:
                    await response.aread()
                self._connection.check(response)
                async for piece in response.aiter_text():
                    yield piece
        except httpx.TransportError as error:
            raise self._connection.unreachable(error) from error

    async def _send(self, call: Call[Result]) -> Result:
        try:
            response = await self._http.request(**self._connection.request(call))
        except httpx.TransportError as error:
            raise self._connection.unreachable(error) from error
        return self._connection.result(call, response)
