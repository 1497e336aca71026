"""Extend the teacher's WordPiece vocabulary with pieces of other languages; the old ids stay what
they were.

Text is lower-cased as the teacher's was, but accents, tone marks and the okina are kept (NFC).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from polygraft.pretrain.recipe import Vocabulary

SPECIALS = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}


def _normalizer() -> normalizers.Normalizer:
    return normalizers.Sequence(
        [
            normalizers.NFC(),
            normalizers.BertNormalizer(lowercase=True, strip_accents=False),
            normalizers.NFC(),
        ]
    )


def wordpiece(vocabulary: list[str]) -> Tokenizer:
    """A BERT tokenizer over `vocabulary` (position = id) that keeps diacritics."""
    ids = {piece: i for i, piece in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=60))
    tokenizer.normalizer = _normalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(
        ("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"])
    )
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(list(SPECIALS.values()))
    return tokenizer


def sample_text(
    text: dict[str, list[str]], exponent: float, lines: int, seed: int
) -> Iterator[str]:
    """About `lines` * 100 characters of `text`, a language's share its size ** `exponent`."""
    rng = np.random.default_rng(seed)
    size = {language: sum(map(len, rows)) for language, rows in text.items()}
    mass = {language: n**exponent for language, n in size.items()}
    total = sum(mass.values())
    for language, rows in text.items():
        characters = lines * 100 * mass[language] / total
        while characters > 0:
            row = rows[rng.integers(len(rows))]
            characters -= len(row)
            yield row


def learn_pieces(
    recipe: Vocabulary, old: list[str], text: dict[str, list[str]], english: list[str], seed: int
) -> list[str]:
    """New pieces, most useful first, none of them in `old`.

    Learns a WordPiece vocabulary on the oversampled text, then drops pieces that English uses as
    much as the rest do: with those, English words would be cut differently from how the teacher
    learnt them.
    """
    known = set(old)
    learner = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    learner.normalizer = _normalizer()
    learner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=recipe.pieces + recipe.pieces // 2,
        min_frequency=8,
        limit_alphabet=1500,
        show_progress=False,
    )
    sample = list(sample_text(text, recipe.exponent, recipe.lines, seed))
    learner.train_from_iterator(sample, trainer)
    learnt = sorted(learner.get_vocab().items(), key=lambda item: item[1])
    fresh = [piece for piece, _ in learnt if piece not in known]

    extended = wordpiece(old + fresh)
    uses, english_uses = _count(extended, sample), _count(extended, english)
    scale = sum(uses.values()) / max(1, sum(english_uses.values()))
    kept = [
        piece
        for piece in fresh
        if english_uses[piece] * scale <= recipe.english_share * max(uses[piece], 1)
    ]
    kept.sort(key=lambda piece: (len(piece.removeprefix("##")) > 1, -uses[piece]))
    return kept[: recipe.pieces]


def _count(tokenizer: Tokenizer, texts: list[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for start in range(0, len(texts), 10_000):
        for encoding in tokenizer.encode_batch(
            texts[start : start + 10_000], add_special_tokens=False
        ):
            counts.update(encoding.tokens)
    return counts


def save(tokenizer: Tokenizer, folder: Path, max_length: int) -> None:
    """Write `tokenizer.json` and the `tokenizer_config.json` that `AutoTokenizer` reads."""
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_length,
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
        **{f"{name}_token": token for name, token in SPECIALS.items()},
    }
    (folder / "tokenizer_config.json").write_text(
        json.dumps(config, indent=2) + "\n", encoding="utf-8"
    )
