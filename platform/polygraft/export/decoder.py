"""The decoder of any encoder-decoder -> two ONNX graphs with a key-value cache.

`cross` runs once a text: encoder states -> the keys and values of every cross-attention. It is the
model's own decoder on one token with an empty cache, of which only the cross-attention's part is
kept. `step` writes one token a row: it takes each row's last token and the cache, and gives the
`best` likeliest next tokens and the cache one column longer. It is the model's own forward, with a
cache made of the graph's inputs.

A row carries no slot here. The adapters of a batch lie side by side, A [in, adapters * rank] and B
[adapters * rank, out], and `mix` [rows, adapters * rank] blanks the columns of the others: x·W +
((x·A) * mix)·B. A decoding step has one token a row, so gathering A and B for each row, as the
encoder's graph does, would move more memory than the whole step.

Measured against a hand-written BERT step that joined query, key and value into one product (int8,
bundled weights, CPU ms of one core): 4.03 and 3.92 for 16 rows, 17.4 and 17.2 for 64 rows of 16
adapters, 1.04 and 0.99 for one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import TensorProto, helper
from torch import nn
from torch.export import Dim
from transformers import DynamicCache, EncoderDecoderCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from polygraft.architectures.family import Family
from polygraft.export.graph import EXAMPLE_RANK, Banks, export_program
from polygraft.export.hooks import Place, Product, Update, describe, products, updated
from polygraft.export.steady import steady
from polygraft.runtime.graph import DecoderCard, Site, groups

TOKEN = 5  # any: what one token of the decoder gives is thrown away where this stands


@dataclass
class Decoder:
    """A model with its family: what the two graphs run, and what must be known of it."""

    model: PreTrainedModel
    family: Family

    def __post_init__(self) -> None:
        self.model.get_decoder().set_attn_implementation("eager")
        names = {id(module): name for name, module in self.model.named_modules()}
        self.name = names[id(self.model.get_decoder())]
        self.hidden = int(self.model.get_encoder().config.hidden_size)
        cache, states = _empty(), torch.randn(2, 3, self.hidden)
        first = products(self.model, lambda: self.cross(states, cache), rows=len(states))
        token = torch.full((2, 1), TOKEN)
        self.of_step = products(
            self.model,
            lambda: self.family.next_token(self.model, token, states, cache),
            rows=len(token),
        )
        again = {product.name for product in self.of_step}
        self.of_cross = [product for product in first if product.name not in again]
        self.layers = len(cache.cross_attention_cache.layers)
        keys = cache.self_attention_cache.layers[0].keys
        assert keys is not None
        self.heads, self.head_size = int(keys.shape[1]), int(keys.shape[3])

    def cross(self, states: torch.Tensor, cache: EncoderDecoderCache) -> None:
        """Fill the cache with the keys and values of the cross-attention to `states`."""
        token = torch.full_like(states[:, :1, 0], TOKEN, dtype=torch.int64)
        self.family.next_token(self.model, token, states, cache)

    def describe(self, pick: Callable[[Sequence[str]], Sequence[str]]) -> DecoderCard:
        """The decoder as the graph's card has it, with the sites that `pick` takes of all."""
        found = [*self.of_cross, *self.of_step]
        names = pick([product.name for product in found])
        sites = [product for product in found if product.name in names]
        return DecoderCard(
            layers=self.layers,
            heads=self.heads,
            head_size=self.head_size,
            positions=self.family.max_written(self.model),
            sites=describe(self.model, sites, names),
        )

    def sites(self, card: DecoderCard, of: Sequence[Product]) -> list[Site]:
        """Those of the card that are among the products `of` one graph."""
        names = {product.name for product in of}
        return [site for site in card.sites if site.name in names]


