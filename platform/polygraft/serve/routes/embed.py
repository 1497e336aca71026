"""`POST /v1/embed` and `POST /v1/similarity`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from fastapi import APIRouter

from polygraft.errors import InvalidRow, PolygraftError
from polygraft.serve.answers import answer, raise_if_whole, results
from polygraft.serve.host import Host
from polygraft.serve.limits import check_count
from polygraft.serve.own_routes import EMBED, belonging
from polygraft.serve.rows import read_each, texts_of
from polygraft.serve.schemas.embed import EmbedRequest, SimilarityRequest, SimilarityResponse
from polygraft.serve.schemas.row import ClassifyResponse
from polygraft.tasks.embedding.serving import Embedded, cosines, together

DIGITS = 6


def router(host: Callable[[], Host]) -> APIRouter:
    routes = APIRouter(tags=["inference"])

    @routes.post(EMBED, response_model_exclude_none=True)
    async def embed(request: EmbedRequest) -> ClassifyResponse:
        """Vectors of texts. `results[i].embedding` is the i-th text's."""
        texts = texts_of(request)
        check_count(host().settings, len(texts))
        who = {"stack": request.stack} if request.stack else {"adapter": _named(host(), request)}
        common = who | {
            "dimensions": request.dimensions,
            "encoding": request.encoding,
            "truncate": request.truncate,
            "key": _key(request.key, texts),
        }
        read = read_each([common | {"text": text} for text in texts])
        rows = belonging(read, EMBED, host().manifests())
        answers = await answer(host(), rows)
        raise_if_whole(answers, one_text=request.texts is None)
        return ClassifyResponse(results=results(rows, answers))

    @routes.post("/v1/similarity")
    async def similarity(request: SimilarityRequest) -> SimilarityResponse:
        """How near each of `texts` is to each of `against`, or to each other: cosines."""
        sides = {"texts": request.texts, "against": request.against or []}
        texts = [(side, place, text) for side in sides for place, text in enumerate(sides[side])]
        check_count(host().settings, len(texts))
        common = {
            "adapter": _named(host(), request),
            "dimensions": request.dimensions,
            "truncate": request.truncate,
            "key": _key(request.key, request.texts),
        }
        rows = read_each([common | {"text": text} for _, _, text in texts])
        answers = await answer(host(), belonging(rows, EMBED, host().manifests()))
        raise_if_whole(answers, one_text=False)
        embedded = list[Embedded]()
        for (side, place, _), one in zip(texts, answers, strict=True):
            if isinstance(one, InvalidRow):
                raise one.at(f"{side}.{place}")
            if isinstance(one, PolygraftError):
                raise one
            assert isinstance(one, Embedded)
            embedded.append(one)
        vectors = together(embedded)
        ours, theirs = vectors[: len(request.texts)], vectors[len(request.texts) :]
        return SimilarityResponse(
            adapter=embedded[0].adapter,
            version=embedded[0].version,
            similarity=cosines(ours, theirs if request.against else ours).round(DIGITS).tolist(),
        )

    return routes


def _named(host: Host, request: EmbedRequest | SimilarityRequest) -> str:
    return request.adapter or host.settings.embedder


def _key(given: str | None, texts: Sequence[Any]) -> str:
    """One for all texts of a request: vectors of several versions cannot be compared."""
    return given or hashlib.sha256(repr(texts[:1]).encode()).hexdigest()
