"""What the decoder writes: its vocabulary's fixed ids, a tag for each language, and pieces to text
and back.

Runs without torch. Does not: learn a vocabulary (see `pretrain.decoder_vocabulary`).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
PAD_ID, END_ID, UNKNOWN_ID = 0, 1, 2


def tag(language: str) -> str:
    """The piece that tells the decoder which language to write."""
    return f"<{language}>"


def bound(read: int) -> int:
    """How many pieces may be written for a source of `read` encoder tokens: what serving and its
    reference both keep to."""
    return 2 * read + 10


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


class TargetTokenizer:
    """Wraps one `decoder_tokenizer.json`. Thread-safe: it keeps no state between calls."""

    def __init__(self, file: Path) -> None:
        self.tokenizer = Tokenizer.from_file(str(file))
        self.languages = languages_of(self.tokenizer)
        ids = self.tokenizer.get_vocab()
        self._tags = {language: ids[tag(language)] for language in self.languages}

    def start(self, language: str) -> int:
        """The id that a text in `language` starts with. Raises `KeyError` when the decoder has no
        tag for it."""
        return self._tags[language]

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Piece ids, without tag and end. Decoding them gives the text back (as NFC)."""
        whole = [unicodedata.normalize("NFC", text) for text in texts]
        return [e.ids for e in self.tokenizer.encode_batch(whole, add_special_tokens=False)]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of piece ids, without tags, padding and end."""
        text: str = self.tokenizer.decode(list(ids))
        return text
