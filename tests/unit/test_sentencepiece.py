"""Tokenizers made from SentencePiece files read as the families' own classes do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from polygraft.export.calibrate import calibration_texts
from polygraft.importing import tokenizer as module

spm = pytest.importorskip("sentencepiece")
ODD = ["  two  spaces ", "tab\there", "a\nb", "ﬁne ½ Ⅷ", "x" * 50, "", "日本語 text", "e\u0301"]
SPECIAL = {"bos_id": 0, "pad_id": -1, "eos_id": 1, "unk_id": 2}


def trained(folder: Path, name: str, kind: str, texts: list[str]) -> list[str]:
    """A SentencePiece model `name`.model of 500 pieces, and its pieces without the special ones."""
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_prefix=str(folder / name),
        vocab_size=500,
        model_type=kind,
        character_coverage=0.99,
        hard_vocab_limit=False,
        minloglevel=2,
        **SPECIAL,
    )
    made = spm.SentencePieceProcessor(model_file=str(folder / f"{name}.model"))
    return [made.id_to_piece(i) for i in range(3, made.get_piece_size())]


def numbered(folder: Path, pieces: list[str]) -> str:
    ids = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    (folder / "vocab.json").write_text(json.dumps(ids), encoding="utf-8")
    return str(folder / "vocab.json")


def differences(own: Any, made: Tokenizer, *, target: bool) -> tuple[list[str], int]:
    """Texts that the two read or write differently, and how many were compared."""
    texts = [*calibration_texts(), *ODD]
    known = [t for t in texts if not module._has_unknown(own, t, as_target=target)]
    wrong = []
    for text in known:
        asked = {"text_target" if target else "text": text, "add_special_tokens": False}
        ids = own(**asked)["input_ids"]
        same = made.encode(text, add_special_tokens=False).ids == ids
        said = own.decode(ids, skip_special_tokens=True).strip()
        if not same or made.decode(ids).strip() != said:
            wrong.append(text)
    return wrong, len(known)


def test_m2m_100_by_byte_pairs(tmp_path: Path) -> None:
    from transformers import M2M100Tokenizer

    pieces = trained(tmp_path, "sp", "bpe", calibration_texts())
    vocabulary = numbered(tmp_path, ["<s>", "<pad>", "</s>", "<unk>", *pieces])
    own = M2M100Tokenizer(vocabulary, str(tmp_path / "sp.model"), src_lang="yo")
    made = module._of_m2m_100(own)
    wrong, compared = differences(own, made, target=False)
    assert (wrong, compared > 60) == ([], True)
    assert made.encode("hello").ids == own("hello")["input_ids"], (
        "the language before, the end after"
    )
    assert made.token_to_id("__sw__") == own.get_lang_id("sw")


def test_marian_of_many_languages_by_unigrams(tmp_path: Path) -> None:
    """One vocabulary for two models, with pieces that each side does not have."""
    from transformers import MarianTokenizer

    halves = calibration_texts()[::2], calibration_texts()[1::2]
    pieces = [
        piece
        for name, half in zip(("source", "target"), halves, strict=True)
        for piece in trained(tmp_path, name, "unigram", half)
    ]
    names = ["</s>", "<unk>", *pieces, ">>yor<<", ">>swh<<", "<pad>"]
    files = [str(tmp_path / f"{name}.model") for name in ("source", "target")]
    own = MarianTokenizer(*files, numbered(tmp_path, names))
    for made, target in zip(module._of_marian(own), (False, True), strict=True):
        wrong, compared = differences(own, made, target=target)
        assert (wrong, compared > 20) == ([], True)
    reads, _ = module._of_marian(own)
    tagged = ">>yor<< hello you"
    assert reads.encode(tagged).ids == own(tagged)["input_ids"]
