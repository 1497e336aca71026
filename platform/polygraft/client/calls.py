"""What is sent for each method of a client, and how its answer is read. Does not: send."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from pydantic import TypeAdapter

from polygraft.adapters.library import pack
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
    given,
)
from polygraft.errors import ServerError
from polygraft.serve.schemas.adapters import AdapterOut, AdaptersResponse
from polygraft.serve.schemas.embed import SimilarityResponse
from polygraft.serve.schemas.libretranslate import DetectedOut
from polygraft.serve.schemas.rollout import CompareResponse, HistoryResponse, RouteOut
from polygraft.serve.schemas.row import ClassifyResponse, RowOut

STREAMED, STREAMED_BYTES = 5_000, 4 * 2**20
"""Of one request of a stream, which is sent before its first answer is read: rows, and bytes about,
far fewer than the server holds (`serve.lines.MAX_HELD`)."""
Result = TypeVar("Result")
Texts = str | Iterable[str]
Rows = Mapping[str, Any] | Iterable[Mapping[str, Any]]


@dataclass(frozen=True)
class Call(Generic[Result]):
    """One request; `read` makes the result of a good answer's body. `admin`: it needs the key."""

    method: str
    url: str
    read: Callable[[bytes], Result]
    content: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    admin: bool = False


def classify(
    adapter: str | Iterable[str], texts: Texts, options: ClassifyOptions
) -> Call[list[RowOut]]:
    body = {"texts": listed(texts), **given(options, ClassifyOptions)}
    return _posted("/v1/classify", body | _answering(adapter), _results)


def tag(adapter: str | Iterable[str], texts: Texts, options: TagOptions) -> Call[list[RowOut]]:
    body = {"texts": listed(texts), **given(options, TagOptions)}
    return _posted("/v1/tag", body | _answering(adapter), _results)


def classify_rows(rows: Rows, options: RowsOptions) -> Call[list[RowOut]]:
    body = {"rows": list(each_row(rows)), **given(options, RowsOptions)}
    return _posted("/v1/classify", body, _results)


def batch(rows: Rows, options: RowsOptions) -> Call[list[RowOut]]:
    body = {"rows": list(each_row(rows)), **given(options, RowsOptions)}
    return _posted("/v1/batch", body, _results)


def translate(texts: Texts, target: str, options: TranslateOptions) -> Call[list[RowOut]]:
    body = _translation(listed(texts), target, options)
    return _posted("/v1/translate", body, _results)


def translate_stream(texts: list[str], target: str, options: TranslateOptions) -> Call[None]:
    """Its answer is read by an `EventReader`."""
    body = _translation(texts, target, options) | {"stream": True}
    return _posted("/v1/translate", body, lambda _: None)


def _translation(texts: list[str], target: str, options: TranslateOptions) -> dict[str, Any]:
    body = {"texts": texts, "target": target, **given(options, TranslateOptions)}
    if "glossary" in body:
        body["glossary"] = dict(body["glossary"])
    return body


def embed(texts: Texts, options: EmbedOptions) -> Call[list[RowOut]]:
    body = {"texts": listed(texts), **given(options, EmbedOptions)}
    return _posted("/v1/embed", body, _results)


def similarity(
    texts: Texts, against: Texts | None, options: SimilarityOptions
) -> Call[SimilarityResponse]:
    body = {"texts": listed(texts), **given(options, SimilarityOptions)}
    if against is not None:
        body["against"] = listed(against)
    return _posted("/v1/similarity", body, SimilarityResponse.model_validate_json)


def detect(text: str) -> Call[list[DetectedOut]]:
    return _posted("/detect", {"q": text}, TypeAdapter(list[DetectedOut]).validate_json)


def stream(rows: Rows, options: StreamOptions) -> Iterator[tuple[Call[None], LineReader]]:
    """A call for every `STREAMED` rows, of long ones for fewer, with a line for each row, and what
    reads its answer."""
    params, headers = given(options, StreamOptions), {"content-type": "application/x-ndjson"}
    lines = (json.dumps(row).encode() + b"\n" for row in each_row(rows))
    while block := _block(lines):
        content = b"".join(block)
        call = Call("POST", "/v1/stream", lambda _: None, content, headers, params)
        yield call, LineReader(len(block))


def _block(lines: Iterator[bytes]) -> list[bytes]:
    """The next lines, those of one request."""
    block, size = list[bytes](), 0
    for line in lines:
        block.append(line)
        size += len(line)
        if len(block) == STREAMED or size >= STREAMED_BYTES:
            break
    return block


