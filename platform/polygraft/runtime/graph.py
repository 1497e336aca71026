"""The exported graph: `graph.json`, and the ONNX Runtime session that runs it.

Graph inputs: `input_ids`, `attention_mask`, `token_type_ids` int64 [rows, seq]; `slots` int64 and
`weights` float32 [rows, k], the slots whose ranks a row puts side by side and what each counts; for
each site `<site>.B` float32 [slots, rank, out]; and for each set of k sites that read the same
tensor (query and value of a layer) one `<first site>.A` [slots, in, k * rank], their A side by
side. When only some sites are core, also `all_sites`, bool: false leaves the others out. Outputs:
`pooled` [rows, hidden], the mean of the unmasked token states, and `states` [rows, seq, hidden].
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from polygraft.architectures.folder import BackboneFiles
from polygraft.errors import BackboneError

Floats = NDArray[np.float32]


class Site(BaseModel):
    """A linear layer that can carry LoRA: x [.., inputs] -> [.., outputs].

    `core` sites are computed for every batch, the others only for batches with an adapter that uses
    one. `reads` names the first site of the same kind (core or not) with the same input tensor:
    itself when there is none before it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    inputs: int
    outputs: int
    reads: str
    core: bool = True


def groups(sites: Iterable[Site]) -> dict[str, list[Site]]:
    """The sites that share an A, in order, by the name of the first."""
    members: dict[str, list[Site]] = {}
    for site in sites:
        members.setdefault(site.reads, []).append(site)
    return members


Stack = Sequence[tuple[int, float]]
"""The slots that a row uses, and the weight of each."""
Batch = Mapping[str, NDArray[Any]]


def mixture(stacks: Sequence[Stack]) -> dict[str, NDArray[Any]]:
    """The graph's inputs for rows that each use some slots, with a weight each. Shorter stacks are
    filled up with slot 0."""
    shape = len(stacks), max(1, *map(len, stacks))
    slots, weights = np.zeros(shape, np.int64), np.zeros(shape, np.float32)
    for i, stack in enumerate(stacks):
        for j, (slot, weight) in enumerate(stack):
            slots[i, j], weights[i, j] = slot, weight
    return {"slots": slots, "weights": weights}


class Feeds(Protocol):
    """What gives the graph its bank inputs (see `bank`): arrays that stay where they are, and what
    a batch adds."""

    @property
    def values(self) -> Mapping[str, ort.OrtValue]: ...

    def feeds(self, slots: NDArray[np.int64]) -> dict[str, ort.OrtValue]: ...


class DecoderCard(BaseModel):
    """The decoder's two graphs (see `export.decoder`): its size, and the sites of both."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    layers: int
    heads: int
    head_size: int
    positions: int
    sites: list[Site]

    def cache(self, prefix: str) -> list[str]:
        """Names of the key and value arrays, layer by layer."""
        return [f"{prefix}{part}_{i}" for i in range(self.layers) for part in ("key", "value")]


class GraphCard(BaseModel):
    """`onnx/graph.json`: what the ONNX files beside it take, and which backbone they came from."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: Literal[4] = 4
    backbone: str
    hidden: int
    sites: list[Site]
    decoder: DecoderCard | None = None
    drift: dict[str, float]
    exported_with: dict[str, str]


def load_card(backbone: Path) -> GraphCard:
    """Read `graph.json`. Raises `BackboneError` when the backbone was never exported or the file is
    broken."""
    files = BackboneFiles(backbone)
    files.require(files.graph, files.tokenizer, files.config)
    try:
        return GraphCard.model_validate_json(files.graph.read_bytes())
    except ValidationError as error:
        raise BackboneError(
            f"{files.graph} is not readable ({error.error_count()} problems); export again"
        ) from None


# ONNX Runtime 1.31 computes its fused SkipLayerNormalization value by value: 1.35 ms for [16, 28,
# 384] on one core, against 0.32 ms for Add and LayerNormalization. Left unfused, the bare int8
# graph takes 51 ms instead of 64.
SLOWER_FUSED = ["SkipLayerNormFusion"]


def value(array: NDArray[np.generic]) -> ort.OrtValue:
    """The array for a graph, where it lies; copied only when it is not contiguous."""
    return ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array))


def open_session(model: Path) -> ort.InferenceSession:
    """A session that runs each call on the core that makes it."""
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = 1
    settings.log_severity_level = 3
    return ort.InferenceSession(
        str(model), settings, providers=["CPUExecutionProvider"], disabled_optimizers=SLOWER_FUSED
    )


class GraphSession:
    """One ONNX Runtime session. Any thread may call it, and each call is computed by the core that
    makes it: many calls at once keep a machine busier than operators shared out among its cores
    (see `scheduler`)."""

    def __init__(self, model: Path) -> None:
        self._session = open_session(model)
        self.inputs = {i.name for i in self._session.get_inputs()}
        self._of_thread = threading.local()

    def run(self, batch: Batch, bank: Feeds | None = None) -> Floats:
        """Run one batch against the bank that its `slots` point into; returns the pooled vectors
        [rows, hidden]."""
        (pooled,) = self._run(batch, bank, ["pooled"])
        return pooled

    def run_both(self, batch: Batch, bank: Feeds | None = None) -> tuple[Floats, list[Floats]]:
        """Pooled vectors [rows, hidden] and each row's token states [its tokens, hidden]."""
        pooled, states = self._run(batch, bank, ["pooled", "states"])
        lengths = batch["attention_mask"].sum(axis=1)
        return pooled, [row[:length] for row, length in zip(states, lengths, strict=True)]

    def _run(self, batch: Batch, bank: Feeds | None, outputs: list[str]) -> tuple[Floats, ...]:
        binding = self._bound(bank)
        feeds = {name: value(array) for name, array in batch.items()}
        if bank:
            feeds |= bank.feeds(batch["slots"])
        for name, fed in feeds.items():
            if name in self.inputs:
                binding.bind_ortvalue_input(name, fed)
        binding.clear_binding_outputs()
        for output in outputs:
            binding.bind_output(output)
        self._session.run_with_iobinding(binding)
        return tuple(output.numpy() for output in binding.get_outputs())

    def _bound(self, bank: Feeds | None) -> ort.IOBinding:
        """The calling thread's binding, with the arrays of `bank` bound once: handing them over at
        each call took 0.07 ms, of 0.6 for eight tokens."""
        bound, binding = getattr(self._of_thread, "bound", (None, None))
        if binding is None or bound is not bank:
            binding = self._session.io_binding()
            for name, array in bank.values.items() if bank else ():
                if name in self.inputs:
                    binding.bind_ortvalue_input(name, array)
            self._of_thread.bound = bank, binding
        return binding
