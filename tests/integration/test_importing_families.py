"""Encoder-decoders that come with SentencePiece files alone, imported by the command: each is
exported and compared with PyTorch, and its tokens with those of its own class. Tiny and random."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForSeq2SeqLM
from typer.testing import CliRunner

from polygraft.cli import app
from polygraft.export.calibrate import calibration_texts

spm = pytest.importorskip("sentencepiece")
pytestmark = pytest.mark.long
BART = {
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 64,
    "init_std": 0.1,
}
T5 = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 1, "num_decoder_layers": 1}
FAIRSEQ = {"bos_id": 0, "pad_id": -1, "eos_id": 1, "unk_id": 2}


def trained(file: Path, kind: str, texts: list[str], **ids: int) -> list[str]:
    """A SentencePiece model in `file`, and its pieces without the first three."""
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_prefix=str(file.with_suffix("")),
        vocab_size=500,
        model_type=kind,
        character_coverage=0.99,
        hard_vocab_limit=False,
        minloglevel=2,
        **ids,
    )
    file.with_suffix(".model").rename(file)
    made = spm.SentencePieceProcessor(model_file=str(file))
    return [made.id_to_piece(i) for i in range(3, made.get_piece_size())]


def save(folder: Path, tokenizer: str, pieces: list[str], model_type: str, **config: Any) -> None:
    """The model, and a vocab.json of `pieces` where there are any."""
    if pieces:
        ids = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
        (folder / "vocab.json").write_text(json.dumps(ids), encoding="utf-8")
        config["vocab_size"] = len(ids) + config.get("vocab_size", 0)
    about = {"tokenizer_class": tokenizer, "eos_token": "</s>", "pad_token": "<pad>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(about), encoding="utf-8")
    torch.manual_seed(0)
    made = AutoConfig.for_model(model_type, **config)
    AutoModelForSeq2SeqLM.from_config(made).save_pretrained(folder)


def marian(folder: Path) -> None:
    halves = calibration_texts()[::2], calibration_texts()[1::2]
    files = folder / "source.spm", folder / "target.spm"
    pieces = ["</s>", "<unk>"]
    for file, half in zip(files, halves, strict=True):
        pieces += trained(file, "unigram", half, **FAIRSEQ)
    pieces = [*dict.fromkeys(pieces), ">>yor<<", ">>swh<<", "<pad>"]
    pad = len(pieces) - 1
    ends = {"pad_token_id": pad, "decoder_start_token_id": pad, "eos_token_id": 0}
    save(folder, "MarianTokenizer", pieces, "marian", **BART, **ends, forced_eos_token_id=0)


def m2m_100(folder: Path) -> None:
    file = folder / "sentencepiece.bpe.model"
    pieces = ["<s>", "<pad>", "</s>", "<unk>"]
    pieces += trained(file, "bpe", calibration_texts(), **FAIRSEQ)
    of_languages = {"vocab_size": 108, "decoder_start_token_id": 2}
    save(folder, "M2M100Tokenizer", pieces, "m2m_100", **BART, **of_languages)


def t5(folder: Path) -> None:
    ids = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
    pieces = trained(folder / "spiece.model", "unigram", calibration_texts(), **ids)
    size, prompts = len(pieces) + 103, {"translation_en_to_de": {"prefix": "x"}}
    config = T5 | {"num_heads": 4, "vocab_size": size, "decoder_start_token_id": 0}
    save(folder, "T5Tokenizer", [], "t5", **config, task_specific_params=prompts)


def mbart(folder: Path) -> None:
    pieces = trained(folder / "sentencepiece.bpe.model", "unigram", calibration_texts())
    config = {"vocab_size": len(pieces) + 57, "decoder_start_token_id": 2}
    save(folder, "MBart50Tokenizer", [], "mbart", **BART, **config)


@pytest.mark.parametrize(
    ("make", "wanted"),
    [
        (
            marian,
            {
                "start": ["<pad>"],
                "never": ["<pad>"],
                "source": ["{target}", "{text}", "</s>"],
                "languages": {"sw": ">>swh<<", "yo": ">>yor<<"},
            },
        ),
        (m2m_100, {"start": ["</s>", "{target}"], "source": ["{source}", "{text}", "</s>"]}),
        (t5, {"start": ["<pad>"], "prefix": "translate {source} to {target}: "}),
        (mbart, {"start": ["</s>", "{target}"], "source": ["{source}", "{text}", "</s>"]}),
    ],
    ids=["marian", "m2m_100", "t5", "mbart"],
)
def test_it_is_imported(
    make: Callable[[Path], None], wanted: dict[str, Any], tmp_path: Path
) -> None:
    source, target = tmp_path / "published", tmp_path / "made"
    source.mkdir()
    make(source)
    (source / "README.md").write_text("---\nlicense: mit\n---\n", encoding="utf-8")
    asked = ["backbone", "import", str(source), str(target), "--precision", "fp32"]
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 0, result.output
    record: dict[str, Any] = json.loads((target / "backbone.json").read_text(encoding="utf-8"))
    assert {name: record["writing"].get(name) for name in wanted} == wanted
    assert set(record["drift"]) == {"fp32", "decoder_fp32"}
