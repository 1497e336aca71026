"""`polygraft pretrain`: recipe in, backbone folder out. Every stage leaves a file in `work/`, so a killed run goes on."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from tokenizers import Tokenizer
from transformers import BertModel, EncoderDecoderModel, PreTrainedModel

from polygraft.backbone import load_backbone
from polygraft.pretrain import alignment, corpus, decoder_vocabulary, hygiene, seq2seq, vocabulary
from polygraft.pretrain.corpus import Pair
from polygraft.pretrain.distill import distil
from polygraft.pretrain.mixed import train_mixed
from polygraft.pretrain.objectives import Ids
from polygraft.pretrain.pack import ENGLISH, Packed, pack
from polygraft.pretrain.recipe import PretrainRecipe
from polygraft.pretrain.teacher import load_teacher, teacher_folder, teacher_vectors
from polygraft.text import CASE_IDS, TextEncoder, load_encoder


def pretrain(
    folder: Path, data: Path, work: Path, *, device: str = "cpu", hours: float | None = None,
    start: Path | None = None, bf16: bool | None = None,
) -> None:  # fmt: skip
    """Make the backbone that `folder/recipe.yaml` describes and write it into `folder`.

    `data` is the corpora's root, `work` holds caches and checkpoints. First stage: the encoder, by distillation; `start`,
    a backbone folder, takes its place. Second stage, when the recipe has `seq2seq`: a decoder beside it, on mixed
    objectives. `hours` bounds the last of them that runs. `bf16`: left out, on CUDA only.
    Writes `config.json`, `model.safetensors` (float16), `tokenizer.json`, `tokenizer_config.json`, and with a decoder
    `decoder_tokenizer.json`; `hygiene.json` when the recipe names held-out text.
    """
    say = Console(stderr=True).print
    recipe = PretrainRecipe.load(folder / "recipe.yaml")
    work.mkdir(parents=True, exist_ok=True)
    if start is not None:
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copyfile(start / name, folder / name)
    packed_file = work / "packed.npz"
    if not (recipe.seq2seq and packed_file.exists() and (start or (work / "encoder").exists())):
        pairs, lines = _read(recipe, folder, data)
        say(f"{len(pairs):,} pairs in {len({p.language for p in pairs})} languages")
        if start is None:
            limit = hours if recipe.seq2seq is None else None
            student, encoder = _encoder_stage(recipe, folder, pairs, lines, work, device, limit)
            write_backbone(student, folder if recipe.seq2seq is None else work / "encoder")
        if recipe.seq2seq:
            encoder = load_encoder(start or work / "encoder", max_length=recipe.seq2seq.schedule.max_length)
            pack_corpora(recipe, folder, pairs, lines, encoder, packed_file)
            say(f"wrote {packed_file} ({packed_file.stat().st_size / 1e6:.0f} MB)")
    if recipe.seq2seq:
        model = _seq2seq_stage(recipe, folder, start or work / "encoder", packed_file, work, device, hours, bf16)
        write_backbone(model, folder)
    say(f"wrote {folder}")


def _read(recipe: PretrainRecipe, folder: Path, data: Path) -> tuple[list[Pair], dict[str, list[str]]]:
    """Pairs and monolingual lines, without what the recipe holds out; the report is written to `hygiene.json`."""
    pairs, lines = corpus.read_pairs(recipe, data), corpus.read_lines_of(recipe, data)
    if recipe.held_out:
        pairs, lines, report = hygiene.clean(pairs, lines, data, recipe.held_out, corpus.read_other_splits(recipe, data))
        text = json.dumps(dataclasses.asdict(report), indent=1, ensure_ascii=False)
        (folder / "hygiene.json").write_text(text + "\n", encoding="utf-8")
    return pairs, lines


def _encoder_stage(
    recipe: PretrainRecipe, folder: Path, pairs: list[Pair], lines: dict[str, list[str]], work: Path, device: str,
    hours: float | None,
) -> tuple[BertModel, TextEncoder]:  # fmt: skip
    """Vocabulary, alignment, distillation."""
    _make_tokenizer(recipe, folder, pairs, lines)
    encoder = TextEncoder(folder / "tokenizer.json", case_feature=recipe.case_feature > 0, max_length=512)
    encoder.max_length = recipe.distillation.max_length
    student, learnt = _make_student(recipe, encoder, pairs, work)
    chosen = corpus.plan(pairs, draws=recipe.distillation.draws, exponent=recipe.distillation.exponent, seed=recipe.seed)
    drawn = [pairs[i] for i in chosen]
    sentences = sorted({p.english for p in drawn})
    position = {sentence: i for i, sentence in enumerate(sentences)}
    targets = np.array([position[p.english] for p in drawn])
    vectors = teacher_vectors(sentences, work, max_length=recipe.distillation.max_length * 2, device=device)
    student = distil(
        student, learnt, encoder, drawn, targets, vectors, recipe.distillation, work,
        seed=recipe.seed, device=device, stop_after=None if hours is None else hours * 3600,
    )  # fmt: skip
    return student, encoder


def pack_corpora(
    recipe: PretrainRecipe, folder: Path, pairs: list[Pair], lines: dict[str, list[str]], encoder: TextEncoder, file: Path
) -> Packed:
    """Learn the decoder's vocabulary into `folder`, draw the second stage's text and write it, as tokens, to `file`."""
    stage = recipe.seq2seq
    assert stage is not None
    if not (folder / "decoder_tokenizer.json").exists():
        english = sorted({p.english for p in pairs})
        text = corpus.foreign_text(pairs, lines) | {ENGLISH: english}
        decoder_vocabulary.save(decoder_vocabulary.learn_unigram(stage.decoder, text, recipe.seed), folder)
    pieces = Tokenizer.from_file(str(folder / "decoder_tokenizer.json"))
    exponent = stage.schedule.first_exponent
    chosen = np.unique(corpus.plan(pairs, draws=stage.pairs, exponent=exponent, seed=recipe.seed))
    each = stage.lines // max(1, len(lines))
    some = {language: texts[:: max(1, len(texts) // max(1, each))] for language, texts in lines.items()}
    packed = pack([pairs[i] for i in chosen], some, encoder, pieces, max_length=stage.schedule.max_length)
    packed.save(file)
    return packed


def _seq2seq_stage(
    recipe: PretrainRecipe, folder: Path, start: Path, packed_file: Path, work: Path, device: str,
    hours: float | None, bf16: bool | None,
) -> EncoderDecoderModel:  # fmt: skip
    """Build the whole from the encoder in `start` and train it; reads no corpora, only the packed file."""
    stage = recipe.seq2seq
    assert stage is not None
    packed = Packed.load(packed_file)
    encoder = load_encoder(start)
    pieces = Tokenizer.from_file(str(folder / "decoder_tokenizer.json"))
    body = load_backbone(start).requires_grad_(True)
    rows = seq2seq.first_rows(pieces, encoder.tokenizer, body.get_input_embeddings().weight.detach().numpy())
    model = seq2seq.build(body, rows, stage.decoder, max_length=2 * stage.schedule.max_length, seed=recipe.seed)
    known, tags = encoder.tokenizer.get_vocab(), pieces.get_vocab()
    ids = Ids(known["[MASK]"], known["[SEP]"], [tags[decoder_vocabulary.tag(language)] for language in packed.languages])
    return train_mixed(
        model, packed, stage, ids, work, seed=recipe.seed, device=device,
        bf16=device == "cuda" if bf16 is None else bf16, until=None if hours is None else hours * 3600,
    )  # fmt: skip


def _make_tokenizer(recipe: PretrainRecipe, folder: Path, pairs: list[Pair], lines: dict[str, list[str]]) -> None:
    if (folder / "tokenizer.json").exists():
        return
    old = (teacher_folder() / "vocab.txt").read_text(encoding="utf-8").splitlines()
    text = corpus.foreign_text(pairs, lines)
    english = sorted({p.english for p in pairs})
    new = vocabulary.learn_pieces(recipe.vocabulary, old, text, english[:: max(1, len(english) // 200_000)], recipe.seed)
    vocabulary.save(vocabulary.wordpiece(old + new), folder, max_length=512)


def _learnt_ids(encoder: TextEncoder, old: int) -> NDArray[np.int64]:
    """New pieces, and the old ones with a letter outside ASCII: the teacher strips accents, so it hardly knows those."""
    vocabulary = encoder.tokenizer.get_vocab()
    return np.array(sorted(i for piece, i in vocabulary.items() if i >= old or not piece.isascii()))


def _make_student(
    recipe: PretrainRecipe, encoder: TextEncoder, pairs: list[Pair], work: Path
) -> tuple[BertModel, NDArray[np.int64]]:
    """The teacher with more rows, and the ids of the rows to learn; case vectors start small and random."""
    teacher, old_tokenizer = load_teacher()
    rows = teacher.get_input_embeddings().weight.detach().numpy()
    old, tokenizer = len(rows), encoder.tokenizer
    learnt = _learnt_ids(encoder, old)
    file = work / "learnt_rows.npy"
    if not file.exists():
        fresh = alignment.spelling_rows([str(tokenizer.id_to_token(i)) for i in learnt], old_tokenizer, rows)
        if recipe.alignment.iterations:
            picked = corpus.plan(pairs, draws=recipe.alignment.pairs, exponent=recipe.alignment.exponent, seed=recipe.seed)
            foreign = tokenizer.encode_batch([pairs[i].text for i in picked], add_special_tokens=False)
            english = tokenizer.encode_batch([pairs[i].english for i in picked], add_special_tokens=False)
            both = [(f.ids, [i for i in e.ids if i < old]) for f, e in zip(foreign, english, strict=True)]
            fresh = alignment.aligned_rows(learnt, alignment.ibm1(both, recipe.alignment.iterations), rows, fresh)
        np.save(file, fresh)
    config = teacher.config
    config.vocab_size, config.type_vocab_size = tokenizer.get_vocab_size(), CASE_IDS
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    config.case_feature = recipe.case_feature > 0
    student = BertModel(config, add_pooling_layer=False)
    state = teacher.state_dict()
    words = np.concatenate([rows, np.zeros((config.vocab_size - old, rows.shape[1]), np.float32)])
    words[learnt] = np.load(file)
    state["embeddings.word_embeddings.weight"] = torch.from_numpy(words)
    lower = state["embeddings.token_type_embeddings.weight"][:1]
    noise = torch.randn(CASE_IDS, lower.shape[1], generator=torch.Generator().manual_seed(recipe.seed))
    noise *= recipe.case_feature * lower.norm() / noise.norm(dim=1, keepdim=True)
    noise[0] = 0
    state["embeddings.token_type_embeddings.weight"] = lower + noise
    student.load_state_dict(state)
    return student, learnt


def write_backbone(model: PreTrainedModel, folder: Path) -> None:
    """Save config and float16 weights the way `from_pretrained` reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    model.config.architectures = [type(model).__name__]
    model.to(torch.float16).save_pretrained(folder, max_shard_size="10GB")
    (folder / "model.safetensors").chmod(0o644)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config.pop("_name_or_path", None)
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
