"""Greedy translation in PyTorch, by a backbone with or without an adapter: the reference for the
ONNX graphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

import torch
from transformers import PreTrainedModel

from polygraft.architectures.conventions import Direction
from polygraft.architectures.target_tokenizer import TargetTokenizer
from polygraft.architectures.text import TextEncoder
from polygraft.tasks.translation import segments
from polygraft.training.batches import tensors

BATCH = 48


def translate(
    model: PreTrainedModel,
    encoder: TextEncoder,
    tokenizer: TargetTokenizer,
    texts: Sequence[str],
    direction: Direction,
) -> list[str]:
    """Greedy translations, in order. Raises `KeyError` when the backbone does not know a
    language."""
    written = write(model, encoder, tokenizer, texts, direction)
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
    passages = [segments.split(text, direction[0], segments.fits(encoder)) for text in texts]
    to_translate = [
        [segment.text for segment in passage if not segment.verbatim] for passage in passages
    ]
    flat = [text for group in to_translate for text in group]
    translations = iter(translate(model, encoder, tokenizer, flat, direction))
    return [
        segments.join(passage, list(islice(translations, len(group))))
        for passage, group in zip(passages, to_translate, strict=True)
    ]


@torch.no_grad()
def write(
    model: PreTrainedModel,
    encoder: TextEncoder,
    tokenizer: TargetTokenizer,
    texts: Sequence[str],
    direction: Direction,
) -> list[list[int]]:
    """Greedy piece ids, in order, without start and end; each of at most `TargetTokenizer.most`
    pieces."""
    rows = encoder.encode_sources(texts, [direction] * len(texts))
    start = tokenizer.start(direction[1])
    not_text = {tokenizer.end, tokenizer.pad}
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    outputs: list[list[int]] = [[] for _ in rows]
    for first in range(0, len(order), BATCH):
        picked = order[first : first + BATCH]
        inputs = tensors(encoder.pad([rows[i] for i in picked]), model.device)
        for i, ids in zip(picked, generated(model, tokenizer, inputs, start), strict=True):
            outputs[i] = [t for t in ids[: tokenizer.most(len(rows[i]))] if t not in not_text]
    return outputs


@torch.no_grad()
def generated(
    model: PreTrainedModel,
    tokenizer: TargetTokenizer,
    inputs: Mapping[str, torch.Tensor],
    start: list[int],
) -> list[list[int]]:
    """What the model writes greedily after `start` for a padded batch, int64 [rows, seq] each: ids
    of a row, its end and padding too, as many for all."""
    rows, longest = inputs["input_ids"].shape
    written = model.generate(
        **inputs,
        decoder_input_ids=torch.tensor([start] * rows, device=model.device),
        do_sample=False,
        num_beams=1,
        max_new_tokens=tokenizer.most(longest),
        eos_token_id=tokenizer.end,
        pad_token_id=tokenizer.pad,
        decoder_start_token_id=start[0],
        suppress_tokens=list(tokenizer.never) or None,
    )
    ids: list[list[int]] = written[:, len(start) :].tolist()
    return ids
