"""The decoder's own vocabulary: cased and lossless, since the encoder's is lower-cased.

A unigram model (Kudo 2018) with byte fallback: what no piece covers is spelt in UTF-8 bytes, so
decoding what was encoded gives the text back exactly, whatever the script. Ids: pad, end, unknown,
one tag a language (`<yo>`), spare tags for languages that come later, 256 bytes, then the pieces.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from polygraft.architectures.conventions import Conventions, read_conventions, write_record
from polygraft.architectures.folder import BackboneFiles
from polygraft.pretrain.recipe import DecoderRecipe
from polygraft.pretrain.vocabulary import sample_text

PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
PAD_ID, END_ID, UNKNOWN_ID = 0, 1, 2
SPACE = "\u2581"


def learn_unigram(recipe: DecoderRecipe, text: dict[str, list[str]], seed: int) -> Tokenizer:
    """A tokenizer of `recipe.pieces` entries over `text` by language, small languages
    oversampled."""
    languages = [tag(language) for language in sorted(text)]
    spare = [f"<spare{i}>" for i in range(recipe.spare_tags)]
    special = [PAD, END, UNKNOWN, *languages, *spare]
    byte_pieces = [f"<0x{byte:02X}>" for byte in range(256)]
    reserved = {*special, *byte_pieces}
    learner = Tokenizer(models.Unigram())
    learner.pre_tokenizer = _pre_tokenizer()
    trainer = trainers.UnigramTrainer(
        vocab_size=recipe.pieces - len(special) - len(byte_pieces),
        show_progress=False,
        unk_token=UNKNOWN,
        special_tokens=[UNKNOWN],
        max_piece_length=16,
    )
    lines = sample_text(text, recipe.exponent, recipe.lines, seed)
    learner.train_from_iterator((unicodedata.normalize("NFC", line) for line in lines), trainer)
    learnt = [(piece, score) for piece, score in _scored(learner) if piece not in reserved]
    lowest = min(score for _, score in learnt)
    vocabulary = [(piece, 0.0) for piece in special]
    vocabulary += [(piece, lowest - 10) for piece in byte_pieces]
    vocabulary += learnt
    tokenizer = Tokenizer(models.Unigram(vocabulary, UNKNOWN_ID, True))
    tokenizer.pre_tokenizer = _pre_tokenizer()
    tokenizer.decoder = decoders.Sequence(
        [decoders.ByteFallback(), decoders.Fuse(), decoders.Replace(SPACE, " ")]
    )
    tokenizer.add_special_tokens(special)
    return tokenizer


def tag(language: str) -> str:
    """The piece that tells the decoder which language to write."""
    return f"<{language}>"


def languages_of(tokenizer: Tokenizer) -> list[str]:
    """The languages that have a tag."""
    pieces = (
        str(tokenizer.id_to_token(i)) for i in range(UNKNOWN_ID + 1, tokenizer.get_vocab_size())
    )
    tags = []
    for piece in pieces:
        if piece.startswith("<spare") or piece.startswith("<0x"):
            break
        tags.append(piece[1:-1])
    return tags


def describe(folder: Path, max_length: int) -> None:
    """Write the conventions of this vocabulary beside it, for a decoder of `max_length` positions,
    unless they are there."""
    if read_conventions(folder) is not None:
        return
    pieces = Tokenizer.from_file(str(BackboneFiles(folder).decoder_tokenizer))
    conventions = Conventions(
        start=("<{target}>",),
        end=END,
        pad=PAD,
        languages={language: language for language in languages_of(pieces)},
        max_length=max_length,
    )
    write_record(folder, {"writing": conventions.model_dump(exclude_defaults=True)})


def _pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    """Makes spaces a visible mark at the start of a word, and each digit a piece of its own; adds
    and drops nothing."""
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="never"),
            pre_tokenizers.Split(Regex(r"\d"), "isolated"),
        ]
    )


def _scored(tokenizer: Tokenizer) -> list[tuple[str, float]]:
    """The pieces of a unigram model with their scores (log-probabilities)."""
    return [(piece, score) for piece, score in json.loads(tokenizer.to_str())["model"]["vocab"]]


def tokens_a_word(tokenizer: Tokenizer, lines: Sequence[str]) -> float:
    """How many pieces there are for each word that white space separates."""
    words = sum(len(line.split()) for line in lines)
    pieces = sum(len(e.ids) for e in tokenizer.encode_batch(list(lines), add_special_tokens=False))
    return pieces / max(1, words)
