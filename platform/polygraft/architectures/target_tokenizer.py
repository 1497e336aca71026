"""What the decoder writes: ids of the pieces around a text (see `conventions`), and text to pieces
and back.

Runs without torch. Does not: learn a vocabulary (see `pretrain.decoder_vocabulary`).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from polygraft.architectures.conventions import Conventions, read_conventions
from polygraft.architectures.folder import BackboneFiles
from polygraft.errors import BackboneError


def bound(read: int) -> int:
    """How many pieces may be written for a source of `read` encoder tokens: what serving and its
    reference both keep to."""
    return 2 * read + 10


class TargetTokenizer:
    """Wraps one tokenizer file, by the backbone's conventions. Thread-safe: it keeps no state
    between calls. Raises `BackboneError` for conventions of another vocabulary."""

    def __init__(self, file: Path, conventions: Conventions) -> None:
        self.tokenizer = Tokenizer.from_file(str(file))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        self.conventions = conventions
        self.end, self.pad = self._id(conventions.end), self._id(conventions.pad)
        self.never = tuple(self._id(piece) for piece in conventions.never)
        language, *_ = conventions.languages or ("en",)
        self.start(language)

    def start(self, language: str) -> list[int]:
        """The ids that a text in `language` starts with. Raises `KeyError` for a language that the
        backbone does not know."""
        return [self._id(piece) for piece in self.conventions.started(language)]

    def most(self, read: int) -> int:
        """How many pieces may be written after a source of `read` tokens."""
        room = self.conventions.max_length - len(self.conventions.start)
        return min(room, bound(read))

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Piece ids, without start and end. Decoding them gives the text back (as NFC), where the
        vocabulary is lossless."""
        whole = [unicodedata.normalize("NFC", text) for text in texts]
        return [e.ids for e in self.tokenizer.encode_batch(whole, add_special_tokens=False)]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of piece ids, without those around it."""
        text: str = self.tokenizer.decode(list(ids))
        return text

    def _id(self, piece: str) -> int:
        found: int | None = self.tokenizer.token_to_id(piece)
        if found is None:
            raise BackboneError(
                f"the backbone's vocabulary has no piece {piece!r}, which its backbone.json names; "
                "its files do not belong together: copy the folder whole, or make it again"
            )
        return found


def load_target_tokenizer(backbone: Path) -> TargetTokenizer:
    """That of the backbone in a folder: `decoder_tokenizer.json`, or where encoder and decoder
    share a vocabulary the one that is there. Raises `BackboneError` when it does not write."""
    files, conventions = BackboneFiles(backbone), read_conventions(backbone)
    if conventions is None:
        raise BackboneError(
            f"{backbone} does not say how it writes (no {files.record.name} with `writing`): it "
            "has no decoder, or was made by an older version: run polygraft export on it, or "
            "import it again"
        )
    has_own = files.decoder_tokenizer.is_file()
    return TargetTokenizer(files.decoder_tokenizer if has_own else files.tokenizer, conventions)
