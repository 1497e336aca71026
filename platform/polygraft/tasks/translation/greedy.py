"""Greedy translation in PyTorch, by a backbone with or without an adapter: the reference for the
ONNX graphs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import torch
from transformers import PreTrainedModel

from polygraft.architectures.target_tokenizer import END_ID, PAD_ID, TargetTokenizer, bound
from polygraft.architectures.text import TextEncoder
from polygraft.tasks.translation import segments
from polygraft.tasks.translation.serving import Direction
from polygraft.training.batches import tensors

BATCH = 48


def translate(
    model: PreTrainedModel,
    encoder: TextEncoder,
    tokenizer: TargetTokenizer,
    texts: Sequence[str],
    language: str,
) -> list[str]:
    """Greedy translations into `language`, in order. Raises `KeyError` when the decoder has no tag
    for the language."""
    written = write(model, encoder, texts, tokenizer.start(language))
    return [tokenizer.decode(ids).strip() for ids in written]


def translate_passages(
    model: PreTrainedModel,
    encoder: TextEncoder,
    tokenizer: TargetTokenizer,
    texts: Sequence[str],
    direction: Direction,
) -> list[str]:
    """Greedy translations of texts of any length, in order, as the service makes them: each text is
    cut into sentences, and long sentences are cut too; the translations are joined again."""
    source, target = direction
    passages = [segments.split(text, source, segments.fits(encoder)) for text in texts]
    to_translate = [
        [segment.text for segment in passage if not segment.verbatim] for passage in passages
    ]
    flat = [text for group in to_translate for text in group]
    translations = iter(translate(model, encoder, tokenizer, flat, target))
    return [
        segments.join(passage, list(islice(translations, len(group))))
        for passage, group in zip(passages, to_translate, strict=True)
    ]


@torch.no_grad()
def write(
    model: PreTrainedModel, encoder: TextEncoder, texts: Sequence[str], start: int
) -> list[list[int]]:
    """Greedy piece ids after the tag `start`, in order, without tag and end; each of at most
    `target_tokenizer.bound` pieces."""
    rows = encoder.encode(texts)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    outputs: list[list[int]] = [[] for _ in rows]
    positions = model.config.decoder.max_position_embeddings - 1
    for first in range(0, len(order), BATCH):
        picked = order[first : first + BATCH]
        inputs = tensors(encoder.pad([rows[i] for i in picked]), model.device)
        longest = int(inputs["input_ids"].shape[1])
        written = model.generate(
            **inputs,
            decoder_input_ids=torch.full((len(picked), 1), start, device=model.device),
            do_sample=False,
            num_beams=1,
            max_new_tokens=min(positions, bound(longest)),
            eos_token_id=END_ID,
            pad_token_id=PAD_ID,
            decoder_start_token_id=start,
        )
        for i, ids in zip(picked, written[:, 1:].tolist(), strict=True):
            outputs[i] = [t for t in ids[: bound(len(rows[i]))] if t not in (END_ID, PAD_ID)]
    return outputs
