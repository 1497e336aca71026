"""Averaged weights: what a phase leaves, and what its dev figures are of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


class Average:
    """Exponential moving average of the dense weights that are trained. Encoder embedding rows,
    most of them untouched by a step, are taken as they are: averaging all 50,000 would cost more
    than the step. A decay of 0 is no average: the weights as they are."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self.values = {name: p.detach().clone() for name, p in self._dense(model)}

    def _dense(self, model: nn.Module) -> list[tuple[str, nn.Parameter]]:
        if not self.decay:
            return []
        named = model.named_parameters()
        return [
            (n, p)
            for n, p in named
            if p.requires_grad and not n.startswith("encoder.embeddings.word_embeddings")
        ]

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        if not self.decay:
            return
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        names = [(self.values[name], p) for name, p in self._dense(model)]
        torch._foreach_lerp_([a for a, _ in names], [p.detach() for _, p in names], 1 - decay)

    @torch.no_grad()
    def copy_to(self, model: nn.Module) -> None:
        for name, p in self._dense(model):
            p.copy_(self.values[name])

    @contextmanager
    def used_by(self, model: nn.Module) -> Iterator[None]:
        """The model has the averaged weights inside; its own, bit for bit, come back after."""
        self._swap(model)
        try:
            yield
        finally:
            self._swap(model)

    @torch.no_grad()
    def _swap(self, model: nn.Module) -> None:
        for name, p in self._dense(model):
            own = p.detach().clone()
            p.copy_(self.values[name])
            self.values[name].copy_(own)
