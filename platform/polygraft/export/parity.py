"""Parity: the ONNX graph with several adapters mixed in one batch, against PyTorch + peft with each
adapter alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import peft
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from polygraft.adapters.format import Lora, lora_arrays
from polygraft.architectures.loading import load_backbone
from polygraft.architectures.text import load_encoder
from polygraft.runtime.bank import Bank
from polygraft.runtime.graph import GraphSession, Site, Stack, mixture
from polygraft.training.batches import tensors
from polygraft.training.vectors import pool

TEXTS = (
    "The committee published its budget on Tuesday.",
    "WIN a FREE phone now! Text CLAIM to 80082",
    "Ọjọ́ dára púpọ̀ lónìí.",
    "Tafadhali nipigie simu baada ya saa moja.",
    "ok",
    "¿Dónde está la estación de tren más cercana?",
    "यह एक छोटा वाक्य है।",
    "He aha ka inoa o kēia mokupuni?",
)


def drift(backbone: Path, sites: list[Site], models: dict[str, Path]) -> dict[str, float]:
    """Figures for each precision in `models`: the largest absolute difference for fp32, 1 - lowest
    cosine otherwise.

    Rows use the bare backbone and three adapters of one and two slots in turn, with random weights
    large enough to matter. Measured with adapters on every site and, where only some are core,
    again with adapters on those: the worse of the two.
    """
    core = [s for s in sites if s.core]
    figures = dict.fromkeys(models, 0.0)
    for used in [sites] if core == sites else [sites, core]:
        for precision, value in _drift(backbone, sites, used, models).items():
            figures[precision] = max(figures[precision], value)
    return figures


def _drift(
    backbone: Path, sites: list[Site], used: list[Site], models: dict[str, Path]
) -> dict[str, float]:
    expected, bank, stacks = _references(backbone, sites, used)
    encoder = load_encoder(backbone)
    rows = encoder.encode(TEXTS)
    which = [i % len(expected) for i in range(len(rows))]
    batch = encoder.pad(rows) | mixture([stacks[k] for k in which])
    wanted = np.stack([expected[k][i] for i, k in enumerate(which)])
    figures = {}
    for precision, file in models.items():
        got = GraphSession(file).run(batch, bank)
        if precision == "fp32":
            figures[precision] = float(np.abs(got - wanted).max())
        else:
            norms = np.linalg.norm(got, axis=1) * np.linalg.norm(wanted, axis=1)
            figures[precision] = float(1 - ((got * wanted).sum(axis=1) / norms).min())
    return figures


def _references(
    backbone: Path, sites: list[Site], used: list[Site]
) -> tuple[list[NDArray[np.float32]], Bank, list[Stack]]:
    """Pooled vectors of every text by PyTorch, bare and with each adapter alone; a bank with those,
    and their slots."""
    torch.manual_seed(0)
    encoder = load_encoder(backbone)
    batch = tensors(encoder.pad(encoder.encode(TEXTS)))
    bank = Bank(sites, capacity=4, rank=4)
    expected, stacks = [_pooled(load_backbone(backbone), batch)], list[Stack]([[]])
    for adapted, lora in random_adapters(lambda: load_backbone(backbone), [s.name for s in used]):
        stacks.append([(slot, 1.0) for slot in bank.write(lora, "parity")])
        expected.append(_pooled(adapted, batch))
    for adapted_vectors in expected[1:]:
        assert np.abs(adapted_vectors - expected[0]).max() > 1e-2, (
            "parity adapters change nothing: the check is void"
        )
    return expected, bank, stacks


def random_adapters(
    load: Callable[[], PreTrainedModel], sites: list[str]
) -> Iterator[tuple[Any, Lora]]:
    """Models with random adapters of ranks 4, 8 and 2, large enough to matter, and the same as
    arrays for the bank."""
    for rank in (4, 8, 2):
        config = peft.LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=sites)
        adapted = peft.get_peft_model(load(), config).eval()
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(parameter, std=0.05)
        tensors = {k: v.numpy() for k, v in peft.get_peft_model_state_dict(adapted).items()}
        yield adapted, lora_arrays(tensors, config.lora_alpha, f"parity-{rank}")


@torch.no_grad()
def _pooled(model: Any, batch: dict[str, torch.Tensor]) -> NDArray[np.float32]:
    vectors: NDArray[np.float32] = pool(
        model(**batch).last_hidden_state, batch["attention_mask"]
    ).numpy()
    return vectors
