"""PyTorch backbone -> one ONNX graph in which each site computes x·W +
weights·(x·A[slots])·B[slots], over a row's slots.

`torch.onnx.export(dynamo=True)` at opset 23, whose Attention operator ONNX Runtime runs fused on
CPU (measured, int8, 32 rows of 28 tokens: 149 ms against 167 ms with opset 18's separate
operators). Sites that read the same tensor each state the whole product with their common A and
take their columns; the exporter merges equal nodes.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.export import Dim
from transformers import PreTrainedModel

from polygraft.architectures.family import Family
from polygraft.export.hooks import Place, Update, describe, products, updated
from polygraft.runtime.graph import Site, groups
from polygraft.training.vectors import pool

OPSET = 23
EXAMPLE_RANK, EXAMPLE_ROWS = 4, 3
Banks = Mapping[str, torch.Tensor]
ENCODER = "model."  # before the names of the encoder's weights in the graph


class Encoder(nn.Module):
    """The graph's signature: the family's `inputs`; where there are sites, slots int64 and weights
    float32 [rows, k], and then the banks by `names`. A [slots, in, members * rank] is shared by the
    sites that read the same tensor, of whose columns each takes its own; B is [slots, rank, out].
    """

    def __init__(
        self,
        model: PreTrainedModel,
        family: Family,
        sites: Sequence[Site],
        names: Sequence[str],
    ) -> None:
        super().__init__()
        self.model, self.family, self.sites, self.names = model, family, sites, names

    def forward(self, *given: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        count = len(self.family.inputs)
        inputs = dict(zip(self.family.inputs, given[:count], strict=True))
        with self._lora(*given[count:]) if self.sites else contextlib.nullcontext():
            states = self.model(**self.family.graph_inputs(inputs)).last_hidden_state
        return pool(states, inputs["attention_mask"]), states

    def _lora(
        self, slots: torch.Tensor, weights: torch.Tensor, *banks: torch.Tensor
    ) -> contextlib.AbstractContextManager[None]:
        update = _gathered(slots, weights, dict(zip(self.names, banks, strict=True)))
        return updated(self.model, self.sites, update)


def _gathered(slots: torch.Tensor, weights: torch.Tensor, banks: Banks) -> Update:
    """weights·(x·A[slots])·B[slots], the ranks of a row's slots side by side."""

    def update(x: torch.Tensor, place: Place) -> torch.Tensor:  # [rows, seq, in] -> [.., out]
        b = banks[place.b]
        rank = b.shape[1]
        down = x.unsqueeze(1) @ banks[place.a][slots]  # [rows, k, seq, members * rank]
        down = (down * weights[:, :, None, None]).transpose(1, 2)
        down = down[..., place.index * rank : (place.index + 1) * rank]
        return down.flatten(2) @ b[slots].flatten(1, 2)

    return update


def encoder_sites(
    model: PreTrainedModel,
    family: Family,
    pick: Callable[[Sequence[str]], Sequence[str]],
    core: Callable[[Sequence[str]], Sequence[str]],
) -> list[Site]:
    """The sites as the graph's card has them: those that `pick` takes of all names, and of them
    `core`."""
    example = dict(zip(family.inputs, _example(family), strict=True))
    found = products(model, lambda: model(**example), rows=EXAMPLE_ROWS)
    names = pick([product.name for product in found])
    carried = [product for product in found if product.name in names]
    return describe(model, carried, core([product.name for product in carried]))


def _example(family: Family) -> list[torch.Tensor]:
    ids = torch.arange(7 * EXAMPLE_ROWS).view(EXAMPLE_ROWS, 7)
    examples = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "token_type_ids": torch.zeros_like(ids),
    }
    return [examples[name] for name in family.inputs]


def to_onnx(model: PreTrainedModel, family: Family, sites: Sequence[Site], file: Path) -> None:
    """Write the float32 graph. No sites: the bare backbone."""
    rows, seq, slots, rank, deep = Dim("rows"), Dim("seq"), Dim("slots"), Dim("rank"), Dim("deep")
    example, names = _example(family), list(family.inputs)
    shapes: list[object] = [{0: rows, 1: seq}] * len(example)
    banks: dict[str, torch.Tensor] = {}
    bank_shapes: dict[str, object] = {}
    for first, members in groups(sites).items():
        for site in members:
            banks[f"{site.name}.B"] = torch.randn(5, EXAMPLE_RANK, site.outputs)
            bank_shapes[f"{site.name}.B"] = {0: slots, 1: rank}
        banks[f"{first}.A"] = torch.randn(5, members[0].inputs, len(members) * EXAMPLE_RANK)
        bank_shapes[f"{first}.A"] = {0: slots, 2: len(members) * rank}
    if sites:
        example += [torch.tensor([[0, 1], [1, 2], [2, 0]]), torch.ones(3, 2), *banks.values()]
        shapes += [{0: rows, 1: deep}] * 2 + list(bank_shapes.values())
        names += ["slots", "weights", *banks]
    graph = Encoder(model, family, sites, list(banks))
    export_program(graph, example, (tuple(shapes),), names, ["pooled", "states"], file)


