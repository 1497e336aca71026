"""A typed Python client for a running server, sync and async.

    with Client("http://localhost:3000") as client:
        client.classify("spam-en", ["WIN a FREE phone now! Text WIN to 80182"])[0].label

Errors of the server are raised as `ServerError`, with its own message; errors of single rows stay
in their place.
"""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel

from polygraft.adapters.library import pack
from polygraft.errors import ServerError
from polygraft.serve import auth
from polygraft.serve.schemas.adapters import AdapterOut, AdaptersResponse
from polygraft.serve.schemas.row import ClassifyResponse, RowOut

DEFAULT_URL = "http://127.0.0.1:3000"
Model = TypeVar("Model", bound=BaseModel)


class _Call:
    """What both clients share: how a call is written and how its answer is read."""

    def __init__(self, url: str, key: str | None, timeout: float) -> None:
        url = url if "://" in url else f"http://{url}"
        self.options: dict[str, Any] = {"base_url": url, "timeout": timeout}
        self.url, self.key = url, key

    @staticmethod
    def classify(
        adapter: str | Sequence[str], texts: Sequence[str], options: Mapping[str, Any]
    ) -> dict[str, Any]:
        field = "adapter" if isinstance(adapter, str) else "stack"
        body = {field: adapter, "texts": _several(texts), **_given(options)}
        return {"method": "POST", "url": "/v1/classify"} | _json(body)

    @staticmethod
    def rows(rows: Sequence[Mapping[str, Any]], top_k: int | None) -> dict[str, Any]:
        body: dict[str, Any] = {"rows": [dict(r) for r in rows]}
        return {"method": "POST", "url": "/v1/classify"} | _json(
            body | ({"top_k": top_k} if top_k else {})
        )

    @staticmethod
    def batch(rows: Sequence[Mapping[str, Any]], top_k: int | None) -> dict[str, Any]:
        return _Call.rows(rows, top_k) | {"url": "/v1/batch"}

    @staticmethod
    def translate(texts: Sequence[str], target: str, options: Mapping[str, Any]) -> dict[str, Any]:
        body = {"texts": _several(texts), "target": target, **_given(options)}
        return {"method": "POST", "url": "/v1/translate"} | _json(body)

    def add(self, folder: Path) -> dict[str, Any]:
        headers = self._admin() | {"content-type": b"application/zip"}
        return {
            "method": "POST",
            "url": "/v1/adapters",
            "content": pack(folder),
            "headers": headers,
        }

    def remove(self, name: str, purge: bool) -> dict[str, Any]:
        url = f"/v1/adapters/{quote(name, safe='')}"
        return {
            "method": "DELETE",
            "url": url,
            "params": {"purge": purge},
            "headers": self._admin(),
        }

    def _admin(self) -> dict[str, bytes]:
        """The key that was given, else POLYGRAFT_ADMIN_KEY, else, for a server on this machine, the
        one in the user's file."""
        key = self.key or os.environ.get(auth.VARIABLE)
        if not key and _is_this_machine(httpx.URL(self.url).host):
            key = auth.known_key()
        return auth.header(key) if key else {}

    def read(self, response: httpx.Response, model: type[Model]) -> Model:
        if response.is_success:
            return model.model_validate_json(response.content)
        try:
            error = response.json()["error"]
            message = f"{error['message']} ({error['code']})"
        except (ValueError, KeyError, TypeError):
            message = response.text[:300]
        raise ServerError(f"{self.url} answered {response.status_code}: {message}")

    def unreachable(self, error: httpx.TransportError) -> ServerError:
        return ServerError(
            f"{self.url} does not answer ({error or type(error).__name__}); is the server running?"
        )


