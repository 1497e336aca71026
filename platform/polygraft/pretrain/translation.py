"""Greedy translation by the bare backbone, and its scores beside copying the source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sacrebleu
import torch
from tokenizers import Tokenizer
from transformers import PreTrainedModel

from polygraft.pretrain.decoder_vocabulary import END_ID, PAD_ID, tag
from polygraft.text import TextEncoder, pad

BATCH = 48


@torch.no_grad()
def translate(
    model: PreTrainedModel, encoder: TextEncoder, pieces: Tokenizer, texts: Sequence[str], language: str
) -> list[str]:
    """Greedy translations into `language`, in order; each at most twice its source's tokens and ten more.

    Raises `KeyError` when the decoder has no tag for the language.
    """
    start = pieces.get_vocab()[tag(language)]
    rows = encoder.encode(texts)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    out = [""] * len(rows)
    for first in range(0, len(order), BATCH):
        picked = order[first : first + BATCH]
        inputs = {k: torch.from_numpy(v) for k, v in pad([rows[i] for i in picked], encoder.pad_id).items()}
        longest = int(inputs["input_ids"].shape[1])
        room = model.config.decoder.max_position_embeddings - 1
        written = model.generate(
            **inputs, decoder_input_ids=torch.full((len(picked), 1), start), do_sample=False, num_beams=1,
            max_new_tokens=min(room, 2 * longest + 10), eos_token_id=END_ID, pad_token_id=PAD_ID,
            decoder_start_token_id=start,
        )  # fmt: skip
        for i, ids in zip(picked, written[:, 1:].tolist(), strict=True):
            out[i] = pieces.decode([t for t in ids if t not in (PAD_ID, END_ID)])
    return out


def scores(hypotheses: Sequence[str], references: Sequence[str]) -> dict[str, Any]:
    """chrF++ and BLEU, 0 to 100, with sacreBLEU's signatures (Post 2018)."""
    chrf, bleu = sacrebleu.CHRF(word_order=2), sacrebleu.BLEU()
    hypotheses, references = list(hypotheses), list(references)
    return {
        "chrf++": round(chrf.corpus_score(hypotheses, [references]).score, 1),
        "bleu": round(bleu.corpus_score(hypotheses, [references]).score, 1),
        "signatures": [str(chrf.get_signature()), str(bleu.get_signature())],
    }
