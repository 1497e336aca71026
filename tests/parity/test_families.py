"""Real classes of transformers with small random weights, exported as they come: the export itself
compares mixed adapters with PyTorch + peft and raises when they drift, so what is tested here is
that it accepts the right ones and refuses the wrong ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch
import transformers
from transformers import PreTrainedModel

from polygraft.architectures.folder import BackboneFiles
from polygraft.architectures.text import load_encoder
from polygraft.errors import ExportError
from polygraft.export.export import export_backbone

SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 66,
    "initializer_range": 0.3,
}


def xlm_roberta(pieces: int) -> PreTrainedModel:
    config = transformers.XLMRobertaConfig(
        vocab_size=pieces, type_vocab_size=1, pad_token_id=1, **SMALL
    )
    return transformers.XLMRobertaModel(config)


def distilbert(pieces: int) -> PreTrainedModel:
    config = transformers.DistilBertConfig(
        vocab_size=pieces,
        dim=32,
        n_layers=2,
        n_heads=4,
        hidden_dim=64,
        max_position_embeddings=64,
        initializer_range=0.3,
    )
    return transformers.DistilBertModel(config)


def folder_of(model: PreTrainedModel, tokenizers: Path, folder: Path) -> Path:
    """The model beside tokenizers of the tiny backbone."""
    model.save_pretrained(folder)
    BackboneFiles(tokenizers).copy_tokenizers(folder)
    return folder


@pytest.mark.parametrize(
    ("make", "sites", "longest"), [(xlm_roberta, 12, 64), (distilbert, 12, 64)]
)
def test_an_encoder_of_another_family(
    make: Callable[[int], PreTrainedModel],
    sites: int,
    longest: int,
    backbone: Path,
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    pieces = load_encoder(backbone).tokenizer.get_vocab_size()
    folder = folder_of(make(pieces), backbone, tmp_path / "family")
    card = export_backbone(folder, precisions=("fp32", "int8"))
    assert card.drift["fp32"] < 1e-5
    assert card.drift["int8"] < 0.01
    assert len(card.sites) == sites
    encoder = load_encoder(folder)
    assert encoder.max_length == longest
    assert list(encoder.pad(encoder.encode(["win"]))) == ["input_ids", "attention_mask"]
    products = [node.op_type for node in onnx.load(BackboneFiles(folder).model("int8")).graph.node]
    assert products.count("MatMulIntegerToFloat") == sites


@pytest.mark.long
def test_t5_writes_as_pytorch_does(writing_backbone: Path, tmp_path: Path) -> None:
    """Relative positions, no token types, no biases, gated feed-forward, an output product whose
    input is scaled."""
    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=600,
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_decoder_layers=2,
        num_heads=4,
        decoder_start_token_id=0,
        feed_forward_proj="gated-gelu",
    )
    model = transformers.T5ForConditionalGeneration(config)
    folder = folder_of(model, writing_backbone, tmp_path / "t5")
    card = export_backbone(folder, precisions=("fp32", "int8"))
    assert card.drift["decoder_fp32"] < 1e-5
    assert card.drift["decoder_int8"] < 0.25
    assert card.decoder
    assert (card.decoder.layers, card.decoder.heads, card.decoder.head_size) == (2, 4, 8)
    assert len(card.decoder.sites) == 2 * (4 + 4 + 3)


@pytest.mark.long
def test_a_decoder_whose_positions_are_not_by_row_is_refused(
    writing_backbone: Path, tmp_path: Path
) -> None:
    """BART counts positions by the cache, which rows of a batch that joined later do not share: it
    needs a family of its own, and without one nothing is written."""
    torch.manual_seed(0)
    config = transformers.BartConfig(
        vocab_size=600,
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_position_embeddings=64,
        init_std=0.3,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=1,
        forced_eos_token_id=None,
    )
    model = transformers.BartForConditionalGeneration(config)
    folder = folder_of(model, writing_backbone, tmp_path / "bart")
    with pytest.raises(ExportError, match="decoder drifts from PyTorch"):
        export_backbone(folder, precisions=("fp32",))
    assert not list(folder.glob("onnx/*"))
