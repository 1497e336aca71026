"""The tokenizers of a published model as files that serving reads without transformers:
`tokenizer.json`, and `decoder_tokenizer.json` where the target's text is cut otherwise (Marian)."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, processors
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from polygraft.architectures.conventions import SOURCE, Conventions, Direction
from polygraft.architectures.folder import BackboneFiles
from polygraft.architectures.target_tokenizer import load_target_tokenizer
from polygraft.architectures.text import load_encoder
from polygraft.errors import BackboneError
from polygraft.export.parity import TEXTS
from polygraft.importing.sentencepiece import tokenizer_of


def read_tokenizer(source: Path) -> PreTrainedTokenizerBase:
    """The model's own, by transformers. Raises `BackboneError` where that needs a package that is
    not installed."""
    try:
        return AutoTokenizer.from_pretrained(source, use_fast=True)
    except ImportError:
        raise BackboneError(
            f"the tokenizer of {source} is a SentencePiece model, and the package that reads it is "
            "not installed; pip install sentencepiece, and import again"
        ) from None


def write_tokenizers(tokenizer: PreTrainedTokenizerBase, target: Path) -> None:
    """Made from SentencePiece or vocabulary files where there is no tokenizer.json."""
    files = BackboneFiles(target)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if isinstance(backend, Tokenizer):
        backend.no_padding()
        backend.no_truncation()
        backend.save(str(files.tokenizer))
    elif hasattr(tokenizer, "lang_token_to_id"):
        _of_m2m_100(tokenizer).save(str(files.tokenizer))
    elif hasattr(tokenizer, "spm_files"):
        reads, writes = _of_marian(tokenizer)
        reads.save(str(files.tokenizer))
        writes.save(str(files.decoder_tokenizer))
    else:
        raise BackboneError(
            f"its tokenizer ({type(tokenizer).__name__}) has no form that can be served without "
            "transformers; take a model that comes with a tokenizer.json"
        )
    with tempfile.TemporaryDirectory() as name:
        tokenizer.save_pretrained(name)
        shutil.copyfile(Path(name) / "tokenizer_config.json", files.tokenizer_config)


def _of_m2m_100(tokenizer: Any) -> Tokenizer:
    """The languages' pieces come after those of its vocab.json."""
    made = tokenizer_of(Path(tokenizer.spm_file), tokenizer.encoder, tokenizer.unk_token)
    made.add_special_tokens(
        [tokenizer.bos_token, tokenizer.pad_token, tokenizer.eos_token, tokenizer.unk_token]
    )
    made.add_special_tokens(list(tokenizer.lang_token_to_id))
    language = tokenizer.get_lang_token(tokenizer.src_lang)
    made.post_processor = _template(made, [language, "$A", tokenizer.eos_token])
    return made


def _of_marian(tokenizer: Any) -> tuple[Tokenizer, Tokenizer]:
    """The source's and the target's, over one vocabulary or one each."""
    target_ids = tokenizer.target_encoder if tokenizer.separate_vocabs else tokenizer.encoder
    made = [
        tokenizer_of(Path(file), ids, tokenizer.unk_token)
        for file, ids in zip(tokenizer.spm_files, (tokenizer.encoder, target_ids), strict=True)
    ]
    for one in made:
        around = [tokenizer.pad_token, tokenizer.eos_token, tokenizer.unk_token]
        one.add_special_tokens([*around, *tokenizer.supported_language_codes])
    reads, writes = made
    reads.post_processor = _template(reads, ["$A", tokenizer.eos_token])
    return reads, writes


def _template(made: Tokenizer, pieces: list[str]) -> processors.TemplateProcessing:
    special = [(piece, made.token_to_id(piece)) for piece in pieces if piece != "$A"]
    return processors.TemplateProcessing(single=pieces, special_tokens=special)


def check_reading(tokenizer: PreTrainedTokenizerBase, target: Path) -> None:
    """Raises `BackboneError` where serving would read other tokens than the model was trained
    on."""
    encoder = load_encoder(target)
    for text, row in zip(TEXTS, encoder.encode(TEXTS), strict=True):
        if not _has_unknown(tokenizer, text):
            _compare(tokenizer, text, row.ids, tokenizer(text)["input_ids"])


def check_writing(
    tokenizer: PreTrainedTokenizerBase, target: Path, conventions: Conventions
) -> None:
    """The same for what stands around a source, for the pieces of a target, and for their text."""
    encoder, pieces = load_encoder(target), load_target_tokenizer(target)
    for number, text in enumerate(TEXTS):
        direction = conventions.sample(number)
        if not _has_unknown(tokenizer, text):
            (row,) = encoder.encode_sources([text], [direction])
            _compare(tokenizer, text, row.ids, _read(tokenizer, conventions, text, direction))
        if SOURCE in conventions.source:
            tokenizer.tgt_lang = conventions.called(direction[1]).strip("_")
        wanted = tokenizer(text_target=text, add_special_tokens=False)["input_ids"]
        if not _has_unknown(tokenizer, text, as_target=True):
            (ids,) = pieces.encode([text])
            _compare(tokenizer, text, ids, wanted)
            said = tokenizer.decode(
                wanted, skip_special_tokens=True, clean_up_tokenization_spaces=False
            ).strip()
            if pieces.decode(ids).strip() != said:
                raise BackboneError(
                    f"its tokenizer cannot be served: {wanted} is {said!r} by "
                    f"{type(tokenizer).__name__}, and {pieces.decode(ids)!r} by the file that "
                    "serving reads; report it, with the model's name"
                )


def _read(tokenizer: Any, conventions: Conventions, text: str, direction: Direction) -> list[int]:
    """What the model is given of a source, by its own tokenizer."""
    source, target = (conventions.called(language) for language in direction)
    ids: list[int]
    if SOURCE in conventions.source:
        tokenizer.src_lang = source.strip("_")
        ids = tokenizer(text)["input_ids"]
    elif conventions.source:
        ids = tokenizer(f"{target} {text}")["input_ids"]
    else:
        ids = tokenizer(conventions.prefixed(text, direction))["input_ids"]
    return ids


def _has_unknown(tokenizer: Any, text: str, *, as_target: bool = False) -> bool:
    """Whether a text has characters that its SentencePiece model, where the tokenizer is one, has
    no piece for: those it looks up as they are, run by run, and a file has no way to say so."""
    side = "spm_target" if as_target else "spm_source"
    model = getattr(tokenizer, side, None) or getattr(tokenizer, "sp_model", None)
    return model is not None and model.unk_id() in model.encode(text)


def _compare(
    tokenizer: PreTrainedTokenizerBase, text: str, ids: list[int], wanted: list[int]
) -> None:
    if ids != wanted:
        raise BackboneError(
            f"its tokenizer cannot be served: {text!r} is {wanted} by "
            f"{type(tokenizer).__name__}, and {ids} by the file that serving reads; report it, "
            "with the model's name"
        )
