"""Averaged weights: a phase ends with them, and its dev figures are scored on them."""

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
        return [
            (name, parameter)
            for name, parameter in model.named_parameters()
            if parameter.requires_grad and not name.startswith("encoder.embeddings.word_embeddings")
        ]

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        if not self.decay:
            return
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        dense = self._dense(model)
        averages = [self.values[name] for name, _ in dense]
        torch._foreach_lerp_(averages, [p.detach() for _, p in dense], 1 - decay)

    @torch.no_grad()
    def copy_to(self, model: nn.Module) -> None:
        for name, p in self._dense(model):
            p.copy_(self.values[name])

    @contextmanager
    def used_by(self, model: nn.Module) -> Iterator[None]:
        """Give the model the averaged weights for the time of the `with` block; its own come back,
        bit for bit, after it."""
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
