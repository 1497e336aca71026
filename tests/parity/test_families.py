"""Real classes of transformers with small random weights, exported as they come: the export itself
compares mixed adapters with PyTorch + peft and raises when they drift, so what is tested here is
that it accepts the right ones and refuses the wrong ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForSeq2SeqLM, PreTrainedModel

from polygraft.architectures import registry
from polygraft.architectures.folder import BackboneFiles
from polygraft.architectures.loading import load_seq2seq
from polygraft.architectures.text import load_encoder
from polygraft.errors import ExportError
from polygraft.export.export import export_backbone
from polygraft.runtime.bank import Bank
from polygraft.runtime.graph import GraphSession, mixture
from polygraft.training.softmax import IGNORED, decoder_losses

LONG = pytest.mark.long
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 66,
    "initializer_range": 0.3,
    "pad_token_id": 1,
}
DISTILBERT = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64}
MODERNBERT = {"global_attn_every_n_layers": 2, "local_attention": 16}
DEBERTA = {
    "relative_attention": True,
    "position_buckets": 16,
    "pos_att_type": ["p2c", "c2p"],
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "position_biased_input": False,
    "type_vocab_size": 0,
}
XMOD = {"languages": ["en_XX"], "default_language": "en_XX"}
CALM = {"initializer_range": 0.1}  # int8 drifts by more than 0.01 with wilder weights
REMBERT = {"input_embedding_size": 16, "output_embedding_size": 16}


def config_of(model_type: str, pieces: int, **changes: Any) -> Any:
    return AutoConfig.for_model(model_type, vocab_size=pieces, **changes)


def folder_of(model: PreTrainedModel, tokenizers: Path, folder: Path) -> Path:
    """The model beside tokenizers of the tiny backbone."""
    model.save_pretrained(folder)
    BackboneFiles(tokenizers).copy_tokenizers(folder)
    return folder


@pytest.mark.parametrize(
    ("model_type", "changes", "sites", "longest"),
    [
        ("xlm-roberta", {}, 12, 64),
        ("modernbert", MODERNBERT, 8, 66),
        ("deberta-v2", DEBERTA, 8, 66),
        pytest.param("bert", {}, 12, 66, marks=LONG),
        pytest.param("roberta", {}, 12, 64, marks=LONG),
        pytest.param("camembert", {}, 12, 64, marks=LONG),
        pytest.param("xmod", XMOD, 16, 64, marks=LONG),
        pytest.param("mpnet", {}, 12, 64, marks=LONG),
        pytest.param("distilbert", DISTILBERT, 12, 66, marks=LONG),
        pytest.param("electra", {"embedding_size": 16}, 13, 66, marks=LONG),
        pytest.param("albert", {"embedding_size": 16}, 7, 66, marks=LONG),
        pytest.param("rembert", REMBERT, 13, 66, marks=LONG),
        pytest.param("ernie", {}, 12, 66, marks=LONG),
        pytest.param("roformer", CALM, 12, 66, marks=LONG),
        pytest.param("nomic_bert", CALM, 14, 66, marks=LONG),
        pytest.param("eurobert", {"num_key_value_heads": 4}, 14, 66, marks=LONG),
        pytest.param("jina_embeddings_v3", {}, 12, 66, marks=LONG),
    ],
)
def test_an_encoder_of_another_family(
    model_type: str,
    changes: dict[str, Any],
    sites: int,
    longest: int,
    backbone: Path,
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    pieces = load_encoder(backbone).tokenizer.get_vocab_size()
    config = config_of(model_type, pieces, **SMALL | changes)
    folder = folder_of(AutoModel.from_config(config), backbone, tmp_path / "family")
    card = export_backbone(folder, precisions=("fp32", "int8"))
    assert card.drift["fp32"] < 1e-5
    assert card.drift["int8"] < 0.01
    assert len(card.sites) == sites
    encoder = load_encoder(folder)
    assert encoder.max_length == longest
    whole = encoder.encode(["win " * 100])
    vectors = GraphSession(BackboneFiles(folder).model("int8")).run(
        encoder.pad(whole) | mixture([[]]), Bank(card.sites, 1)
    )
    assert np.isfinite(vectors).all(), "as many tokens as it can read"
    products = [node.op_type for node in onnx.load(BackboneFiles(folder).model("int8")).graph.node]
    # DeBERTa's query and key are products, but no sites; ALBERT's layers share their weights
    further = {"deberta-v2": 4, "albert": 6}.get(model_type, 0)
    assert products.count("MatMulIntegerToFloat") == sites + further


BART = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 64,
    "init_std": 0.3,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "decoder_start_token_id": 1,
    "forced_eos_token_id": None,
}
T5 = {
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 64,
    "num_layers": 2,
    "num_decoder_layers": 2,
    "num_heads": 4,
    "pad_token_id": 0,
    "decoder_start_token_id": 0,
}
GATED = T5 | {"feed_forward_proj": "gated-gelu"}


@pytest.mark.parametrize(
    ("model_type", "changes", "products"),
    [
        ("m2m_100", BART, 10),
        pytest.param("mt5", GATED, 11, marks=LONG),
        pytest.param("marian", BART | {"init_std": 0.1}, 10, marks=LONG),
        pytest.param("bart", BART, 10, marks=LONG),
        pytest.param("mbart", BART, 10, marks=LONG),
        pytest.param("pegasus", BART, 10, marks=LONG),
        pytest.param("t5", T5, 10, marks=LONG),
        pytest.param("umt5", GATED, 11, marks=LONG),
    ],
)
def test_a_decoder_of_another_family(
    model_type: str, changes: dict[str, Any], products: int, writing_backbone: Path, tmp_path: Path
) -> None:
    """Positions from a table or relative ones, no token types, no biases, gated feed-forward, an
    output product whose input is scaled; `products` a layer."""
    torch.manual_seed(0)
    model = AutoModelForSeq2SeqLM.from_config(config_of(model_type, 600, **changes))
    folder = folder_of(model, writing_backbone, tmp_path / "family")
    card = export_backbone(folder, precisions=("fp32", "int8"))
    assert card.drift["decoder_fp32"] < 1e-5
    assert card.drift["decoder_int8"] < 0.25
    assert card.decoder
    assert (card.decoder.layers, card.decoder.heads, card.decoder.head_size) == (2, 4, 8)
    assert len(card.decoder.sites) == 2 * products
    _check_training_loss(folder)


@torch.no_grad()
def _check_training_loss(folder: Path) -> None:
    """What training learns by is the model's own loss, whatever its padding, bias and scale; also
    against part of the vocabulary."""
    model = load_seq2seq(folder)
    if getattr(model, "final_logits_bias", None) is not None:
        model.final_logits_bias.normal_(generator=torch.Generator().manual_seed(1))
    source, labels = torch.arange(20, 32).view(2, 6), torch.arange(40, 52).view(2, 6).clone()
    mask = torch.ones_like(source)
    labels[1, 3:] = IGNORED
    given = torch.cat([torch.full((2, 1), int(model.config.pad_token_id)), labels[:, :-1]], dim=1)
    given[given == IGNORED] = model.config.pad_token_id
    own = model(input_ids=source, decoder_input_ids=given, labels=labels).loss
    states = model.get_encoder()(input_ids=source, attention_mask=mask).last_hidden_state
    rng = np.random.default_rng(0)
    losses = decoder_losses(model, given, states, mask, labels, rng)
    assert float(losses.mean()) == pytest.approx(float(own), rel=1e-5)
    sampled = decoder_losses(model, given, states, mask, labels, rng, negatives=10_000)
    assert float(sampled.mean()) == pytest.approx(float(own), rel=1e-5)


@pytest.mark.long
def test_a_decoder_whose_positions_are_not_by_row_is_refused(
    writing_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BART counts positions by the cache, which rows of a batch that joined later do not share:
    without its family nothing is written."""
    monkeypatch.delitem(registry.FAMILIES, "bart")
    torch.manual_seed(0)
    model = AutoModelForSeq2SeqLM.from_config(config_of("bart", 600, **BART))
    folder = folder_of(model, writing_backbone, tmp_path / "bart")
    with pytest.raises(ExportError, match="decoder drifts from PyTorch"):
        export_backbone(folder, precisions=("fp32",))
    assert not list(folder.glob("onnx/*"))
