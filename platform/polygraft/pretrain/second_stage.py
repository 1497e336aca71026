"""The second stage: a decoder beside the encoder. Packs the text once, then trains from the packed
file alone."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import EncoderDecoderModel

from polygraft.architectures.folder import BackboneFiles
from polygraft.architectures.loading import load_backbone, load_seq2seq, untrained_seq2seq
from polygraft.architectures.target_tokenizer import load_target_tokenizer
from polygraft.architectures.text import load_encoder
from polygraft.errors import BackboneError
from polygraft.pretrain import corpus, decoder_vocabulary, encoder_adapter, seq2seq
from polygraft.pretrain.back_translation import add_back_translations
from polygraft.pretrain.checkpoint import PORTABLE
from polygraft.pretrain.corpus import EnglishPair, TrainingText
from polygraft.pretrain.dev import DevSet, load_pairs, save_pairs
from polygraft.pretrain.mixed import train_phase
from polygraft.pretrain.objectives import Ids
from polygraft.pretrain.pack import ENGLISH, Packed, describe, pack
from polygraft.pretrain.recipe import Phase, Seq2SeqRecipe
from polygraft.training.speed import bf16_wanted

ADAPTER = "mt"  # the folder in a backbone's that the encoder's adapter is written to


def add_decoder(
    stage: Seq2SeqRecipe,
    folder: Path,
    start: Path,
    text: Callable[[], TrainingText],
    work: Path,
    *,
    seed: int,
    device: str,
    hours: float | None,
    bf16: bool | None,
    dev: Callable[[], list[EnglishPair]] | None = None,
) -> EncoderDecoderModel:
    """Train the whole from the encoder in `start`, or, when that has a decoder, go on with both.
    `text` is only called when `work/packed.npz` is not there yet; `dev`, which reads the dev pairs,
    when `work/dev.jsonl` is not.

    Writes the encoder's and the decoder's tokenizers and `text.json` (sentences, tokens and pairs a
    language) into `folder`, and where the stage has an adapter, that into `folder/mt`. `hours`
    stops the training early, as it stands.
    """
    files = BackboneFiles(start)
    has_decoder = files.decoder_tokenizer.is_file()
    files.copy_tokenizers(folder)
    file = work / "packed.npz"
    if not file.exists():
        pack_text(stage, folder, start, text(), seed).save(file)
    packed = Packed.load(file)
    (folder / "text.json").write_text(
        json.dumps(describe(packed), indent=1) + "\n", encoding="utf-8"
    )
    model = (
        load_seq2seq(start).requires_grad_(True)
        if has_decoder
        else _with_decoder(stage, folder, start, seed)
    )
    decoder_vocabulary.describe(folder, model.config.decoder.max_position_embeddings)
    adapted = encoder_adapter.add_lora(model, stage.adapter, seed) if stage.adapter else None
    ids = _ids(folder, packed, stage)
    bf16 = bf16_wanted(bf16, lambda: _encode_short_texts(model))
    dev_set = _dev_set(dev, folder, start, work, device, bf16) if dev else None
    end = None if hours is None else time.monotonic() + hours * 3600
    for phase in _phases_left(stage.phases, work):
        if phase.back_translation:
            packed = _back_translated(model, packed, phase, folder, start, work, device, bf16, seed)
        model, done = train_phase(
            model,
            packed,
            phase,
            ids,
            work / phase.name,
            seed=seed,
            device=device,
            bf16=bf16,
            end=end,
            dev=dev_set and dev_set.of(phase.languages),
        )
        if not done:
            break
    if adapted is not None:
        encoder_adapter.save_and_remove_lora(adapted, folder / ADAPTER, folder)
    return model


def _back_translated(
    model: EncoderDecoderModel,
    packed: Packed,
    phase: Phase,
    folder: Path,
    start: Path,
    work: Path,
    device: str,
    bf16: bool,
    seed: int,
) -> Packed:
    """The text with what `model`, as the phase before left it, makes of monolingual lines; made
    once and kept in the phase's folder."""
    assert phase.back_translation
    file = work / phase.name / "packed.npz"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        encoder, pieces = load_encoder(start, max_length=128), load_target_tokenizer(folder)
        add_back_translations(
            model,
            packed,
            phase.back_translation,
            encoder,
            pieces,
            device=device,
            bf16=bf16,
            seed=seed,
        ).save(file)
    return Packed.load(file)


def _dev_set(
    pairs: Callable[[], list[EnglishPair]],
    folder: Path,
    start: Path,
    work: Path,
    device: str,
    bf16: bool,
) -> DevSet:
    file = work / "dev.jsonl"
    if not file.exists():
        save_pairs(pairs(), file)
    encoder = load_encoder(start, max_length=128)
    return DevSet(load_pairs(file), encoder, load_target_tokenizer(folder), device, bf16)


