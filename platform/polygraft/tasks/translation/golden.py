"""The golden inputs of a translator: short texts whose translation it changes much, and int8
little, with it and without."""

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
    """Of `texts` by direction, those whose translations by the models `adapted` and `bare` are
    told apart best when noise is on the weights, which stands in for int8. `bare` is what lies
    under the adapter."""
    models, candidates = [adapted, bare], list[tuple[float, GoldenText]]()
    models += [_with_noise(model) for model in models]
    for (source, target), of_direction in texts.items():
        short = [text for text in of_direction if len(text) <= MAX_CHARACTERS][:CANDIDATES]
        written = [translate(model, *tokenizers, short, (source, target)) for model in models]
        for text, ours, theirs, *noisy in zip(short, *written, strict=True):
            if ours:
                golden = GoldenText(
                    text=text, source=source, target=target, written=ours, bare=theirs
                )
                candidates.append((_told_apart(ours, theirs, *noisy), golden))
    candidates.sort(key=lambda candidate: -candidate[0])
    return [golden for _, golden in candidates[:GOLDENS]]


def _told_apart(ours: str, theirs: str, noisy_ours: str, noisy_theirs: str) -> float:
    """How much more each noisy text is like its own than like the other's, of the two the lesser:
    what `compare_texts` asks for."""
    return min(
        likeness(noisy_ours, ours) - likeness(noisy_ours, theirs),
        likeness(noisy_theirs, theirs) - likeness(noisy_theirs, ours),
    )


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
