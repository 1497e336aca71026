"""How a training is watched while it runs: loss and chrF++ on held-out pairs, both ways with
English.

The pairs lie in `WORK/dev.jsonl`, so that a run goes on where the corpora are not. They are read as
the service reads: general text, no domain's tag, whatever they are.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import EncoderDecoderModel

from polygraft.architectures.target_tokenizer import TargetTokenizer
from polygraft.architectures.text import TextEncoder
from polygraft.pretrain.corpus import EnglishPair
from polygraft.pretrain.objectives import Ids, losses
from polygraft.pretrain.pack import ENGLISH, Packed, pack
from polygraft.pretrain.plan import Batch
from polygraft.pretrain.recipe import Objectives, Schedule
from polygraft.pretrain.tally import Tally
from polygraft.tasks.translation.greedy import translate
from polygraft.tasks.translation.metrics import chrf_plus_plus
from polygraft.training.batches import cut
from polygraft.training.noise import MaskedHead

TOKENS = 3072
TRANSLATE = Objectives(denoise=0, masked=0, distil=0, label_smoothing=0)


def save_pairs(pairs: Sequence[EnglishPair], file: Path) -> None:
    """One JSON object a line; written beside and moved."""
    rows = [{"language": p.language, "english": p.english, "text": p.text} for p in pairs]
    partial = file.with_suffix(".tmp")
    partial.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
    )
    partial.replace(file)


def load_pairs(file: Path) -> list[EnglishPair]:
    lines = file.read_text(encoding="utf-8").split("\n")
    return [EnglishPair(**json.loads(line), weight=1.0) for line in lines if line]


@dataclass(frozen=True)
class DevSet:
    """The pairs, how the backbone reads and writes them, and the arithmetic: under bf16 autocast or
    in float32."""

    pairs: list[EnglishPair]
    encoder: TextEncoder
    pieces: TargetTokenizer
    device: str
    bf16: bool

    def of(self, languages: Sequence[str] | None) -> DevSet:
        """Only the pairs of these languages; None: all."""
        if languages is None:
            return self
        return replace(self, pairs=[pair for pair in self.pairs if pair.language in languages])

    def figures(self, model: EncoderDecoderModel, schedule: Schedule, step: int) -> dict[str, Any]:
        """What is due at `step`: `dev`, the mean loss over directions, and `chrf++`, the mean
        score; each also by direction. The last step has both."""
        last = step == schedule.steps
        if not last and step % schedule.dev_steps:
            return {}
        was_training = model.training
        model.eval()
        losses_by_direction = self.losses(model)
        figures: dict[str, Any] = {
            "dev": round(float(np.mean([*losses_by_direction.values()])), 4),
            "dev_directions": losses_by_direction,
        }
        if schedule.score_steps and (last or step % schedule.score_steps == 0):
            scores = self.chrf(model)
            figures["chrf++"] = round(float(np.mean([*scores.values()])), 2)
            figures["chrf++_directions"] = scores
        model.train(was_training)
        return figures

    @torch.no_grad()
    def losses(self, model: EncoderDecoderModel) -> dict[str, float]:
        """Mean loss of a piece by direction, against all pieces."""
        packed = pack(
            self.pairs, {}, self.encoder, self.pieces.tokenizer, max_length=self.encoder.max_length
        )
        ids = Ids(
            mask=0,
            closing=0,
            tags=[self.pieces.start(language)[0] for language in packed.languages],
        )
        tally = Tally(packed.languages)
        head, rng = MaskedHead(1), np.random.default_rng(0)  # asked for, not used by translations
        for batch in _batches(packed):
            with torch.autocast(self.device, torch.bfloat16, enabled=self.bf16):
                losses(
                    batch,
                    packed,
                    model,
                    model.encoder,
                    head,
                    TRANSLATE,
                    ids,
                    rng,
                    self.device,
                    tally,
                )
        return tally.means()

    def chrf(self, model: EncoderDecoderModel) -> dict[str, float]:
        """chrF++ of greedy translations by direction."""
        figures = {}
        for language in dict.fromkeys(pair.language for pair in self.pairs):
            pairs = [pair for pair in self.pairs if pair.language == language]
            english, other = [pair.english for pair in pairs], [pair.text for pair in pairs]
            for sources, references, source, target in (
                (english, other, ENGLISH, language),
                (other, english, language, ENGLISH),
            ):
                with torch.autocast(self.device, torch.bfloat16, enabled=self.bf16):
                    written = translate(model, self.encoder, self.pieces, sources, (source, target))
                score = chrf_plus_plus().corpus_score(written, [references]).score
                figures[f"{source}-{target}"] = round(score, 1)
        return figures


def _batches(packed: Packed) -> list[Batch]:
    """Every pair both ways, rows of like length together."""
    english, other = packed.pairs.T.astype(np.int64)
    sources, targets = np.concatenate([english, other]), np.concatenate([other, english])
    read, write = packed.source_lengths[sources], packed.target_lengths[targets] + 2
    groups = cut(np.lexsort((write, read)), read + write, TOKENS)
    return [Batch("translate", sources[g], targets[g], sources[g]) for g in groups]
