"""The Open Inference Protocol (v2) over HTTP, as KServe and Triton speak it, with versions and the
binary extension: `/v2/models/{adapter}[/versions/{version}]`.

The input is one tensor of texts, `text`. A request's `parameters` are a row's options: `language`,
`target`, `dimensions`, `truncate`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response

from polygraft import __version__
from polygraft.adapters.format import Manifest
from polygraft.errors import InvalidOption, InvalidRow, UnknownAdapter
from polygraft.runtime.rows import Answer
from polygraft.serve.asked import Asked, answers, manifest_of
from polygraft.serve.host import Host
from polygraft.serve.schemas.failures import FAILURES
from polygraft.serve.tensors import Tensor, answer_of, split_body, texts_of
from polygraft.tasks.classification.serving import Classified
from polygraft.tasks.embedding.serving import Embedded, together
from polygraft.tasks.translation.serving import Translated

PREFIX = "/v2"
HEADER = "Inference-Header-Content-Length"
OPTIONS = {"language", "target", "dimensions", "truncate", "head", "threshold"}
SPOKEN = {"binary_data_output", "priority", "timeout", "sequence_id"}
OUTPUTS = {
    "classification": [("label", "BYTES", [-1]), ("score", "FP32", [-1])],
    "embedding": [("embedding", "FP32", [-1, -1])],
    "translation": [("translation", "BYTES", [-1]), ("score", "FP32", [-1])],
}
"""Names, datatypes and shapes of what each task answers."""


def router(host: Callable[[], Host]) -> APIRouter:
    routes = APIRouter(prefix=PREFIX, tags=["Open Inference Protocol"], responses=FAILURES)

    @routes.get("")
    async def server() -> dict[str, Any]:
        """Name, version and extensions."""
        return {
            "name": "polygraft",
            "version": __version__,
            "extensions": ["binary_tensor_data", "model_repository"],
        }

    @routes.get("/health/live")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @routes.get("/health/ready")
    async def ready() -> dict[str, bool]:
        return {"ready": host() is not None}

    @routes.post("/repository/index")
    async def index() -> list[dict[str, str]]:
        """Every adapter, and why those that were refused are not served."""
        served = [
            {"name": m.name, "version": m.version, "state": "READY", "reason": ""}
            for m in host().manifests()
        ]
        return served + [
            {"name": name, "version": "", "state": "UNAVAILABLE", "reason": str(error)}
            for name, error in host().refused.items()
        ]

    async def metadata(name: str, version: str | None = None) -> dict[str, Any]:
        """Inputs and outputs of an adapter."""
        manifest = _found(host(), name, version)
        return {
            "name": manifest.name,
            "versions": [manifest.version],
            "platform": "polygraft",
            "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
            "outputs": [
                {"name": output, "datatype": datatype, "shape": shape}
                for output, datatype, shape in OUTPUTS.get(manifest.task, [])
            ],
        }

    async def model_ready(name: str, version: str | None = None) -> dict[str, Any]:
        """Whether it is served."""
        return {"name": _found(host(), name, version).name, "ready": True}

    async def infer(request: Request, name: str, version: str | None = None) -> Response:
        """Answers texts."""
        body, binary = split_body(await request.body(), request.headers.get(HEADER))
        manifest = _found(host(), name, version)
        texts, asked = texts_of(body, binary), _options(body)
        tensors = _tensors(manifest, await answers(host(), Asked(name, texts, "text", asked, 1)))
        chosen, packed = _wanted(body, [tensor.name for tensor in tensors])
        described = {"model_name": manifest.name, "model_version": manifest.version}
        if isinstance(body.get("id"), str):
            described["id"] = body["id"]
        content, length = answer_of(described, [t for t in tensors if t.name in chosen], packed)
        headers = {HEADER: str(length)} if length is not None else {}
        kind = "application/octet-stream" if length is not None else "application/json"
        return Response(content, headers=headers, media_type=kind)

    for path in ("/models/{name}", "/models/{name}/versions/{version}"):
        routes.get(path)(metadata)
        routes.get(f"{path}/ready")(model_ready)
        routes.post(f"{path}/infer")(infer)
    return routes


def _found(host: Host, name: str, version: str | None) -> Manifest:
    """Raises `UnknownAdapter`."""
    manifest = manifest_of(host, name)
    if version not in (None, "", manifest.version):
        raise UnknownAdapter(f"{name}@{version}", [manifest.named])
    return manifest


def _options(body: dict[str, Any]) -> dict[str, Any]:
    """A row's options in a request's parameters. Raises `InvalidOption` for one that there is
    not."""
    given = body.get("parameters") or {}
    if not isinstance(given, dict):
        raise InvalidRow("parameters is an object: {}")
    if unknown := sorted(given.keys() - OPTIONS - SPOKEN):
        raise InvalidOption(
            f"there is no parameter {unknown[0]!r}; there are {', '.join(sorted(OPTIONS))}"
        )
    return {name: value for name, value in given.items() if name in OPTIONS}


def _wanted(body: dict[str, Any], names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The outputs that are asked for, and which of them as bytes. Raises `InvalidOption`."""
    parameters = body.get("parameters") or {}
    outputs = body.get("outputs")
    if not outputs:
        return list(names), list(names) if parameters.get("binary_data_output") else []
    if not isinstance(outputs, list) or not all(isinstance(one, dict) for one in outputs):
        raise InvalidRow('outputs is a list of {"name": "..."}')
    chosen = [str(one.get("name")) for one in outputs]
    if unknown := [name for name in chosen if name not in names]:
        raise InvalidOption(f"there is no output {unknown[0]!r}; there are {', '.join(names)}")
    packed = [
        name
        for name, one in zip(chosen, outputs, strict=True)
        if isinstance(one.get("parameters"), dict) and one["parameters"].get("binary_data")
    ]
    return chosen, packed


def _tensors(manifest: Manifest, given: Sequence[Answer]) -> list[Tensor]:
    """Raises `InvalidOption` for an adapter whose answers are no tensors."""
    if embedded := [one for one in given if isinstance(one, Embedded)]:
        return [Tensor("embedding", together(embedded))]
    if labelled := [one for one in given if isinstance(one, Classified)]:
        scores = np.array([one.score for one in labelled], np.float32)
        return [Tensor("label", [one.label for one in labelled]), Tensor("score", scores)]
    if written := [one for one in given if isinstance(one, Translated)]:
        scores = np.array([one.scores[0] for one in written], np.float32)
        return [Tensor("translation", [one.text for one in written]), Tensor("score", scores)]
    raise InvalidOption(
        f"adapter {manifest.name!r} is for {manifest.task}, whose answers are no tensors; send the "
        "rows to /v1/batch"
    )
