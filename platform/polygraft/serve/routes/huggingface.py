"""Hugging Face's APIs, one base address an adapter, `/hf/{adapter}`: what `InferenceClient` sends,
and the routes of Text Embeddings Inference.

    POST /hf/{adapter}             InferenceClient: text_classification, token_classification,
                                   translation, feature_extraction, sentence_similarity
    POST /hf/{adapter}/embed       TEI
    POST /hf/{adapter}/predict     TEI
    POST /hf/{adapter}/similarity  TEI
    GET  /hf/{adapter}/info        TEI

Pairs of texts for a cross-encoder, prompts, and raw logits are refused: no adapter has them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from polygraft.adapters.format import Manifest
from polygraft.errors import InvalidOption, InvalidRow
from polygraft.runtime.rows import Answer
from polygraft.serve.asked import Asked, answers, manifest_of
from polygraft.serve.bodies import json_object
from polygraft.serve.failures import SafeJSONResponse
from polygraft.serve.host import Host
from polygraft.serve.schemas.failures import FAILURES
from polygraft.tasks.classification.serving import Classified
from polygraft.tasks.embedding.serving import Embedded, cosines, together
from polygraft.tasks.tagging.serving import Tagged
from polygraft.tasks.translation.serving import Translated

Body = dict[str, Any]
PATH = "/hf/{adapter}"
IGNORED = {"clean_up_tokenization_spaces", "truncation_direction"}
"""Options that say how other tokenizers work; whatever they are, the answer is the same."""


def router(host: Callable[[], Host]) -> APIRouter:
    routes = APIRouter(tags=["Hugging Face"], responses=FAILURES)

    @routes.post(PATH)
    async def infer(adapter: str, request: Request) -> JSONResponse:
        """`{"inputs", "parameters"?}`, answered as the adapter's task does."""
        body = await json_object(request)
        return SafeJSONResponse(await _infer(host(), manifest_of(host(), adapter), body))

    @routes.post(f"{PATH}/embed")
    async def embed(adapter: str, request: Request) -> JSONResponse:
        """`{"inputs", "normalize"?, "truncate"?, "dimensions"?}` -> `[[number]]`."""
        body = await json_object(request)
        _require(manifest_of(host(), adapter), "embedding")
        return SafeJSONResponse(await _vectors(host(), adapter, body, nested=True))

    @routes.post(f"{PATH}/predict")
    async def predict(adapter: str, request: Request) -> JSONResponse:
        """`{"inputs", "truncate"?}` -> `[{"label", "score"}]`, nested for a list."""
        body = await json_object(request)
        _require(manifest_of(host(), adapter), "classification")
        _only(body, {"inputs", "truncate", "raw_scores"})
        if body.get("raw_scores"):
            raise InvalidOption("raw_scores are not given; leave it out for probabilities")
        inputs = body.get("inputs")
        texts = [_one(text) for text in inputs] if isinstance(inputs, list) else [inputs]
        labelled = await _labels(host(), adapter, texts, body.get("truncate", False))
        return SafeJSONResponse(labelled if isinstance(inputs, list) else labelled[0])

    @routes.post(f"{PATH}/similarity")
    async def similarity(adapter: str, request: Request) -> JSONResponse:
        """`{"inputs": {"source_sentence", "sentences"}}` -> `[number]`."""
        body = await json_object(request)
        _require(manifest_of(host(), adapter), "embedding")
        _only(body, {"inputs", "parameters"})
        return SafeJSONResponse(await _similarity(host(), adapter, body.get("inputs")))

    @routes.get(f"{PATH}/info")
    async def info(adapter: str) -> dict[str, Any]:
        """What a client of TEI asks first."""
        manifest, encoder = manifest_of(host(), adapter), host().engine.encoder
        kind = {"embedding": {"pooling": "mean"}}.get(manifest.task, {})
        return {
            "model_id": manifest.name,
            "model_sha": manifest.version,
            "model_dtype": "int8",
            "model_type": {manifest.task: kind},
            "max_input_length": encoder.max_length,
            "max_client_batch_size": host().settings.max_rows,
        }

    return routes


