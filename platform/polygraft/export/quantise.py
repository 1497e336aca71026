"""float32 graph -> int8: weights once, by output channel; activations by token vector or by
constants, never by batch.

onnxruntime's `quantize_dynamic` takes one activation scale for the whole input of a product
(DynamicQuantizeLinear). Then a row's answer depends on the rows beside it: of 105,213 rows 2%
got another label than alone, and an adapter with large weights moved its neighbours' scores by
0.39. Here every product of a weight takes its activations, as uint8, in one of three ways, told
by what made them:

- a LayerNormalization, or what `spreads` knows: each channel is divided by its own constant and
  all by one scale, both found on text (`calibrate`). The channels' constants are multiplied
  into the weight (SmoothQuant, Xiao et al. 2023, section 4): one channel of the bundled encoder
  is 20 times the others, and one scale for all would leave those a few steps.
- a Gelu: the token vector's own scale. The values end at -0.17, so zero stands at 32 of 255 and
  the rest is for positives.
- anything else (what attention read): the token vector's own scale, zero at 128.

Values beyond a constant's range are clipped, in their own row. Products that read one tensor
share its quantised form. The products are `com.microsoft` MatMulIntegerToFloat: the standard
operators would need one activation scale to be fused into it. LoRA's two products have no
weight as input and stay float32. Figures: the backbone's README.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

MICROSOFT = "com.microsoft"
NORMALISING = ("LayerNormalization", "RMSNormalization")
GELU_LEAST = 0.17  # below zero: Gelu(-0.7518) = -0.16997
STRENGTHS = tuple(round(0.1 * k, 1) for k in range(11))
SMALLEST = 1e-6  # of a token vector's largest value: one of zeros only is not divided by zero


@dataclass(frozen=True)
class Spread:
    """What was seen of a tensor [.., inputs], by channel: root mean square and largest absolute
    value, float64 [inputs]."""

    rms: NDArray[np.float64]
    largest: NDArray[np.float64]


@dataclass(frozen=True)
class Evened:
    """Constants of a tensor: x[.., c] is about `scale` * `channels[c]` * an integer within ±127;
    `channels` is float32 [inputs]."""

    channels: NDArray[np.float32]
    scale: float


def even_out(spread: Spread, weights: Sequence[NDArray[np.float32]]) -> Evened:
    """Constants that clip nothing that was seen: channels = largest ** strength, with the strength
    (0: one scale for all; 1: every channel fills the range) at which the products with `weights`
    [inputs, outputs] are expected to err least. What evens the activations out makes the weights
    uneven, and both are rounded: a rounded value is off by its step / sqrt(12)."""
    largest = np.maximum(
        spread.largest, 1e-3 * spread.largest.mean() + 1e-12
    )  # a channel may never move
    found = []
    for strength in STRENGTHS:
        channels = largest**strength
        channels /= np.exp(np.log(channels).mean())
        scale = float((largest / channels).max() / 127)
        error = 0.0
        for weight in weights:
            steps = np.abs(weight * channels[:, None]).max(axis=0) / 127  # [outputs]
            error += float(((scale * channels) ** 2) @ (weight**2).sum(axis=1))
            error += float((steps**2).sum() * ((spread.rms / channels) ** 2).sum())
        found.append((error, Evened(channels.astype(np.float32), scale)))
    return min(found, key=lambda pair: pair[0])[1]


def to_int8(source: Path, target: Path, spreads: Mapping[str, Spread]) -> None:
    """Write the float32 graph of `source` in int8. `spreads`: by the name of the
    LayerNormalization's weight, or of the graph input, that a product reads; a product that reads
    neither gets a scale a token vector. Word embeddings become int8 too, with a scale a word: 19 MB
    less in the bundled backbone's file."""
    model = onnx.load(source)
    _Quantiser(model.graph, spreads).run()
    _int8_embeddings(model.graph)
    if not any(o.domain == MICROSOFT for o in model.opset_import):
        model.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
    onnx.checker.check_model(model)
    onnx.save(model, target)


