"""Monolingual lines translated into English by the model as it stands, so that it learns to write
them from something that a user might send."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from transformers import EncoderDecoderModel

from polygraft.architectures.target_tokenizer import TargetTokenizer
from polygraft.architectures.text import TextEncoder
from polygraft.pretrain.feed import read_rows
from polygraft.pretrain.pack import ENGLISH, Packed
from polygraft.pretrain.recipe import BackTranslation
from polygraft.tasks.translation.greedy import generated
from polygraft.training.batches import cut, tensors

TOKENS = {"cpu": 2_048, "cuda": 65_536}
"""Tokens read at once."""
LEAST, LONGEST = 3, 3.0
"""English of fewer pieces, or so many times as long as its line or as much shorter, is no
translation of it."""


def add_back_translations(
    model: EncoderDecoderModel,
    packed: Packed,
    wanted: BackTranslation,
    encoder: TextEncoder,
    pieces: TargetTokenizer,
    *,
    device: str,
    bf16: bool,
    seed: int,
) -> Packed:
    """`packed` with a one-way pair for each line of the `wanted` languages that is in no pair yet,
    its English written greedily by `model`. Lines whose English cannot be a translation are left
    out: empty, far too long or short, or the line itself."""
    lines = _lines(packed, wanted, seed)
    english = _write(model.to(device).eval(), packed, lines, pieces, device, bf16)
    lengths = packed.target_lengths[lines]
    kept = [
        i
        for i, written in enumerate(english)
        if len(written) >= LEAST
        and 1 / LONGEST <= len(written) / lengths[i] <= LONGEST
        and written != packed.written(int(lines[i])).tolist()
    ]
    sources = encoder.encode([pieces.decode(english[i]).strip() for i in kept])
    return packed.with_sources(sources, lines[kept], wanted.weight)


def _lines(packed: Packed, wanted: BackTranslation, seed: int) -> NDArray[np.int64]:
    """The sentences to translate: those in no pair, at most `wanted.lines` a language."""
    paired = np.zeros(len(packed), bool)
    paired[packed.pairs] = True
    rng, chosen = np.random.default_rng(seed), list[NDArray[np.int64]]()
    for language in wanted.languages:
        free = np.flatnonzero((packed.language == packed.languages.index(language)) & ~paired)
        chosen.append(rng.permutation(free)[: wanted.lines])
    return np.concatenate(chosen)


def _write(
    model: EncoderDecoderModel,
    packed: Packed,
    lines: NDArray[np.int64],
    pieces: TargetTokenizer,
    device: str,
    bf16: bool,
) -> list[list[int]]:
    """Greedy English of `lines`, as piece ids without start and end."""
    lengths = packed.source_lengths[lines]
    start, outputs = pieces.start(ENGLISH), [list[int]() for _ in lines]
    batches = cut(np.argsort(lengths, kind="stable"), lengths, TOKENS[device])
    for rows in track(batches, "back-translating"):
        inputs = tensors(read_rows(packed, lines[rows]), device)
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            written = generated(model, pieces, inputs, start)
        for row, ids in zip(rows, written, strict=True):
            ended = ids.index(pieces.end) if pieces.end in ids else len(ids)
            outputs[row] = ids[:ended]
    return outputs