async def _infer(host: Host, manifest: Manifest, body: Body) -> Any:
    inputs, task = body.get("inputs"), manifest.task
    if task == "embedding" and isinstance(inputs, dict):
        return await _similarity(host, manifest.name, inputs)
    if task == "embedding":
        return await _vectors(host, manifest.name, body, nested=isinstance(inputs, list))
    _only(body, {"inputs", "parameters"})
    options = {k: v for k, v in _parameters(body).items() if v is not None and k not in IGNORED}
    texts = inputs if isinstance(inputs, list) else [inputs]
    if task == "classification":
        _only(options, {"top_k", "function_to_apply"})
        if options.get("function_to_apply", "softmax") != "softmax":
            raise InvalidOption("function_to_apply: only softmax is given; leave it out")
        return await _labels(host, manifest.name, texts, False, _count(options.get("top_k")))
    if task == "translation":
        _only(options, {"src_lang", "tgt_lang"})
        languages = {"language": options.get("src_lang"), "target": options.get("tgt_lang")}
        asked = Asked(manifest.name, texts, "inputs", languages)
        written = await answers(host, asked)
        return [{"translation_text": one.text} for one in written if isinstance(one, Translated)]
    if task == "tagging":
        groups = await _groups(host, manifest.name, texts, options)
        return groups if isinstance(inputs, list) else groups[0]
    raise InvalidOption(f"adapter {manifest.name!r} is for {task}, which this API cannot answer")


async def _groups(host: Host, adapter: str, texts: list[Any], options: Body) -> list[list[Body]]:
    """The spans of each text, or its words with their tags."""
    _only(options, {"aggregation_strategy", "ignore_labels"})
    if options.get("aggregation_strategy") == "none":
        raise InvalidOption("aggregation_strategy: words are put together; leave it out")
    ignored = options.get("ignore_labels") or []
    if not isinstance(ignored, list):
        raise InvalidOption('ignore_labels is a list of labels: ["O"]')
    return [
        [
            {
                "entity_group": tag.label,
                "score": tag.score,
                "word": tag.text,
                "start": tag.start,
                "end": tag.end,
            }
            for tag in one.tags
            if tag.label not in ignored
        ]
        for one in await answers(host, Asked(adapter, texts, "inputs"))
        if isinstance(one, Tagged)
    ]


async def _labels(
    host: Host, adapter: str, texts: list[Any], truncate: Any, top_k: int | None = None
) -> list[list[Body]]:
    asked = Asked(adapter, texts, "inputs", {"truncate": truncate}, top_k)
    return [
        [{"label": label.label, "score": label.score} for label in one.labels]
        for one in await answers(host, asked)
        if isinstance(one, Classified)
    ]


async def _vectors(host: Host, adapter: str, body: Body, *, nested: bool) -> Any:
    """A list of vectors, of one text too where it is to be `nested`."""
    _only(body, {"inputs", "normalize", "truncate", "dimensions", "parameters"} | IGNORED)
    if body.get("normalize") is False:
        raise InvalidOption("normalize: vectors have length 1; leave it out, or send true")
    inputs = body.get("inputs")
    texts = inputs if isinstance(inputs, list) else [inputs]
    options = {
        name: body[name] for name in ("truncate", "dimensions") if body.get(name) is not None
    }
    vectors = [
        one.fields()["embedding"]
        for one in await answers(host, Asked(adapter, texts, "inputs", options))
    ]
    return vectors if nested else vectors[0]


async def _similarity(host: Host, adapter: str, inputs: Any) -> list[float]:
    if not isinstance(inputs, dict) or not isinstance(inputs.get("sentences"), list):
        raise InvalidRow('inputs is {"source_sentence": "...", "sentences": ["...", ...]}')
    texts = [inputs.get("source_sentence"), *inputs["sentences"]]
    if len(texts) < 2:
        raise InvalidRow("inputs.sentences is empty; send what the sentence is compared with")
    found: list[Answer] = await answers(host, Asked(adapter, texts, "inputs"))
    vectors = together([one for one in found if isinstance(one, Embedded)])
    likeness: list[float] = cosines(vectors[:1], vectors[1:])[0].round(6).tolist()
    return likeness


def _require(manifest: Manifest, task: str) -> None:
    """Raises `InvalidOption` for an adapter of another task."""
    if manifest.task != task:
        raise InvalidOption(
            f"adapter {manifest.name!r} is for {manifest.task}; this route is for {task}"
        )


def _only(given: Mapping[str, Any], known: set[str]) -> None:
    """Raises `InvalidOption` that names the first option that is not known."""
    if unknown := sorted(given.keys() - known):
        raise InvalidOption(
            f"there is no option {unknown[0]!r} here; there are {', '.join(sorted(known))}"
        )


def _parameters(body: Body) -> Body:
    given = body.get("parameters") or {}
    if not isinstance(given, dict):
        raise InvalidRow("parameters is an object: {}")
    return given


def _one(text: Any) -> Any:
    """TEI's clients send a text of a list as a list of one. Raises `InvalidRow` for a pair."""
    if isinstance(text, list):
        if len(text) != 1:
            raise InvalidRow("inputs holds a pair of texts; no adapter reads pairs: send one text")
        return text[0]
    return text


def _count(top_k: Any) -> int | None:
    if top_k is not None and (not isinstance(top_k, int) or isinstance(top_k, bool) or top_k < 1):
        raise InvalidOption("top_k is a whole number from 1 on; leave it out for all labels")
    return top_k
