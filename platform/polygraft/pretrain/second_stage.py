"""The second stage: a decoder beside the encoder. Packs the text once, then trains from the packed file alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer
from transformers import EncoderDecoderModel

from polygraft.backbone import BackboneFiles, load_backbone
from polygraft.pretrain import corpus, decoder_vocabulary, seq2seq
from polygraft.pretrain.corpus import Text
from polygraft.pretrain.mixed import train_mixed
from polygraft.pretrain.objectives import Ids
from polygraft.pretrain.pack import ENGLISH, Packed, pack
from polygraft.pretrain.recipe import Seq2SeqRecipe
from polygraft.text import load_encoder


def add_decoder(
    stage: Seq2SeqRecipe, folder: Path, start: Path, text: Callable[[], Text], work: Path, *,
    seed: int, device: str, hours: float | None, bf16: bool | None,
) -> EncoderDecoderModel:  # fmt: skip
    """Train the whole from the encoder in `start`. `text` is only called when `work/packed.npz` is not there yet.

    Writes the encoder's and the decoder's tokenizers into `folder`. `hours` stops the training early, as it stands.
    """
    here, there = BackboneFiles(folder), BackboneFiles(start)
    shutil.copyfile(there.tokenizer, here.tokenizer)
    shutil.copyfile(there.tokenizer_config, here.tokenizer_config)
    file = work / "packed.npz"
    if not file.exists():
        pack_text(stage, folder, start, text(), seed).save(file)
    packed = Packed.load(file)
    body, encoder = load_backbone(start).requires_grad_(True), load_encoder(start)
    pieces = Tokenizer.from_file(str(here.decoder_tokenizer))
    rows = seq2seq.first_rows(pieces, encoder.tokenizer, body.get_input_embeddings().weight.detach().numpy())
    model = seq2seq.build(body, rows, stage.decoder, max_length=2 * stage.schedule.max_length, seed=seed)
    known, tags = encoder.tokenizer.get_vocab(), pieces.get_vocab()
    ids = Ids(known["[MASK]"], known["[SEP]"], [tags[decoder_vocabulary.tag(language)] for language in packed.languages])
    return train_mixed(
        model, packed, stage, ids, work, seed=seed, device=device,
        bf16=device == "cuda" if bf16 is None else bf16, until=None if hours is None else hours * 3600,
    )  # fmt: skip


def pack_text(stage: Seq2SeqRecipe, folder: Path, start: Path, text: Text, seed: int) -> Packed:
    """Learn the decoder's vocabulary into `folder`, unless it is there; draw the stage's text; cut it into tokens."""
    file = BackboneFiles(folder).decoder_tokenizer
    if not file.exists():
        learnt = decoder_vocabulary.learn_unigram(stage.decoder, text.foreign | {ENGLISH: text.english}, seed)
        learnt.save(str(file))
    plan = corpus.plan(text.pairs, draws=stage.pairs, exponent=stage.schedule.first_exponent, seed=seed)
    each = max(1, stage.lines // max(1, len(text.lines)))
    some = {language: lines[:: max(1, len(lines) // each)] for language, lines in text.lines.items()}
    longest = stage.schedule.max_length
    return pack(
        [text.pairs[i] for i in np.unique(plan)], some, load_encoder(start, max_length=longest),
        Tokenizer.from_file(str(file)), max_length=longest,
    )  # fmt: skip
