"""The decoder of a BERT-style encoder-decoder -> two ONNX graphs with a key-value cache.

`cross` runs once a text: encoder states -> the keys and values of every cross-attention. `step`
writes one token a row: it takes each row's last token and the cache, and gives the `best` likeliest
next tokens and the cache one column longer.

A row carries no slot here. The adapters of a batch lie side by side, A [in, adapters * rank] and B
[adapters * rank, out], and `mix` [rows, adapters * rank] blanks the columns of the others: x·W +
((x·A) * mix)·B. A decoding step has one token a row, so gathering A and B for each row, as the
encoder's graph does, would move more memory than the whole step.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import TensorProto, helper
from torch import nn
from torch.export import Dim
from transformers import EncoderDecoderModel

from polygraft.export.graph import EXAMPLE_RANK, export_program
from polygraft.export.steady import steady
from polygraft.runtime.graph import DecoderCard, Site, groups

Banks = Mapping[str, torch.Tensor]


def readers(layers: int) -> list[list[str]]:
    """The decoder's linear layers, by dotted name in the whole model, those that read the same
    tensor together. First the keys and values of every cross-attention; last the one before the
    vocabulary, which is tied to the embedding and no site."""
    names = [f"decoder.bert.encoder.layer.{i}" for i in range(layers)]
    found = [[f"{name}.crossattention.self.{part}" for name in names for part in ("key", "value")]]
    for name in names:
        found.append([f"{name}.attention.self.{part}" for part in ("query", "key", "value")])
        found += [
            [f"{name}.{part}"] for part in ("attention.output.dense", "crossattention.self.query")
        ]
        found += [
            [f"{name}.{part}"]
            for part in ("crossattention.output.dense", "intermediate.dense", "output.dense")
        ]
    return [*found, ["decoder.cls.predictions.transform.dense"]]


class Joined(nn.Module):
    """Linear layers that read the same tensor, as one product; each gives its own output, LoRA
    added on those of `sites`."""

    def __init__(self, root: nn.Module, names: Sequence[str], sites: Container[str]) -> None:
        super().__init__()
        linears: list[Any] = [root.get_submodule(name) for name in names]
        self.weight = nn.Parameter(torch.cat([x.weight for x in linears]).T.contiguous())
        self.bias = nn.Parameter(torch.cat([x.bias for x in linears]))
        self.sizes, carried = (
            [x.out_features for x in linears],
            [name for name in names if name in sites],
        )
        self.members = {names.index(name): (i, name) for i, name in enumerate(carried)}
        self.first = carried[0] if carried else ""

    def forward(self, x: torch.Tensor, mix: torch.Tensor, banks: Banks) -> list[torch.Tensor]:
        whole = x @ self.weight + self.bias
        outs = list(whole.split(self.sizes, dim=-1)) if len(self.sizes) > 1 else [whole]
        if self.members:
            down, width = x @ banks[f"{self.first}.A"], mix.shape[-1]
            for place, (i, name) in self.members.items():
                mine = down.narrow(-1, i * width, width) if len(self.members) > 1 else down
                outs[place] = outs[place] + (mine * mix) @ banks[f"{name}.B"]
        return outs


class Cross(nn.Module):
    """states [rows, seq, hidden] -> for every layer key and value, each [rows, heads, seq,
    size]."""

    def __init__(
        self, model: EncoderDecoderModel, names: Sequence[str], sites: Container[str]
    ) -> None:
        super().__init__()
        config = model.config.decoder
        self.heads, self.names = config.num_attention_heads, names
        self.joined = Joined(model, readers(config.num_hidden_layers)[0], sites)

    def forward(
        self, states: torch.Tensor, mix: torch.Tensor, *banks: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        outs = self.joined(states, mix[:, None], dict(zip(self.names, banks, strict=True)))
        return tuple(o.unflatten(-1, (self.heads, -1)).transpose(1, 2) for o in outs)


class Layer(nn.Module):
    """One decoder layer for one token a row."""

    def __init__(self, root: nn.Module, index: int, sites: Container[str]) -> None:
        super().__init__()
        name = f"decoder.bert.encoder.layer.{index}"
        layer: Any = root.get_submodule(name)
        own = layer.attention.self
        self.heads, self.scaling = own.num_attention_heads, own.scaling
        self.activation: nn.Module = layer.intermediate.intermediate_act_fn
        self.norms = nn.ModuleList(
            part.LayerNorm
            for part in (layer.attention.output, layer.crossattention.output, layer.output)
        )

        def joined(*parts: str) -> Joined:
            return Joined(root, [f"{name}.{part}" for part in parts], sites)

        self.qkv = joined(*(f"attention.self.{p}" for p in ("query", "key", "value")))
        self.own_out = joined("attention.output.dense")
        self.query = joined("crossattention.self.query")
        self.cross_out = joined("crossattention.output.dense")
        self.up, self.down = joined("intermediate.dense"), joined("output.dense")

    def forward(
        self,
        x: torch.Tensor,
        mask: torch.Tensor,
        source: torch.Tensor,
        past: Sequence[torch.Tensor],
        given: Sequence[torch.Tensor],
        mix: torch.Tensor,
        banks: Banks,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        query, *new = (self._split(part) for part in self.qkv(x, mix, banks))
        key, value = (torch.cat([old, one], dim=2) for old, one in zip(past, new, strict=True))
        read = self._attend(query, key, value, mask)
        x = self.norms[0](self.own_out(read, mix, banks)[0] + x)
        read = self._attend(self._split(self.query(x, mix, banks)[0]), given[0], given[1], source)
        x = self.norms[1](self.cross_out(read, mix, banks)[0] + x)
        wide = self.activation(self.up(x, mix, banks)[0])
        return self.norms[2](self.down(wide, mix, banks)[0] + x), key, value

    def _split(self, x: torch.Tensor) -> torch.Tensor:  # [rows, hidden] -> [rows, heads, 1, size]
        split: torch.Tensor = x.unflatten(-1, (self.heads, -1)).unsqueeze(2)
        return split

    def _attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        scores = (query * self.scaling) @ key.transpose(-1, -2) + mask[:, None, None]
        read: torch.Tensor = (scores.softmax(dim=-1) @ value).flatten(1)
        return read


class Step(nn.Module):
    """One token a row: token, position int64 [rows]; mask float32 [rows, past + 1] and source
    [rows, seq], 0 where a row may look and -10,000 where not; mix; past keys and values; cross keys
    and values; banks."""

    def __init__(
        self, model: EncoderDecoderModel, names: Sequence[str], sites: Container[str]
    ) -> None:
        super().__init__()
        decoder = model.decoder
        self.embeddings, self.names = decoder.bert.embeddings, names
        self.layers = nn.ModuleList(
            Layer(model, i, sites) for i in range(decoder.config.num_hidden_layers)
        )
        head = decoder.cls.predictions
        self.transform = Joined(model, readers(len(self.layers))[-1], sites)
        self.activation, self.norm = head.transform.transform_act_fn, head.transform.LayerNorm
        self.vocabulary, self.bias = (
            nn.Parameter(head.decoder.weight.T.contiguous()),
            head.decoder.bias,
        )

    def forward(
        self,
        token: torch.Tensor,
        position: torch.Tensor,
        mask: torch.Tensor,
        source: torch.Tensor,
        mix: torch.Tensor,
        *rest: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        count = 2 * len(self.layers)
        past, given = rest[:count], rest[count : 2 * count]
        banks = dict(zip(self.names, rest[2 * count :], strict=True))
        e = self.embeddings
        kind = e.token_type_embeddings.weight[0]
        x = e.LayerNorm(e.word_embeddings(token) + e.position_embeddings(position) + kind)
        grown: list[torch.Tensor] = []
        for i, layer in enumerate(self.layers):
            pair = slice(2 * i, 2 * i + 2)
            x, key, value = layer(x, mask, source, past[pair], given[pair], mix, banks)
            grown += [key, value]
        x = self.norm(self.activation(self.transform(x, mix, banks)[0]))
        logits = x @ self.vocabulary + self.bias
        # Not logsumexp: ONNX Runtime's ReduceLogSumExp took 2.1 of a step's 9.6 ms (16 rows, one
        # core).
        largest = logits.amax(dim=-1, keepdim=True)
        total = (logits - largest).exp().sum(dim=-1, keepdim=True).log() + largest
        scores, tokens = torch.topk(logits, 2)
        return tokens, scores - total, *grown


def describe_decoder(model: EncoderDecoderModel, names: Container[str]) -> DecoderCard:
    """The decoder as the graph's card has it. `names`: the sites to carry."""
    config, linears = model.config.decoder, dict(model.named_modules())
    sites = []
    for together in readers(config.num_hidden_layers):
        carried = [name for name in together if name in names]
        sites += [
            Site(
                name=name,
                inputs=linears[name].in_features,
                outputs=linears[name].out_features,
                reads=carried[0],
            )
            for name in carried
        ]
    return DecoderCard(
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        head_size=config.hidden_size // config.num_attention_heads,
        positions=config.max_position_embeddings,
        sites=sites,
    )


