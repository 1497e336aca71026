"""The backbone's own objective as a measure: how well its frozen decoder writes texts whose spans
were cut."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import peft
import torch

from polygraft.architectures.folder import BackboneFiles
from polygraft.architectures.loading import load_seq2seq
from polygraft.architectures.target_tokenizer import TargetTokenizer
from polygraft.architectures.text import TextEncoder
from polygraft.tasks.language.batches import Noisy, rows_of, scoring_groups
from polygraft.tasks.language.model import Reader

TOKENS = 8192


def start_of(language: str, backbone: Path) -> int | None:
    """The decoder's tag for the language; None when the backbone cannot write it."""
    file = BackboneFiles(backbone).decoder_tokenizer
    pieces = TargetTokenizer(file) if file.is_file() else None
    return pieces.start(language) if pieces and language in pieces.languages else None


def of_adapted(
    adapted: peft.PeftModel,
    backbone: Path,
    encoder: TextEncoder,
    texts: Sequence[str],
    language: str,
) -> dict[str, float] | None:
    """`denoising` of any adapter on the encoder; None when the backbone cannot write it, or all
    texts are too long."""
    start = start_of(language, backbone)
    if start is None:
        return None
    pieces = TargetTokenizer(BackboneFiles(backbone).decoder_tokenizer)
    rows = rows_of(texts, encoder, pieces, start, encoder.max_length)
    if not rows:
        return None
    reader = Reader(adapted, load_seq2seq(backbone).decoder, 0)
    return denoising(
        reader, Noisy(rows, scoring_groups(rows, TOKENS), encoder, writes=True, seed=0)
    )


@torch.no_grad()
def denoising(reader: Reader, batches: Noisy) -> dict[str, float]:
    """Mean loss a piece, nats, of what the decoder writes: after the bare encoder and after the
    adapted one."""
    reader.eval()
    sums, pieces = {"bare": 0.0, "adapter": 0.0}, 0
    for i in range(len(batches)):
        batch = batches[i]
        count = int((batch["labels"] >= 0).sum())
        pieces += count
        sums["adapter"] += count * float(reader(**batch)["loss"])
        with reader.adapted.disable_adapter():
            sums["bare"] += count * float(reader(**batch)["loss"])
    return {name: round(total / pieces, 4) for name, total in sums.items()}
