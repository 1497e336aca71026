"""Greedy translation in PyTorch, by a backbone with or without an adapter: the reference for the
ONNX graphs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from polygraft.architectures.target_tokenizer import END_ID, PAD_ID, TargetTokenizer, bound
from polygraft.architectures.text import TextEncoder
from polygraft.tasks.translation import segments
from polygraft.tasks.translation.serving import Direction

BATCH = 48


def translate(
    model: PreTrainedModel,
    encoder: TextEncoder,
    pieces: TargetTokenizer,
    texts: Sequence[str],
    language: str,
) -> list[str]:
    """Greedy translations into `language`, in order. Raises `KeyError` when the decoder has no tag
    for the language."""
    return [
        pieces.decode(ids).strip() for ids in write(model, encoder, texts, pieces.start(language))
    ]


def translate_passages(
    model: PreTrainedModel,
    encoder: TextEncoder,
    pieces: TargetTokenizer,
    texts: Sequence[str],
    direction: Direction,
) -> list[str]:
    """The same as the service does it: sentence by sentence, long ones cut, put together again."""
    cut = [segments.split(text, direction[0], segments.fits(encoder)) for text in texts]
    fresh = [[one.text for one in each if not one.verbatim] for each in cut]
    new = iter(
        translate(model, encoder, pieces, [text for each in fresh for text in each], direction[1])
    )
    return [
        segments.join(each, [next(new) for _ in texts])
        for each, texts in zip(cut, fresh, strict=True)
    ]


@torch.no_grad()
def write(
    model: PreTrainedModel, encoder: TextEncoder, texts: Sequence[str], start: int
) -> list[list[int]]:
    """Greedy piece ids after the tag `start`, in order; each at most `pieces.bound`, without tag
    and end."""
    rows = encoder.encode(texts)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    out: list[list[int]] = [[] for _ in rows]
    room = model.config.decoder.max_position_embeddings - 1
    for first in range(0, len(order), BATCH):
        picked = order[first : first + BATCH]
        inputs = {
            k: torch.from_numpy(v).to(model.device)
            for k, v in encoder.pad([rows[i] for i in picked]).items()
        }
        longest = int(inputs["input_ids"].shape[1])
        written = model.generate(
            **inputs,
            decoder_input_ids=torch.full((len(picked), 1), start, device=model.device),
            do_sample=False,
            num_beams=1,
            max_new_tokens=min(room, bound(longest)),
            eos_token_id=END_ID,
            pad_token_id=PAD_ID,
            decoder_start_token_id=start,
        )
        for i, ids in zip(picked, written[:, 1:].tolist(), strict=True):
            out[i] = [t for t in ids[: bound(len(rows[i]))] if t not in (END_ID, PAD_ID)]
    return out