def _json(body: Mapping[str, Any]) -> dict[str, Any]:
    """In ASCII: half of a UTF-16 pair in one text would keep httpx from writing the others."""
    return {"content": json.dumps(body).encode(), "headers": {"content-type": "application/json"}}


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that are not left out."""
    return {name: value for name, value in options.items() if value is not None}


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _several(texts: Sequence[str]) -> list[str]:
    """Raises `TypeError` for one text, of which each character would be taken for a text."""
    if isinstance(texts, str):
        raise TypeError("texts is one string; give a list of texts, as in [text]")
    return list(texts)


class Client:
    """Blocking client. `key` is the admin key, which only `add` and `remove` need and send; left
    out, it is POLYGRAFT_ADMIN_KEY or, for a server on this machine, the one kept for the user."""

    def __init__(
        self, url: str = DEFAULT_URL, *, key: str | None = None, timeout: float = 60
    ) -> None:
        self._call = _Call(url, key, timeout)
        self._http = httpx.Client(**self._call.options)

    def classify(
        self,
        adapter: str | Sequence[str],
        texts: Sequence[str],
        *,
        language: str | None = None,
        top_k: int | None = None,
        truncate: bool | None = None,
        threshold: float | None = None,
        explain: bool | None = None,
    ) -> list[RowOut]:
        """One result a text, in order; with `explain` (16 texts at most) each says why
        (`result.explanation`)."""
        options = {
            "language": language,
            "top_k": top_k,
            "truncate": truncate,
            "threshold": threshold,
            "explain": explain,
        }
        return self._send(_Call.classify(adapter, texts, options), ClassifyResponse).results

    def classify_rows(
        self, rows: Sequence[Mapping[str, Any]], *, top_k: int | None = None
    ) -> list[RowOut]:
        """Rows `{"adapter", "text", "language"?, "truncate"?, "threshold"?, ...}`, adapters mixed
        as you like."""
        return self._send(_Call.rows(rows, top_k), ClassifyResponse).results

    def translate(
        self,
        texts: Sequence[str],
        target: str,
        *,
        source: str | None = None,
        adapter: str | None = None,
        beam: int | None = None,
        n_best: int | None = None,
    ) -> list[RowOut]:
        """Translations in order (`result.translation`). Without `source` each text's language is
        detected."""
        options = {"source": source, "adapter": adapter, "beam": beam, "n_best": n_best}
        return self._send(_Call.translate(texts, target, options), ClassifyResponse).results

    def batch(self, rows: Sequence[Mapping[str, Any]], *, top_k: int | None = None) -> list[RowOut]:
        """Rows of any task, each with its own adapter: `{"adapter", "text", "target"?, "beam"?,
        ...}`."""
        return self._send(_Call.batch(rows, top_k), ClassifyResponse).results

    def adapters(self) -> AdaptersResponse:
        return self._send({"method": "GET", "url": "/v1/adapters"}, AdaptersResponse)

    def add(self, folder: str | Path) -> AdapterOut:
        """Upload an adapter folder and serve it."""
        return self._send(self._call.add(Path(folder)), AdapterOut)

    def remove(self, name: str, *, purge: bool = False) -> AdapterOut:
        return self._send(self._call.remove(name, purge), AdapterOut)

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

    def _send(self, request: dict[str, Any], model: type[Model]) -> Model:
        try:
            response = self._http.request(**request)
        except httpx.TransportError as error:
            raise self._call.unreachable(error) from error
        return self._call.read(response, model)


class AsyncClient:
    """The same, for asyncio."""

    def __init__(
        self, url: str = DEFAULT_URL, *, key: str | None = None, timeout: float = 60
    ) -> None:
        self._call = _Call(url, key, timeout)
        self._http = httpx.AsyncClient(**self._call.options)

    async def classify(
        self,
        adapter: str | Sequence[str],
        texts: Sequence[str],
        *,
        language: str | None = None,
        top_k: int | None = None,
        truncate: bool | None = None,
        threshold: float | None = None,
        explain: bool | None = None,
    ) -> list[RowOut]:
        """One result a text, in order; with `explain` (16 texts at most) each says why
        (`result.explanation`)."""
        options = {
            "language": language,
            "top_k": top_k,
            "truncate": truncate,
            "threshold": threshold,
            "explain": explain,
        }
        return (await self._send(_Call.classify(adapter, texts, options), ClassifyResponse)).results

    async def classify_rows(
        self, rows: Sequence[Mapping[str, Any]], *, top_k: int | None = None
    ) -> list[RowOut]:
        """Rows `{"adapter", "text", "language"?, "truncate"?, "threshold"?, ...}`, adapters mixed
        as you like."""
        return (await self._send(_Call.rows(rows, top_k), ClassifyResponse)).results

    async def translate(
        self,
        texts: Sequence[str],
        target: str,
        *,
        source: str | None = None,
        adapter: str | None = None,
        beam: int | None = None,
        n_best: int | None = None,
    ) -> list[RowOut]:
        """Translations in order (`result.translation`). Without `source` each text's language is
        detected."""
        options = {"source": source, "adapter": adapter, "beam": beam, "n_best": n_best}
        return (await self._send(_Call.translate(texts, target, options), ClassifyResponse)).results

    async def batch(
        self, rows: Sequence[Mapping[str, Any]], *, top_k: int | None = None
    ) -> list[RowOut]:
        """Rows of any task, each with its own adapter: `{"adapter", "text", "target"?, "beam"?,
        ...}`."""
        return (await self._send(_Call.batch(rows, top_k), ClassifyResponse)).results

    async def adapters(self) -> AdaptersResponse:
        return await self._send({"method": "GET", "url": "/v1/adapters"}, AdaptersResponse)

    async def add(self, folder: str | Path) -> AdapterOut:
        """Upload an adapter folder and serve it."""
        return await self._send(self._call.add(Path(folder)), AdapterOut)

    async def remove(self, name: str, *, purge: bool = False) -> AdapterOut:
        return await self._send(self._call.remove(name, purge), AdapterOut)

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

    async def _send(self, request: dict[str, Any], model: type[Model]) -> Model:
        try:
            response = await self._http.request(**request)
        except httpx.TransportError as error:
            raise self._call.unreachable(error) from error
        return self._call.read(response, model)