def cross_to_onnx(model: EncoderDecoderModel, card: DecoderCard, file: Path) -> None:
    """Write the float32 `cross` graph: `states`, `mix`, then A and B of its sites -> `key_0`,
    `value_0`, `key_1` ..."""
    rows, seq, width = Dim("rows"), Dim("seq"), Dim("width")
    sites = [s for s in card.sites if s.name in readers(card.layers)[0]]
    names, banks, shapes = _banks(sites, width)
    example = (
        torch.randn(3, 7, card.heads * card.head_size),
        torch.ones(3, 2 * EXAMPLE_RANK),
        *banks,
    )
    export_program(
        Cross(model, names, [s.name for s in sites]),
        example,
        ({0: rows, 1: seq}, {0: rows, 1: width}, tuple(shapes)),
        ["states", "mix", *names],
        card.cache(""),
        file,
    )
    made = onnx.load(file)
    steady(made, sequences=True)
    onnx.save(made, file)


def step_to_onnx(model: EncoderDecoderModel, card: DecoderCard, file: Path) -> None:
    """Write the float32 `step` graph; `best`, int64 [1], says how many next tokens to give."""
    rows, seq, past, width = Dim("rows"), Dim("seq"), Dim("past"), Dim("width")
    sites = [s for s in card.sites if s.name not in readers(card.layers)[0]]
    names, banks, shapes = _banks(sites, width)
    old = [torch.randn(3, card.heads, 5, card.head_size) for _ in range(2 * card.layers)]
    read = [torch.randn(3, card.heads, 7, card.head_size) for _ in range(2 * card.layers)]
    first = (torch.tensor([5, 6, 7]), torch.tensor([3, 4, 5]), torch.zeros(3, 6), torch.zeros(3, 7))
    example = (*first, torch.ones(3, 2 * EXAMPLE_RANK), *old, *read, *banks)
    cache = [{0: rows, 2: past}] * len(old) + [{0: rows, 2: seq}] * len(read)
    export_program(
        Step(model, names, [s.name for s in sites]),
        example,
        (
            {0: rows},
            {0: rows},
            {0: rows, 1: past + 1},
            {0: rows, 1: seq},
            {0: rows, 1: width},
            (*cache, *shapes),
        ),
        [
            "token",
            "position",
            "mask",
            "source",
            "mix",
            *card.cache("past_"),
            *card.cache(""),
            *names,
        ],
        ["tokens", "scores", *card.cache("next_")],
        file,
    )
    made = onnx.load(file)
    top = next(n for n in made.graph.node if n.op_type == "TopK")
    top.input[1] = "best"
    made.graph.input.append(helper.make_tensor_value_info("best", TensorProto.INT64, [1]))
    del made.graph.value_info[:]  # they name the shapes of the two that the example asked for
    for output in made.graph.output[:2]:
        output.type.tensor_type.shape.dim[1].dim_param = "best"
    steady(made, sequences=False)
    onnx.save(made, file)


def _banks(
    sites: Sequence[Site], width: Dim
) -> tuple[list[str], list[torch.Tensor], list[dict[int, object]]]:
    """Names, example arrays and dynamic axes of the bank inputs of `sites`."""
    names, arrays, shapes = list[str](), list[torch.Tensor](), list[dict[int, object]]()
    columns = 2 * EXAMPLE_RANK
    for first, members in groups(sites).items():
        names.append(f"{first}.A")
        arrays.append(torch.randn(members[0].inputs, len(members) * columns))
        shapes.append({1: len(members) * width})
        for site in members:
            names.append(f"{site.name}.B")
            arrays.append(torch.randn(columns, site.outputs))
            shapes.append({0: width})
    return names, arrays, shapes
