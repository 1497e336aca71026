"""The exported graph: `graph.json`, and the ONNX Runtime session that runs it.

Graph inputs: `input_ids`, `attention_mask`, `token_type_ids` int64 [rows, seq]; `slots` int64 [rows]; and for each site
`<site>.A` float32 [slots, in, rank] and `<site>.B` [slots, rank, out]. Outputs: `pooled` [rows, hidden], the mean of the
unmasked token states, and `states` [rows, seq, hidden].
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from polygraft.backbone import BackboneFiles
from polygraft.errors import BackboneError


class Site(BaseModel):
    """A linear layer that can carry LoRA: x [.., inputs] -> [.., outputs]."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    inputs: int
    outputs: int


class GraphCard(BaseModel):
    """`onnx/graph.json`: what the ONNX files beside it take, and which backbone they came from."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: int = 1
    backbone: str
    hidden: int
    sites: list[Site]
    drift: dict[str, float]
    exported_with: dict[str, str]


def load_card(backbone: Path) -> GraphCard:
    """Read `graph.json`. Raises `BackboneError` when the backbone was never exported or the file is broken."""
    files = BackboneFiles(backbone)
    files.require(files.graph, files.tokenizer, files.config)
    try:
        return GraphCard.model_validate_json(files.graph.read_bytes())
    except ValidationError as error:
        raise BackboneError(f"{files.graph} is not readable ({error.error_count()} problems); export again") from None


class GraphSession:
    """One ONNX Runtime session, run by `threads` threads (0: one a core). Any thread may call `run`.

    A batch is cut into one part a thread and each part runs on a single core, instead of every operator being shared
    out. Measured on 2 cores, rows per second with 16 adapters mixed, shared-out operators against parts: batch 32, 382
    against 445; batch 8, 231 against 306; batch 1, 142 against 131. (Shared out and spinning between operators was
    slower still: 26 ms instead of 11 ms for 4 short rows.)
    """

    def __init__(self, model: Path, threads: int = 0) -> None:
        settings = ort.SessionOptions()
        settings.intra_op_num_threads = 1
        settings.log_severity_level = 3
        self._session = ort.InferenceSession(str(model), settings, providers=["CPUExecutionProvider"])
        self.inputs = {i.name for i in self._session.get_inputs()}
        self.threads = threads or os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="polygraft-graph")

    def run(
        self, batch: Mapping[str, NDArray[np.int64]], bank: Mapping[str, ort.OrtValue], output: str = "pooled"
    ) -> NDArray[np.float32]:
        """Run one batch (with `slots` in it) against the bank's arrays; returns the named output."""
        rows = len(batch["input_ids"])
        size = -(-rows // self.threads)
        parts = [{n: a[start : start + size] for n, a in batch.items()} for start in range(0, rows, size)]
        if len(parts) == 1:
            return self._run_part(parts[0], bank, output)
        done = self._pool.map(lambda part: self._run_part(part, bank, output), parts)
        return np.concatenate(list(done))

    def _run_part(
        self, part: Mapping[str, NDArray[np.int64]], bank: Mapping[str, ort.OrtValue], output: str
    ) -> NDArray[np.float32]:
        longest = part["attention_mask"].sum(axis=1).max() if output == "pooled" else None
        feeds = {
            name: ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(a[:, :longest] if a.ndim == 2 else a))
            for name, a in part.items()
            if name in self.inputs
        }
        result: NDArray[np.float32] = self._session.run_with_ort_values([output], feeds | dict(bank))[0].numpy()
        return result