@dataclass(frozen=True)
class _Quantised:
    """A tensor as uint8: its name, and the names of its zero point, of the scale that the product
    applies, of the scales a token vector (None with constants), and what its channels were divided
    by."""

    values: str
    zero: str
    scale: str
    by_vector: str | None = None
    channels: NDArray[np.float32] | None = None


@dataclass
class _Quantiser:
    """Replaces each MatMul of `graph` whose second input is a weight, and the bias added to it."""

    graph: Any
    spreads: Mapping[str, Spread]
    nodes: list[Any] = field(default_factory=list)
    done: dict[str, _Quantised] = field(default_factory=dict)

    def run(self) -> None:
        self.weights = {t.name: t for t in self.graph.initializer}
        self.makers = {name: node for node in self.graph.node for name in node.output}
        self.readers: dict[str, list[Any]] = {}
        for node in self.graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        # what depends on the graph's inputs; the rest (DeBERTa's table of positions times query and
        # key) is computed once, when a session is made
        self.fed = {i.name for i in self.graph.input}
        for node in self.graph.node:
            if self.fed.intersection(node.input):
                self.fed.update(node.output)
        skipped: list[str] = []  # outputs of additions that went into a product
        for node in list(self.graph.node):
            if node.output[0] in skipped:
                continue
            if (
                node.op_type == "MatMul"
                and node.input[1] in self.weights
                and node.input[0] in self.fed
            ):
                skipped.append(self._product(node))
            else:
                self.nodes.append(node)
        del self.graph.node[:]
        self.graph.node.extend(self.nodes)
        unread = {t.name for t in self.graph.initializer} - {
            name for node in self.graph.node for name in node.input
        }
        kept = [t for t in self.graph.initializer if t.name not in unread]
        del self.graph.initializer[:]
        self.graph.initializer.extend(kept)

    def _product(self, node: Any) -> str:
        """x·W (+ bias) of quantised x and W; returns the name of the output that it stands for."""
        read, name = node.input
        x = self.done.get(read) or self.done.setdefault(read, self._quantise(read))
        weight = numpy_helper.to_array(self.weights[name])
        if x.channels is not None:
            weight = weight * x.channels[:, None]
        scale = (np.abs(weight).max(axis=0) / 127).astype(np.float32)
        scale[scale == 0] = 1
        whole = np.rint(weight / scale).astype(np.int8)
        bias, out = self._bias(node.output[0])
        matrix, columns = (
            self._constant(f"{out}_weight", whole),
            self._constant(f"{out}_columns", scale),
        )
        product = [x.values, matrix, x.scale, columns, x.zero]
        if x.by_vector is None:
            extra = [] if bias is None else ["", bias]
            self._add("MatMulIntegerToFloat", [*product, *extra], out, domain=MICROSOFT)
            return out
        self._add("MatMulIntegerToFloat", product, f"{out}_of_one", domain=MICROSOFT)
        if bias is None:
            self._add("Mul", [f"{out}_of_one", x.by_vector], out)
        else:
            self._add("Mul", [f"{out}_of_one", x.by_vector], f"{out}_unbiased")
            self._add("Add", [f"{out}_unbiased", bias], out)
        return out

    def _bias(self, product: str) -> tuple[str | None, str]:
        """The weight that alone is added to the product, and the sum; or None and the product."""
        readers = self.readers.get(product, [])
        if len(readers) == 1 and readers[0].op_type == "Add":
            for name in readers[0].input:
                if name in self.weights and len(self.weights[name].dims) == 1:
                    return name, readers[0].output[0]
        return None, product

    def _quantise(self, name: str) -> _Quantised:
        maker = self.makers.get(name)
        kind = maker.op_type if maker else ""
        spread = self.spreads.get(maker.input[1] if maker and kind in NORMALISING else name)
        if spread is not None:
            return self._by_constants(name, even_out(spread, self._multiplied_by(name)))
        return (
            self._by_vector(name, levels=223, zero=32)
            if kind == "Gelu"
            else self._by_vector(name, levels=127, zero=128)
        )

    def _by_constants(self, name: str, evened: Evened) -> _Quantised:
        inverse = self._constant(f"{name}_channels", (1 / evened.channels).astype(np.float32))
        scale = self._constant(f"{name}_scale", np.array(evened.scale, np.float32))
        zero = self._constant("zero_128", np.array(128, np.uint8))
        self._add("Mul", [name, inverse], f"{name}_even")
        self._add("QuantizeLinear", [f"{name}_even", scale, zero], f"{name}_int8")
        return _Quantised(f"{name}_int8", zero, scale, channels=evened.channels)

    def _by_vector(self, name: str, levels: int, zero: int) -> _Quantised:
        """Scales of the token vectors' own [.., 1], by blocks as long as the vector; the product
        applies a scale of 1."""
        inputs = len(self._multiplied_by(name)[0])
        last = self._constant("last_axis", np.array([-1], np.int64))
        largest, least = name, max(SMALLEST, GELU_LEAST * levels / zero) if zero < 128 else SMALLEST
        if zero == 128:
            largest = self._add("Abs", [name], f"{name}_size")
        self._add("ReduceMax", [largest, last], f"{name}_largest", keepdims=1)
        self._add(
            "Clip",
            [f"{name}_largest", self._constant(f"least_{zero}", np.array(least, np.float32))],
            f"{name}_range",
        )
        step = self._constant(f"step_{levels}", np.array(1 / levels, np.float32))
        scales = self._add("Mul", [f"{name}_range", step], f"{name}_scales")
        point = self._constant(f"zero_{zero}", np.array(zero, np.uint8))
        points = f"zeros_{zero}"  # the same for every tensor: [.., 1] of all tokens
        if not any(points in node.output for node in self.nodes):
            self._add("Shape", [scales], f"shape_{zero}")
            self._add("Expand", [point, f"shape_{zero}"], points)
        self._add(
            "QuantizeLinear", [name, scales, points], f"{name}_int8", axis=-1, block_size=inputs
        )
        return _Quantised(
            f"{name}_int8", point, self._constant("one", np.array(1, np.float32)), by_vector=scales
        )

    def _multiplied_by(self, name: str) -> list[NDArray[np.float32]]:
        """The weights [inputs, outputs] of the products that read a tensor."""
        products = [
            n for n in self.readers[name] if n.op_type == "MatMul" and n.input[1] in self.weights
        ]
        return [numpy_helper.to_array(self.weights[n.input[1]]) for n in products]

    def _add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def _constant(self, name: str, array: NDArray[Any]) -> str:
        if name not in {t.name for t in self.graph.initializer}:
            self.graph.initializer.append(numpy_helper.from_array(array, name))
        return name