class Cross(nn.Module):
    """states [rows, seq, hidden] -> for every layer key and value, each [rows, heads, seq,
    size]."""

    def __init__(self, decoder: Decoder, sites: Sequence[Site], names: Sequence[str]) -> None:
        super().__init__()
        self.model, self.decoder, self.sites, self.names = decoder.model, decoder, sites, names

    def forward(
        self, states: torch.Tensor, mix: torch.Tensor, *banks: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        update = _side_by_side(mix[:, None], dict(zip(self.names, banks, strict=True)))
        cache = _empty()
        with updated(self.model, self.sites, update):
            self.decoder.cross(states, cache)
        return tuple(_arrays(cache.cross_attention_cache))


class Step(nn.Module):
    """One token a row: token, position int64 [rows]; mask float32 [rows, past + 1] and source
    [rows, seq], 0 where a row may look and -10,000 where not; mix; past keys and values; cross keys
    and values; banks."""

    def __init__(self, decoder: Decoder, sites: Sequence[Site], names: Sequence[str]) -> None:
        super().__init__()
        self.model, self.decoder, self.sites, self.names = decoder.model, decoder, sites, names

    def forward(
        self,
        token: torch.Tensor,
        position: torch.Tensor,
        mask: torch.Tensor,
        source: torch.Tensor,
        mix: torch.Tensor,
        *rest: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        count = 2 * self.decoder.layers
        cache = _filled(rest[:count], rest[count : 2 * count])
        banks = dict(zip(self.names, rest[2 * count :], strict=True))
        states = torch.zeros(1, 1, self.decoder.hidden).expand(*source.shape, -1)  # never read
        with updated(self.model, self.sites, _one_token(_side_by_side(mix, banks))):
            logits = self.decoder.family.next_token(
                self.model,
                token[:, None],
                states,
                cache,
                position=position[:, None],
                mask=mask[:, None, None],
                source=source[:, None, None],
            ).squeeze(1)
        # Not logsumexp: ONNX Runtime's ReduceLogSumExp took 2.1 of a step's 9.6 ms (16 rows, one
        # core).
        largest = logits.amax(dim=-1, keepdim=True)
        total = (logits - largest).exp().sum(dim=-1, keepdim=True).log() + largest
        scores, tokens = torch.topk(logits, 2)
        return tokens, scores - total, *_arrays(cache.self_attention_cache)


def _side_by_side(mix: torch.Tensor, banks: Banks) -> Update:
    """((x·A) * mix)·B."""
    width = mix.shape[-1]

    def update(x: torch.Tensor, place: Place) -> torch.Tensor:
        down = x @ banks[place.a]
        if place.members > 1:
            down = down.narrow(-1, place.index * width, width)
        return (down * mix) @ banks[place.b]

    return update


def _one_token(update: Update) -> Update:
    """`update` on [rows, in], of a layer whose rows have one token: [rows, 1, in]."""
    return lambda x, place: update(x.squeeze(1), place).unsqueeze(1)


def _empty() -> EncoderDecoderCache:
    return EncoderDecoderCache(DynamicCache(), DynamicCache())


def _filled(past: Sequence[torch.Tensor], given: Sequence[torch.Tensor]) -> EncoderDecoderCache:
    """A cache of keys and values, layer by layer, of what was written and of what was read."""
    cache = EncoderDecoderCache(_layers(past), _layers(given))
    cache.is_updated = dict.fromkeys(range(len(given) // 2), True)
    return cache


def _layers(arrays: Sequence[torch.Tensor]) -> DynamicCache:
    cache = DynamicCache()
    for keys, values in zip(arrays[::2], arrays[1::2], strict=True):
        layer = DynamicLayer()
        layer.lazy_initialization(keys, values)
        layer.keys, layer.values = keys, values
        cache.layers.append(layer)
    return cache


def _arrays(cache: DynamicCache) -> list[Any]:
    return [array for layer in cache.layers for array in (layer.keys, layer.values)]


def cross_to_onnx(decoder: Decoder, card: DecoderCard, file: Path) -> None:
    """Write the float32 `cross` graph: `states`, `mix`, then A and B of its sites -> `key_0`,
    `value_0`, `key_1` ..."""
    rows, seq, width = Dim("rows"), Dim("seq"), Dim("width")
    sites = decoder.sites(card, decoder.of_cross)
    names, banks, shapes = _banks(sites, width)
    example = (torch.randn(3, 7, decoder.hidden), torch.ones(3, 2 * EXAMPLE_RANK), *banks)
    export_program(
        Cross(decoder, sites, names),
        example,
        ({0: rows, 1: seq}, {0: rows, 1: width}, tuple(shapes)),
        ["states", "mix", *names],
        card.cache(""),
        file,
    )
    made = onnx.load(file)
    steady(made, sequences=True)
    onnx.save(made, file)


def step_to_onnx(decoder: Decoder, card: DecoderCard, file: Path) -> None:
    """Write the float32 `step` graph; `best`, int64 [1], says how many next tokens to give."""
    rows, seq, past, width = Dim("rows"), Dim("seq"), Dim("past"), Dim("width")
    sites = decoder.sites(card, decoder.of_step)
    names, banks, shapes = _banks(sites, width)
    old = [torch.randn(3, card.heads, 5, card.head_size) for _ in range(2 * card.layers)]
    read = [torch.randn(3, card.heads, 7, card.head_size) for _ in range(2 * card.layers)]
    example = (
        torch.tensor([TOKEN, TOKEN + 1, TOKEN + 2]),
        torch.tensor([3, 4, 5]),
        torch.zeros(3, 6),
        torch.zeros(3, 7),
        torch.ones(3, 2 * EXAMPLE_RANK),
        *old,
        *read,
        *banks,
    )
    by_row = [{0: rows}, {0: rows}, {0: rows, 1: past + 1}, {0: rows, 1: seq}, {0: rows, 1: width}]
    cache = [{0: rows, 2: past}] * len(old) + [{0: rows, 2: seq}] * len(read)
    inputs = ["token", "position", "mask", "source", "mix"]
    inputs += [*card.cache("past_"), *card.cache(""), *names]
    export_program(
        Step(decoder, sites, names),
        example,
        (*by_row, (*cache, *shapes)),
        inputs,
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
