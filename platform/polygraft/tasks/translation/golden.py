"""The golden inputs of a translator: short texts whose translation it changes much and int8
little."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from polygraft.architectures.conventions import Direction
from polygraft.architectures.target_tokenizer import TargetTokenizer
from polygraft.architectures.text import TextEncoder
from polygraft.tasks.goldens import likeness
from polygraft.tasks.translation.greedy import translate
from polygraft.tasks.translation.manifest import GoldenText
from polygraft.training.goldens import MAX_CHARACTERS

GOLDENS, CANDIDATES = 6, 40  # kept of so many texts a direction
NOISE = 0.03  # of a weight matrix's standard deviation


def choose_goldens(
    adapted: Any,
    bare: Any,
    tokenizers: tuple[TextEncoder, TargetTokenizer],
    texts: Mapping[Direction, Sequence[str]],
) -> list[GoldenText]:
    """Of `texts` by direction, those whose translation differs most between the models `adapted`
    and `bare`, and least when noise is on the weights, which stands in for int8. `bare` is what
    lies under the adapter."""
    noisy, candidates = _with_noise(adapted), list[tuple[float, GoldenText]]()
    for direction, of_direction in texts.items():
        short = [text for text in of_direction if len(text) <= MAX_CHARACTERS][:CANDIDATES]
        by_adapter, by_bare, by_noisy = (
            translate(model, *tokenizers, short, direction) for model in (adapted, bare, noisy)
        )
        for text, ours, bares, noisys in zip(short, by_adapter, by_bare, by_noisy, strict=True):
            if ours:
                source, target = direction
                golden = GoldenText(
                    text=text, source=source, target=target, written=ours, bare=bares
                )
                candidates.append((likeness(noisys, ours) - likeness(bares, ours), golden))
    candidates.sort(key=lambda candidate: -candidate[0])
    return [golden for _, golden in candidates[:GOLDENS]]


@torch.no_grad()
def _with_noise(model: torch.nn.Module) -> Any:
    """A copy whose weights are off by about as much as int8 makes them."""
    copied, generator = copy.deepcopy(model), torch.Generator().manual_seed(0)
    for layer in copied.modules():
        if isinstance(layer, torch.nn.Linear):
            layer.weight += (
                NOISE * layer.weight.std() * torch.randn(layer.weight.shape, generator=generator)
            )
    return copied
