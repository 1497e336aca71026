"""Parity of the decoder's graphs: texts written with several adapters mixed in one batch, scored
again by PyTorch + peft."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from polygraft.architectures.loading import load_seq2seq
from polygraft.architectures.target_tokenizer import load_target_tokenizer
from polygraft.architectures.text import load_encoder
from polygraft.export.parity import TEXTS, random_adapters
from polygraft.runtime.bank import Bank
from polygraft.runtime.decode import DecoderBatch, DecodeRequest, DecoderSession
from polygraft.runtime.graph import DecoderCard, Stack
from polygraft.runtime.search import Hypothesis, Search
from polygraft.training.batches import tensors

MOST = 12


def decoder_drift(
    backbone: Path, card: DecoderCard, models: dict[str, tuple[Path, Path]]
) -> dict[str, float]:
    """For each precision, whose `cross` and `step` graphs are given: the largest difference between
    the mean log-probability a token that the graph gave to a text it wrote greedily, and that
    PyTorch + peft gives to the same text."""
    torch.manual_seed(0)
    encoder, pieces = load_encoder(backbone), load_target_tokenizer(backbone)
    bank, adapted, stacks = (
        Bank(card.sites, capacity=3),
        [load_seq2seq(backbone)],
        list[Stack]([[]]),
    )
    for model, lora in random_adapters(
        lambda: load_seq2seq(backbone), [s.name for s in card.sites]
    ):
        stacks.append([(slot, 1.0) for slot in bank.write(lora, "parity")])
        adapted.append(model)
    directions = [pieces.conventions.sample(i) for i in range(len(TEXTS))]
    with torch.no_grad():
        inner = adapted[0].get_encoder()
        states = [
            inner(**tensors(encoder.pad([row]))).last_hidden_state[0].numpy()
            for row in encoder.encode_sources(TEXTS, directions)
        ]
    which = [i % len(adapted) for i in range(len(states))]
    texts = [
        DecodeRequest(s, stacks[k], pieces.start(target), Search(), MOST)
        for s, k, (_, target) in zip(states, which, directions, strict=True)
    ]
    figures = {}
    for precision, (cross, step) in models.items():
        session = DecoderSession(cross, step, card)
        written = _write(DecoderBatch(session, bank, pieces.end, pieces.never), texts)
        figures[precision] = max(
            abs(_score(adapted[k], t, h, pieces.end) - h.score)
            for k, t, h in zip(which, texts, written, strict=True)
        )
    return figures


def _write(batch: DecoderBatch, texts: list[DecodeRequest]) -> list[Hypothesis]:
    """Greedily; the second half joins when the first is under way."""
    half, found = len(texts) // 2, dict[int, Hypothesis]()
    batch.add(texts[:half])
    for step in range(4 * MOST):
        if step == 3:
            batch.add(texts[half:])
        found |= {
            id(text): hypotheses[0] for text, hypotheses in (batch.step() if batch.rows else [])
        }
    return [found[id(text)] for text in texts]


@torch.no_grad()
def _score(model: PreTrainedModel, text: DecodeRequest, written: Hypothesis, end: int) -> float:
    """Mean log-probability a token of what was written."""
    tokens = written.tokens if written.cut else [*written.tokens, end]
    states = torch.from_numpy(text.states)[None]
    given = torch.tensor([[*text.start, *tokens[:-1]]])
    outputs = BaseModelOutput(last_hidden_state=states)
    logits = model(encoder_outputs=outputs, decoder_input_ids=given).logits[
        0, len(text.start) - 1 :
    ]
    chosen = logits.log_softmax(-1)[torch.arange(len(tokens)), torch.tensor(tokens)]
    return float(np.mean(chosen.numpy()))
