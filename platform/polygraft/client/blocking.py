"""The client for programs that wait."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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


class Client:
    """Blocking client. `key` is the admin key, which only changes of adapters need and send; left
    out, it is POLYGRAFT_ADMIN_KEY or, for a server on this machine, the one kept for the user.

    Every method raises `ServerError` for an error of the whole request.
    """

    def __init__(
        self, url: str = DEFAULT_URL, *, key: str | None = None, timeout: float = 60
    ) -> None:
        self._connection = Connection(url, key, timeout)
        self._http = httpx.Client(**self._connection.options)

    def classify(
        self, adapter: str | Iterable[str], texts: Texts, **options: Unpack[ClassifyOptions]
    ) -> list[RowOut]:
        """One result a text, in order. `adapter`: a name, or those of a stack, of which the last
        answers."""
        return self._send(calls.classify(adapter, texts, options))

    def classify_rows(self, rows: Rows, **options: Unpack[RowsOptions]) -> list[RowOut]:
        """Rows `{"adapter", "text", "language"?, "truncate"?, "threshold"?, ...}`, adapters mixed
        as you like."""
        return self._send(calls.classify_rows(rows, options))

    def tag(
        self, adapter: str | Iterable[str], texts: Texts, **options: Unpack[TagOptions]
    ) -> list[RowOut]:
        """One result a text, in order: `result.spans`, or `result.word_tags` of an adapter that
        gives every word a tag. `adapter` as in `classify`."""
        return self._send(calls.tag(adapter, texts, options))

    def translate(
        self, texts: Texts, target: str, **options: Unpack[TranslateOptions]
    ) -> list[RowOut]:
        """One translation a text, in order (`result.translation`)."""
        return self._send(calls.translate(texts, target, options))

    def translate_stream(
        self, texts: Texts, target: str, **options: Unpack[TranslateOptions]
    ) -> Iterator[TranslationProgress | TranslationResult]:
        """Translations as they grow, each text's result at its end."""
        texts = calls.listed(texts)
        call, reader = calls.translate_stream(texts, target, options), EventReader(len(texts))
        for piece in self._pieces(call):
            yield from reader.read(piece)
        if not reader.is_complete:
            raise self._connection.cut_off()

    def batch(self, rows: Rows, **options: Unpack[RowsOptions]) -> list[RowOut]:
        """Rows of any task, each with its own adapter: `{"adapter", "text", "target"?, "beam"?,
        ...}`."""
        return self._send(calls.batch(rows, options))

    def embed(self, texts: Texts, **options: Unpack[EmbedOptions]) -> list[RowOut]:
        """One vector a text, in order (`result.embedding`)."""
        return self._send(calls.embed(texts, options))

    def similarity(
        self, texts: Texts, against: Texts | None = None, **options: Unpack[SimilarityOptions]
    ) -> SimilarityResponse:
        """Cosines of each text with each of `against`, or with each other
        (`answer.similarity[i][j]`)."""
        return self._send(calls.similarity(texts, against, options))

    def detect(self, text: str) -> list[DetectedOut]:
        """The languages that a text may be in, likeliest first, each with its confidence, 0 to 100;
        `und` first where none is certain."""
        return self._send(calls.detect(text))

    def stream(self, rows: Rows, **options: Unpack[StreamOptions]) -> Iterator[RowOut]:
        """As `batch`, for as many rows as you like, which are read and sent 5,000 at a time (fewer
        of long ones); of those each result, in order, comes as soon as it is there."""
        for call, reader in calls.stream(rows, options):
            for piece in self._pieces(call):
                yield from reader.read(piece)
            if reader.missing:
                raise self._connection.cut_off()

    def adapters(self) -> AdaptersResponse:
        """What is served, all pages of it, and what was refused."""
        pages = [self._send(calls.adapters())]
        while pages[-1].next:
            pages.append(self._send(calls.adapters(pages[-1].next)))
        return calls.joined(pages)

    def add(self, folder: str | Path, **options: Unpack[AddOptions]) -> AdapterOut:
        """Upload an adapter folder and serve it."""
        return self._send(calls.add(folder, options))

    def show_route(self, name: str) -> RouteOut:
        """What is served as `name`: aliases, canary, shadow, and the revision of that."""
        return self._send(calls.show_route(name))

    def set_route(self, name: str, **options: Unpack[RouteOptions]) -> RouteOut:
        """Set aliases, and who gets which: a canary, a shadow."""
        return self._send(calls.set_route(name, options))

    def promote(
        self, name: str, version: str = "candidate", **options: Unpack[PromoteOptions]
    ) -> RouteOut:
        """Make a version the champion of its name, by alias, version or its beginning."""
        return self._send(calls.promote(name, version, options))

    def roll_back(self, name: str, **options: Unpack[ChangeOptions]) -> RouteOut:
        """End the canary; where there is none, the champion before is the champion again."""
        return self._send(calls.roll_back(name, options))

    def history(self, name: str) -> HistoryResponse:
        """Who changed what, when and why, the newest first."""
        return self._send(calls.history(name))

    def compare(
        self, name: str, version: str = "candidate", against: str = "champion"
    ) -> CompareResponse:
        """Two versions by the rows that the server has observed, with intervals."""
        return self._send(calls.compare(name, version, against))

    def remove(self, name: str, *, purge: bool = False) -> AdapterOut:
        """Stop serving an adapter; with `purge` it is deleted from the server's library too."""
        return self._send(calls.remove(name, purge=purge))

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _pieces(self, call: Call[None]) -> Iterator[str]:
        """An answer as it comes."""
        try:
            with self._http.stream(**self._connection.request(call)) as response:
                if response.is_error:
                    response.read()
                self._connection.check(response)
                yield from response.iter_text()
        except httpx.TransportError as error:
            raise self._connection.unreachable(error) from error

    def _send(self, call: Call[Result]) -> Result:
        try:
            response = self._http.request(**self._connection.request(call))
        except httpx.TransportError as error:
            raise self._connection.unreachable(error) from error
        return self._connection.result(call, response)
