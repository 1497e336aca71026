"""The other servers of `http_peers`. `python peers.py PORT` starts the one that the variable PEER
names, with the int8 graph without sites in the file PEER_BARE."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import bentoml
import numpy as np
import uvicorn
from fastapi import FastAPI, Request
from safetensors.numpy import load_file

from polygraft.adapters.format import LAYOUT, load_manifest
from polygraft.adapters.library import BUNDLED
from polygraft.architectures.folder import default_backbone
from polygraft.architectures.text import load_encoder
from polygraft.runtime.graph import GraphSession

KINDS = ("merged", "peft", "bentoml")
ADAPTERS = ("spam-en", "spam-sw", "topic", "spam-es")
CORES = os.cpu_count() or 1
Rows = Sequence[dict[str, str]]


def export_bare(backbone: Path, folder: Path) -> Path:
    """The int8 graph without sites."""
    from polygraft.architectures.loading import load_backbone
    from polygraft.architectures.registry import family_of
    from polygraft.export.calibrate import calibrate_encoder
    from polygraft.export.graph import ENCODER, to_onnx
    from polygraft.export.quantise import to_int8

    body, bare = load_backbone(backbone), folder / "bare.onnx"
    spreads = calibrate_encoder(body, backbone, ENCODER)
    to_onnx(body, family_of(backbone), [], folder / "full.onnx")
    to_int8(folder / "full.onnx", bare, spreads)
    return bare


class Heads:
    """What turns a vector into an adapter's likeliest label."""

    def __init__(self) -> None:
        self.labels = {name: load_manifest(BUNDLED / name).labels for name in ADAPTERS}
        self.tensors = {name: load_file(BUNDLED / name / LAYOUT.head) for name in ADAPTERS}

    def label(self, adapter: str, vector: np.ndarray) -> str:
        head = self.tensors[adapter]
        return str(self.labels[adapter][int((head["weight"] @ vector + head["bias"]).argmax())])


class Merged:
    """A session an adapter."""

    def __init__(self) -> None:
        self.heads, self.encoder = Heads(), load_encoder(default_backbone())
        bare = Path(os.environ["PEER_BARE"])
        self.sessions = {name: GraphSession(bare) for name in ADAPTERS}
        self.pool = ThreadPoolExecutor(CORES)

    def __call__(self, rows: Rows) -> list[str]:
        encoded = self.encoder.encode([row["text"] for row in rows])
        labels = [""] * len(rows)

        def of_one(adapter: str) -> None:
            places = [i for i, row in enumerate(rows) if row["adapter"] == adapter]
            vectors = self.sessions[adapter].run(self.encoder.pad([encoded[i] for i in places]))
            for place, vector in zip(places, vectors, strict=True):
                labels[place] = self.heads.label(adapter, vector)

        list(self.pool.map(of_one, {row["adapter"] for row in rows}))
        return labels


class Peft:
    """PEFT's mixed batch."""

    def __init__(self) -> None:
        import peft
        import torch

        from polygraft.architectures.loading import load_backbone
        from polygraft.training.vectors import pool

        torch.set_num_threads(CORES)
        self.heads, self.encoder = Heads(), load_encoder(default_backbone())
        first, *others = ADAPTERS
        model = peft.PeftModel.from_pretrained(
            load_backbone(default_backbone()), BUNDLED / first, adapter_name=first
        )
        for name in others:
            model.load_adapter(BUNDLED / name, adapter_name=name)
        self.model, self.torch, self.pooled = model.eval(), torch, pool

    def __call__(self, rows: Rows) -> list[str]:
        batch = self.encoder.pad(self.encoder.encode([row["text"] for row in rows]))
        inputs = {name: self.torch.from_numpy(array) for name, array in batch.items()}
        adapters = [row["adapter"] for row in rows]
        with self.torch.inference_mode():
            states = self.model(**inputs, adapter_names=adapters).last_hidden_state
            vectors = self.pooled(states, inputs["attention_mask"]).numpy()
        return [self.heads.label(a, v) for a, v in zip(adapters, vectors, strict=True)]


def _app(answer: Any) -> FastAPI:
    made, pool = FastAPI(), ThreadPoolExecutor(CORES)

    @made.get("/readyz")
    async def ready() -> None:
        return None

    @made.post("/rows")
    async def rows(request: Request) -> list[str]:
        asked = json.loads(await request.body())["rows"]
        labels: list[str] = await asyncio.get_running_loop().run_in_executor(pool, answer, asked)
        return labels

    return made


_KIND = os.environ.get("PEER")
if _KIND in ("merged", "peft"):
    app = _app(Merged() if _KIND == "merged" else Peft())
elif _KIND == "bentoml":

    @bentoml.service(workers=1)
    class Batched:
        """Rows of all requests in BentoML's batches."""

        def __init__(self) -> None:
            self.merged = Merged()

        @bentoml.api(batchable=True, max_batch_size=64, max_latency_ms=60_000, route="/rows")
        def rows(self, rows: list[dict[str, str]]) -> list[str]:
            return self.merged(rows)


def main() -> None:
    port = sys.argv[1]
    if _KIND == "bentoml":
        command = [sys.executable, "-m", "bentoml", "serve", "peers:Batched", "--port", port]
        os.execv(sys.executable, command)
    uvicorn.run(app, port=int(port), access_log=False)


if __name__ == "__main__":
    main()