def _phases_left(phases: list[Phase], work: Path) -> list[Phase]:
    """The phases to run: all but those before a portable checkpoint, which were run elsewhere."""
    portable = [i for i, phase in enumerate(phases) if (work / phase.name / PORTABLE).exists()]
    first = max(portable, default=0)
    return [
        phase
        for i, phase in enumerate(phases)
        if i >= first or (work / phase.name / "checkpoint.pt").exists()
    ]


def train_single_pair(
    stage: Seq2SeqRecipe,
    folder: Path,
    language: str,
    steps: int,
    work: Path,
    *,
    seed: int,
    device: str,
) -> EncoderDecoderModel:
    """For comparison: a model of the shape and vocabularies of the backbone in `folder`, random at
    first, trained for `steps` on the pairs of `language` in `work/packed.npz` and nothing else.
    Raises `BackboneError` when there are none."""
    packed = Packed.load(work / "packed.npz")
    last = stage.phases[-1]
    rate = last.schedule.decoder_lr
    schedule = last.schedule.model_copy(
        update={"steps": steps, "encoder_lr": rate, "rows_lr": rate, "checkpoint_steps": steps}
    )
    objectives = last.objectives.model_copy(
        update={"translate": 1, "denoise": 0, "masked": 0, "align": 0, "distil": 0}
    )
    phase = Phase(name="alone", objectives=objectives, schedule=schedule, languages=[language])
    torch.manual_seed(seed)
    model = untrained_seq2seq(folder)
    ids, own = _ids(folder, packed, stage), work / "alone" / language
    bf16 = bf16_wanted(None, lambda: _encode_short_texts(model))
    model, _ = train_phase(model, packed, phase, ids, own, seed=seed, device=device, bf16=bf16)
    return model


def _encode_short_texts(model: EncoderDecoderModel) -> object:
    """A forward pass of the encoder, to be timed."""
    return model.encoder(input_ids=torch.ones(64, 24, dtype=torch.long))


def _with_decoder(
    stage: Seq2SeqRecipe, folder: Path, start: Path, seed: int
) -> EncoderDecoderModel:
    """The encoder in `start` and an untrained decoder."""
    encoder = load_backbone(start).requires_grad_(True)
    pieces = Tokenizer.from_file(str(BackboneFiles(folder).decoder_tokenizer))
    embeddings = encoder.get_input_embeddings().weight.detach().numpy()
    rows = seq2seq.first_rows(pieces, load_encoder(start).tokenizer, embeddings)
    return seq2seq.build(encoder, rows, stage.decoder, max_length=2 * stage.max_length, seed=seed)


def _ids(folder: Path, packed: Packed, stage: Seq2SeqRecipe) -> Ids:
    files = BackboneFiles(folder)
    encoder_ids = Tokenizer.from_file(str(files.tokenizer)).get_vocab()
    decoder = load_target_tokenizer(folder)
    decoder_ids = decoder.tokenizer.get_vocab()
    spare_tags = {domain: f"<spare{i}>" for i, domain in enumerate(stage.domains)}
    if missing := [domain for domain, tag in spare_tags.items() if tag not in decoder_ids]:
        raise BackboneError(
            f"{files.decoder_tokenizer} has no spare tag left for the domains {', '.join(missing)}"
        )
    return Ids(
        mask=encoder_ids["[MASK]"],
        closing=encoder_ids["[SEP]"],
        tags=[decoder.start(language)[0] for language in packed.languages],
        domains=[decoder_ids[tag] for tag in spare_tags.values()],
        domain_dropout=stage.domain_dropout,
    )


def pack_text(
    stage: Seq2SeqRecipe, folder: Path, start: Path, text: TrainingText, seed: int
) -> Packed:
    """Learn the decoder's vocabulary into `folder`, unless it is there; draw the stage's text; cut
    it into tokens."""
    file = BackboneFiles(folder).decoder_tokenizer
    if not file.exists():
        learnt = decoder_vocabulary.learn_unigram(
            stage.decoder, text.foreign | {ENGLISH: text.english}, seed
        )
        learnt.save(str(file))
    return pack(
        _some_pairs(stage, text, seed),
        _some_lines(stage, text),
        load_encoder(start, max_length=stage.max_length),
        Tokenizer.from_file(str(file)),
        max_length=stage.max_length,
        domains=stage.domains,
    )


def _some_pairs(stage: Seq2SeqRecipe, text: TrainingText, seed: int) -> list[EnglishPair]:
    if stage.pairs is None:
        return text.pairs
    exponent = stage.phases[0].schedule.first_exponent
    drawn = corpus.plan(text.pairs, draws=stage.pairs, exponent=exponent, seed=seed)
    return [text.pairs[i] for i in np.unique(drawn)]


def _some_lines(stage: Seq2SeqRecipe, text: TrainingText) -> dict[str, list[str]]:
    if stage.lines is None:
        return text.lines
    each = max(1, stage.lines // max(1, len(text.lines)))
    return {
        language: lines[:: max(1, len(lines) // each)] for language, lines in text.lines.items()
    }
