"""LoRA products whose sums are the same to the last bit whatever lies beside a row: for the
decoder's graphs.

The adapters of a batch lie side by side there, so the width of A depends on the other rows; and
ONNX Runtime's float32 product (MLAS) adds in another order when that width changes (it cuts the sum
into blocks of 128 to 1,024 by it) and when there is one row (another kernel). The last bits differ,
now and then one of them moves a value over the edge between two int8 steps, and what follows is
rounded anew: a log-probability moves by about 0.06, and a word may change (3 translations in 100).
So here the sum is cut into blocks of 128 in the graph, where MLAS cuts no further, and each product
is scaled by 1/2, undone exactly by `mix`, which keeps MLAS from taking its kernel for one row. The
encoder needs neither: its A is gathered for each row, which has several tokens.

Does not steady attention: its sums keep their last bits when sources are padded to multiples of
four tokens and a row's first column in the cache is a multiple of four (measured for 2 to 64 source
tokens and 0 to 59 columns), which is up to whoever lays out the batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

BLOCK = 128


def steady(model: onnx.ModelProto, sequences: bool) -> None:
    """Rewrite the products with bank inputs in a graph that has an input `mix`. `sequences`: what
    they multiply is [rows, seq, inputs], otherwise [rows, inputs]."""
    graph = model.graph
    inputs = {i.name: [d.dim_value for d in i.type.tensor_type.shape.dim] for i in graph.input}
    constants = {"four": np.array(4, np.float32), "first_axis": np.array([0], np.int64)}
    nodes: list[Any] = [helper.make_node("Mul", ["mix", "four"], ["mix_of_halves"])]
    for node in graph.node:
        node.input[:] = ["mix_of_halves" if name == "mix" else name for name in node.input]
        if node.op_type != "MatMul" or not node.input[1].endswith((".A", ".B")):
            nodes.append(node)
            continue
        x, bank = node.input
        blocks, rest = divmod(inputs[bank][0], BLOCK) if bank.endswith(".A") else (0, 0)
        if blocks < 2 or rest:
            nodes.append(_halved(x, bank, node.output[0]))
        else:
            nodes += _in_blocks(x, bank, node.output[0], blocks, sequences, constants)
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(
        numpy_helper.from_array(array, name) for name, array in constants.items()
    )
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def _halved(x: str, bank: str, out: str, **attributes: Any) -> Any:
    return helper.make_node(
        "FusedMatMul", [x, bank], [out], domain="com.microsoft", alpha=0.5, **attributes
    )


def _in_blocks(
    x: str, bank: str, out: str, blocks: int, sequences: bool, constants: dict[str, Any]
) -> list[Any]:
    """x [.., inputs] by A [inputs, width], block by block, and the blocks' sum."""
    constants |= {
        f"rows_in_{blocks}": np.array([-1, blocks, BLOCK]),
        f"bank_in_{blocks}": np.array([blocks, BLOCK, -1]),
    }
    flat = f"{out}_flat" if sequences else out
    nodes = [
        helper.make_node("Reshape", [x, f"rows_in_{blocks}"], [f"{out}_rows"]),
        helper.make_node("Reshape", [bank, f"bank_in_{blocks}"], [f"{out}_bank"]),
        _halved(
            f"{out}_rows", f"{out}_bank", f"{out}_blocks", transBatchA=1
        ),  # [blocks, rows, width]
        helper.make_node("ReduceSum", [f"{out}_blocks", "first_axis"], [flat], keepdims=0),
    ]
    if sequences:
        constants["any"] = np.array([-1])
        nodes += [
            helper.make_node("Shape", [x], [f"{out}_before"], end=-1),
            helper.make_node("Concat", [f"{out}_before", "any"], [f"{out}_shape"], axis=0),
            helper.make_node("Reshape", [flat, f"{out}_shape"], [out]),
        ]
    return nodes