def _int8_embeddings(graph: Any, least: int = 1_000_000) -> None:
    """Gather of a large float table -> Gather of int8 rows and of their scales, and the product of
    the two."""
    large = {
        t.name: t for t in graph.initializer if len(t.dims) == 2 and t.dims[0] * t.dims[1] >= least
    }
    for i, node in reversed(list(enumerate(graph.node))):
        tensor = large.get(node.input[0]) if node.op_type == "Gather" else None
        if tensor is None or tensor.data_type != TensorProto.FLOAT:
            continue
        table = numpy_helper.to_array(tensor)
        scale = (np.abs(table).max(axis=1, keepdims=True) / 127).astype(np.float32)
        scale[scale == 0] = 1
        name, ids, out = tensor.name, node.input[1], node.output[0]
        tensor.CopyFrom(numpy_helper.from_array(np.rint(table / scale).astype(np.int8), name))
        graph.initializer.append(numpy_helper.from_array(scale, f"{name}_scale"))
        node.output[0] = f"{out}_int8"
        for k, extra in enumerate(
            (
                helper.make_node("Cast", [f"{out}_int8"], [f"{out}_whole"], to=TensorProto.FLOAT),
                helper.make_node("Gather", [f"{name}_scale", ids], [f"{out}_scale"]),
                helper.make_node("Mul", [f"{out}_whole", f"{out}_scale"], [out]),
            )
        ):
            graph.node.insert(i + 1 + k, extra)
