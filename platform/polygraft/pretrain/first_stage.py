"""The first stage: the English teacher becomes a multilingual encoder. Vocabulary, alignment,
distillation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import BertModel

from polygraft.architectures.folder import BackboneFiles
from polygraft.architectures.text import CASE_IDS, TextEncoder
from polygraft.data.lines import split_lines
from polygraft.pretrain import alignment, corpus, vocabulary
from polygraft.pretrain.corpus import EnglishPair, TrainingText
from polygraft.pretrain.distill import distil
from polygraft.pretrain.recipe import PretrainRecipe
from polygraft.pretrain.teacher import load_teacher, teacher_folder, teacher_vectors


def make_encoder(
    recipe: PretrainRecipe,
    folder: Path,
    text: TrainingText,
    work: Path,
    *,
    device: str,
    hours: float | None,
) -> BertModel:
    """Distil the encoder; its tokenizer is written into `folder`. `hours` shortens the schedule to
    what fits."""
    pairs = text.pairs
    _make_tokenizer(recipe, folder, text)
    options = recipe.distillation
    encoder = TextEncoder(
        BackboneFiles(folder).tokenizer,
        case_feature=recipe.case_feature > 0,
        max_length=options.max_length,
    )
    student, learnt = _make_student(recipe, encoder, pairs, work)
    chosen = corpus.plan(pairs, draws=options.draws, exponent=options.exponent, seed=recipe.seed)
    drawn = [pairs[i] for i in chosen]
    sentences = sorted({p.english for p in drawn})
    position = {sentence: i for i, sentence in enumerate(sentences)}
    targets = np.array([position[p.english] for p in drawn])
    vectors = teacher_vectors(sentences, work, max_length=options.max_length * 2, device=device)
    return distil(
        student,
        learnt,
        encoder,
        drawn,
        targets,
        vectors,
        options,
        work,
        seed=recipe.seed,
        device=device,
        stop_after=None if hours is None else hours * 3600,
    )


def _make_tokenizer(recipe: PretrainRecipe, folder: Path, text: TrainingText) -> None:
    if BackboneFiles(folder).tokenizer.exists():
        return
    old = split_lines((teacher_folder() / "vocab.txt").read_text(encoding="utf-8"))
    english = text.english[:: max(1, len(text.english) // 200_000)]
    new = vocabulary.learn_pieces(recipe.vocabulary, old, text.foreign, english, recipe.seed)
    vocabulary.save(vocabulary.wordpiece(old + new), folder, max_length=512)


def _learnt_ids(encoder: TextEncoder, old: int) -> NDArray[np.int64]:
    """New pieces, and the old ones with a letter outside ASCII: the teacher strips accents, so it
    hardly knows those."""
    vocabulary = encoder.tokenizer.get_vocab()
    return np.array(sorted(i for piece, i in vocabulary.items() if i >= old or not piece.isascii()))


def _make_student(
    recipe: PretrainRecipe, encoder: TextEncoder, pairs: list[EnglishPair], work: Path
) -> tuple[BertModel, NDArray[np.int64]]:
    """The teacher with more rows, and the ids of the rows to learn; case vectors start small and
    random."""
    teacher, old_tokenizer = load_teacher()
    rows = teacher.get_input_embeddings().weight.detach().numpy()
    old, tokenizer = len(rows), encoder.tokenizer
    learnt = _learnt_ids(encoder, old)
    file = work / "learnt_rows.npy"
    if not file.exists():
        fresh = alignment.spelling_rows(
            [str(tokenizer.id_to_token(i)) for i in learnt], old_tokenizer, rows
        )
        if recipe.alignment.iterations:
            picked = corpus.plan(
                pairs,
                draws=recipe.alignment.pairs,
                exponent=recipe.alignment.exponent,
                seed=recipe.seed,
            )
            foreign = tokenizer.encode_batch(
                [pairs[i].text for i in picked], add_special_tokens=False
            )
            english = tokenizer.encode_batch(
                [pairs[i].english for i in picked], add_special_tokens=False
            )
            both = [
                (f.ids, [i for i in e.ids if i < old])
                for f, e in zip(foreign, english, strict=True)
            ]
            fresh = alignment.aligned_rows(
                learnt, alignment.ibm1(both, recipe.alignment.iterations), rows, fresh
            )
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
    noise = torch.randn(
        CASE_IDS, lower.shape[1], generator=torch.Generator().manual_seed(recipe.seed)
    )
    noise *= recipe.case_feature * lower.norm() / noise.norm(dim=1, keepdim=True)
    noise[0] = 0
    state["embeddings.token_type_embeddings.weight"] = lower + noise
    student.load_state_dict(state)
    return student, learnt