def export_program(
    module: nn.Module,
    example: Sequence[object],
    shapes: Sequence[object],
    inputs: Sequence[str],
    outputs: Sequence[str],
    file: Path,
) -> None:
    """Write `module` as ONNX: example arguments, their dynamic axes, and the names of inputs and
    outputs."""
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            module.eval(),
            tuple(example),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=tuple(shapes),
            verbose=False,
        )
    assert program is not None
    exported = program.model_proto
    _fold_transposes(exported)
    _attention_on_states(exported)
    for node in exported.graph.node:
        del node.metadata_props[:]  # stack traces, with the paths of this machine
    onnx.save(exported, file)


def _fold_transposes(model: onnx.ModelProto) -> None:
    """Transpose weights here, not at every run: the exporter leaves the one of an embedding that is
    the output product's weight too, which would then not be quantised."""
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    for node in [n for n in graph.node if n.op_type == "Transpose" and n.input[0] in weights]:
        order = list(node.attribute[0].ints) if node.attribute else None
        turned = numpy_helper.to_array(weights[node.input[0]]).transpose(order)
        graph.initializer.append(
            numpy_helper.from_array(np.ascontiguousarray(turned), node.output[0])
        )
        graph.node.remove(node)
    read = {name for node in graph.node for name in node.input}
    for tensor in [t for t in weights.values() if t.name not in read]:
        graph.initializer.remove(tensor)


def _attention_on_states(model: onnx.ModelProto) -> None:
    """Let Attention read and write [rows, seq, hidden] itself, without the Reshape and Transpose
    pairs around it that split the heads: 45.7 ms instead of 48.9 for 16 rows of 28 tokens on one
    core. Other layouts (rotary positions) stay."""
    graph = model.graph
    makers = {out: node for node in graph.node for out in node.output}
    readers = {name: node for node in graph.node for name in node.input}
    shapes = {v.name: v.type.tensor_type.shape.dim for v in graph.value_info}
    for attention in [n for n in graph.node if n.op_type == "Attention"]:
        splits = [makers[name] for name in attention.input[:3]]
        merge = readers[attention.output[0]]
        if any(
            n.op_type != "Transpose" or list(n.attribute[0].ints) != [0, 2, 1, 3]
            for n in [*splits, merge]
        ):
            continue
        reshapes, joined = [makers[n.input[0]] for n in splits], readers[merge.output[0]]
        for name, split in zip(("q_num_heads", "kv_num_heads"), splits, strict=False):
            attention.attribute.append(
                helper.make_attribute(name, shapes[split.output[0]][1].dim_value)
            )
        attention.input[:3] = [n.input[0] for n in reshapes]
        attention.output[0] = joined.output[0]
        for node in [*splits, *reshapes, merge, joined]:
            graph.node.remove(node)


def either(core: Path, full: Path, target: Path) -> None:
    """Join two graphs of one backbone under an `If` on the input `all_sites`: `full` when true,
    `core` when false. Weights that both hold are kept once."""
    shared: dict[bytes, TensorProto] = {}
    whole = onnx.load(full)
    outputs = list(whole.graph.output)
    branches = [
        _branch(model, prefix, shared)
        for prefix, model in (("core", onnx.load(core)), ("full", whole))
    ]
    node = helper.make_node(
        "If",
        ["all_sites"],
        [o.name for o in outputs],
        else_branch=branches[0],
        then_branch=branches[1],
    )
    graph = helper.make_graph(
        [node],
        "either",
        [*whole.graph.input, helper.make_tensor_value_info("all_sites", TensorProto.BOOL, [])],
        outputs,
        list(shared.values()),
    )
    model = helper.make_model(graph, opset_imports=whole.opset_import, ir_version=whole.ir_version)
    onnx.checker.check_model(model)
    onnx.save(model, target)


def _branch(
    model: onnx.ModelProto, prefix: str, shared: dict[bytes, TensorProto], least: int = 512
) -> onnx.GraphProto:
    """The graph as a branch of `If`: no inputs, its own output names, weights of `least` bytes and
    more moved to `shared`."""
    renamed = {o.name: f"{prefix}_{o.name}" for o in model.graph.output}
    kept = []
    for tensor in model.graph.initializer:
        if len(tensor.raw_data) < least:
            kept.append(tensor)
            continue
        key = hashlib.sha256(
            f"{tensor.data_type} {list(tensor.dims)}".encode() + tensor.raw_data
        ).digest()
        if key not in shared:
            shared[key] = TensorProto()
            shared[key].CopyFrom(tensor)
            shared[key].name = f"weight_{len(shared)}"
        renamed[tensor.name] = shared[key].name
    for node in model.graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    outputs = [helper.make_value_info(renamed[o.name], o.type) for o in model.graph.output]
    return helper.make_graph(model.graph.node, prefix, [], outputs, kept)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter talks; errors still raise."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