class LineReader:
    """Reads a stream's answer, a line a row. `missing` counts those that are still to come."""

    def __init__(self, rows: int) -> None:
        self.missing = rows
        self._rest = ""

    def read(self, piece: str) -> Iterator[RowOut]:
        """The rows whose lines end in the next piece of the answer. Raises `ServerError` for the
        line that ends a stream too early."""
        *lines, self._rest = (self._rest + piece).split("\n")
        for line in lines:
            content = json.loads(line)
            if "row" not in content:
                raise ServerError(f"{content['error']['message']} ({content['error']['code']})")
            del content["row"]
            self.missing -= 1
            yield RowOut.model_validate(content)


def adapters(after: str | None = None) -> Call[AdaptersResponse]:
    """A page of those that are served."""
    params = {"after": after} if after else {}
    return Call("GET", "/v1/adapters", AdaptersResponse.model_validate_json, params=params)


def joined(pages: Sequence[AdaptersResponse]) -> AdaptersResponse:
    """One answer of several pages."""
    adapters = [adapter for page in pages for adapter in page.adapters]
    return pages[0].model_copy(update={"adapters": adapters, "next": None})


def add(folder: str | Path, options: AddOptions) -> Call[AdapterOut]:
    return Call(
        "POST",
        "/v1/adapters",
        AdapterOut.model_validate_json,
        content=pack(Path(folder)),
        headers={"content-type": "application/zip"},
        params=given(options, AddOptions),
        admin=True,
    )


def remove(name: str, *, purge: bool) -> Call[AdapterOut]:
    read = AdapterOut.model_validate_json
    return Call("DELETE", _of(name), read, params={"purge": purge}, admin=True)


def show_route(name: str) -> Call[RouteOut]:
    return Call("GET", f"{_of(name)}/route", RouteOut.model_validate_json)


def set_route(name: str, options: RouteOptions) -> Call[RouteOut]:
    return _changing("PUT", f"{_of(name)}/route", given(options, RouteOptions))


def promote(name: str, version: str, options: PromoteOptions) -> Call[RouteOut]:
    body = {"version": version, **given(options, PromoteOptions)}
    return _changing("POST", f"{_of(name)}/promote", body)


def roll_back(name: str, options: ChangeOptions) -> Call[RouteOut]:
    return _changing("POST", f"{_of(name)}/rollback", given(options, ChangeOptions))


def history(name: str) -> Call[HistoryResponse]:
    return Call("GET", f"{_of(name)}/history", HistoryResponse.model_validate_json)


def compare(name: str, version: str, against: str) -> Call[CompareResponse]:
    params = {"version": version, "against": against}
    read = CompareResponse.model_validate_json
    return Call("GET", f"{_of(name)}/compare", read, params=params)


def _of(name: str) -> str:
    return f"/v1/adapters/{quote(name, safe='')}"


def _changing(method: str, url: str, body: Mapping[str, Any]) -> Call[RouteOut]:
    headers, content = {"content-type": "application/json"}, json.dumps(body).encode()
    return Call(method, url, RouteOut.model_validate_json, content, headers, admin=True)


def _answering(adapter: str | Iterable[str]) -> dict[str, Any]:
    return {"adapter": adapter} if isinstance(adapter, str) else {"stack": list(adapter)}


def _posted(url: str, body: Mapping[str, Any], read: Callable[[bytes], Result]) -> Call[Result]:
    """In ASCII: half of a UTF-16 pair in one text would keep httpx from writing the others."""
    headers = {"content-type": "application/json"}
    return Call("POST", url, read, content=json.dumps(body).encode(), headers=headers)


def _results(content: bytes) -> list[RowOut]:
    return ClassifyResponse.model_validate_json(content).results


def listed(texts: Texts) -> list[str]:
    """A string is one text. Raises `TypeError` for what is neither one nor several."""
    if isinstance(texts, str):
        return [texts]
    if isinstance(texts, bytes | Mapping) or not isinstance(texts, Iterable):
        raise TypeError(f"texts is of type {type(texts).__name__}; give a text, or a list of texts")
    return list(texts)


def each_row(rows: Rows) -> Iterator[dict[str, Any]]:
    """An object is one row. Raises `TypeError` for what is neither one nor several."""
    if isinstance(rows, Mapping):
        rows = [rows]
    if isinstance(rows, str | bytes) or not isinstance(rows, Iterable):
        raise TypeError(f"rows is of type {type(rows).__name__}; give a row, or a list of rows")
    for row in rows:
        if isinstance(row, str | bytes):
            raise TypeError(f"a row is of type {type(row).__name__}; give an object, its fields")
        yield dict(row)
