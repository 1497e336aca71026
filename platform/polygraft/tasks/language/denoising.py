"""The backbone's own objective as a measure: how well its frozen decoder writes texts whose spans
were cut."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import peft
import torch

from polygraft.architectures.conventions import read_conventions
from polygraft.architectures.loading import load_seq2seq
from polygraft.architectures.target_tokenizer import load_target_tokenizer
from polygraft.architectures.text import TextEncoder
from polygraft.tasks.language.batches import NoisyBatches, rows_of, scoring_groups
from polygraft.tasks.language.model import Reader

TOKENS = 8192


def can_write(language: str, backbone: Path) -> bool:
    """Whether the backbone has a decoder that knows the language."""
    conventions = read_conventions(backbone)
    return conventions is not None and conventions.code(language) is not None


def denoising_of_adapter(
    adapted: peft.PeftModel,
    backbone: Path,
    encoder: TextEncoder,
    texts: Sequence[str],
    language: str,
) -> dict[str, float] | None:
    """`denoising` of any adapter on the encoder; None when the backbone cannot write the language,
    or all texts are too long."""
    if not can_write(language, backbone):
        return None
    tokenizer = load_target_tokenizer(backbone)
    longest = min(encoder.max_length, tokenizer.conventions.max_length)
    rows = rows_of(texts, encoder, tokenizer, language, longest)
    if not rows:
        return None
    reader = Reader(adapted, load_seq2seq(backbone), 0)
    groups = scoring_groups(rows, TOKENS)
    batches = NoisyBatches(rows, groups, encoder, tokenizer, writes=True, seed=0)
    return denoising(reader, batches)


@torch.no_grad()
def denoising(reader: Reader, batches: NoisyBatches) -> dict[str, float]:
    """The decoder's mean loss of a piece, in nats, when it reads what the bare encoder gives and
    what the adapted one gives."""
    reader.eval()
    sums = {"bare": 0.0, "adapter": 0.0}
    pieces = 0
    for i in range(len(batches)):
        batch = batches[i]
        count = int((batch["labels"] >= 0).sum())
        pieces += count
        sums["adapter"] += count * float(reader(**batch)["loss"])
        with reader.adapted.disable_adapter():
            sums["bare"] += count * float(reader(**batch)["loss"])
    return {name: round(total / pieces, 4) for name, total in sums.items()}
