"""Which arithmetic is faster on this machine, and which attention."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from transformers import PreTrainedModel


def quick_attention(model: PreTrainedModel) -> PreTrainedModel:
    """`model`, for training on short texts. PyTorch's fused attention for CPUs goes through many
    rows of 20 tokens one by one: two fifths of a training step; plain products made it 1.5 s
    instead of 2.4 (EPYC, bf16, 78 rows)."""
    if not torch.cuda.is_available():
        model.set_attn_implementation("eager")
        for module in model.modules():  # a model put together of two leaves its parts their configs
            if hasattr(getattr(module, "config", None), "_attn_implementation"):
                module.config._attn_implementation = "eager"
    return model


def bf16_wanted(chosen: bool | None, forward: Callable[[], object]) -> bool:
    """Whether to train in bf16: as the recipe chose or, where it left that out (None), if `forward`
    is faster in it."""
    return bf16_is_faster(forward) if chosen is None else chosen


def bf16_is_faster(forward: Callable[[], object]) -> bool:
    """Time `forward` five times in each arithmetic and compare the fastest: CPUs with AMX gain
    several times from bf16, those without lose half."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    fastest = dict[bool, float]()
    with torch.no_grad():
        for bf16 in (False, True):
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                forward()
                fastest[bf16] = min(_seconds(forward) for _ in range(5))
    return fastest[True] < 0.8 * fastest[False]


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started
