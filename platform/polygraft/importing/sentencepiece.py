"""A SentencePiece model as a tokenizer of the `tokenizers` library, for the families whose own
classes need the `sentencepiece` package, and which number the pieces in a `vocab.json` of theirs:
M2M-100, Marian.

Kudo and Richardson 2018, "SentencePiece". Does not: make what transformers converts itself (T5,
mBART), or check what it made (see `tokenizer`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers.convert_slow_tokenizer import import_protobuf
from transformers.tokenization_utils_base import generate_merges

UNIGRAM = 1  # of its model types
LAST = -1e4
"""The score of pieces of `vocab.json` that the model does not have (Marian has one file of pieces
for both sides): they are taken for what none of its own covers, before that is unknown."""


def tokenizer_of(file: Path, ids: Mapping[str, int], unknown: str) -> Tokenizer:
    """The tokenizer of a SentencePiece model, its pieces numbered by `ids`, which are 0, 1, 2 ...;
    adds nothing around a text."""
    proto: Any = import_protobuf().ModelProto()
    proto.ParseFromString(file.read_bytes())
    scores = {piece.piece: piece.score for piece in proto.pieces}
    unigram = proto.trainer_spec.model_type == UNIGRAM
    made = Tokenizer((_unigram if unigram else _byte_pairs)(scores, ids, unknown))
    made.normalizer = normalizers.Sequence(
        [
            *_charsmap(proto),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(),
        ]
    )
    made.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    made.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    return made


def _charsmap(proto: Any) -> list[normalizers.Normalizer]:
    """What the model does to characters before it looks for pieces."""
    charsmap = proto.normalizer_spec.precompiled_charsmap
    return [normalizers.Precompiled(charsmap)] if charsmap else []


def _unigram(scores: dict[str, float], ids: Mapping[str, int], unknown: str) -> models.Unigram:
    pieces = [(piece, scores.get(piece, LAST)) for piece in sorted(ids, key=ids.__getitem__)]
    return models.Unigram(pieces, unk_id=ids[unknown])


def _byte_pairs(scores: dict[str, float], ids: Mapping[str, int], unknown: str) -> models.BPE:
    """Pieces without a number are only steps to longer ones; where one is left, it is unknown."""
    merges = generate_merges({piece: i for i, piece in enumerate(scores)}, list(scores.items()))
    numbered = dict.fromkeys(scores, ids[unknown]) | dict(ids)
    return models.BPE(numbered, merges, unk_token=unknown, fuse_unk=True)
