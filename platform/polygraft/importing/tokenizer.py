"""The tokenizer of a published model as one `tokenizer.json`, which serving reads without
transformers."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from polygraft.architectures.folder import BackboneFiles
from polygraft.architectures.text import load_encoder
from polygraft.errors import BackboneError
from polygraft.export.parity import TEXTS


def write_tokenizer(source: Path, target: Path) -> None:
    """Made from SentencePiece or vocabulary files where there is no tokenizer.json."""
    files = BackboneFiles(target)
    tokenizer = AutoTokenizer.from_pretrained(source, use_fast=True)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer):
        raise BackboneError(
            f"the tokenizer of {source} ({type(tokenizer).__name__}) has no form that can be "
            "served without transformers; take a model that comes with a tokenizer.json"
        )
    backend.no_padding()
    backend.no_truncation()
    backend.save(str(files.tokenizer))
    with tempfile.TemporaryDirectory() as name:
        tokenizer.save_pretrained(name)
        shutil.copyfile(Path(name) / "tokenizer_config.json", files.tokenizer_config)
    _compare(tokenizer, target)


def _compare(tokenizer: PreTrainedTokenizerBase, target: Path) -> None:
    """Raises `BackboneError` where serving would read other tokens than the model was trained
    on."""
    encoder = load_encoder(target)
    for text, row in zip(TEXTS, encoder.encode(TEXTS), strict=True):
        wanted = tokenizer(text)["input_ids"]
        if row.ids != wanted:
            raise BackboneError(
                f"its tokenizer cannot be served: {text!r} is {wanted} by "
                f"{type(tokenizer).__name__}, and {row.ids} by the file that serving reads; report "
                "it, with the model's name"
            )
