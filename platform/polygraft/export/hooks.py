"""Sites by forward hooks: which linear layers a run passes through, and LoRA added to what they
give. No module is replaced, for some classes look into theirs (T5 reads `wo.weight.dtype`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from polygraft.architectures.loading import linear_sites
from polygraft.runtime.graph import Site, groups


@dataclass(frozen=True)
class Product:
    """A linear layer in a run: its dotted name, and the name of the first one that read the same
    tensor."""

    name: str
    reads: str


def products(model: nn.Module, run: Callable[[], object], rows: int) -> list[Product]:
    """The linear layers that `run` passes `rows` rows through, in order, and what they read: those
    that can be sites, which is all whose every input is [rows, seq, inputs]. (DeBERTa's query and
    key read a table of positions too, which no row has for itself.)"""
    inputs: dict[str, list[torch.Tensor]] = {}
    hooks = [
        module.register_forward_pre_hook(
            lambda _module, args, name=name: inputs.setdefault(name, []).append(args[0])
        )
        for name, module in linear_sites(model).items()
    ]
    try:
        with torch.no_grad():
            run()
    finally:
        for hook in hooks:
            hook.remove()
    first: dict[int, str] = {}
    return [
        Product(name, first.setdefault(id(read[0]), name))
        for name, read in inputs.items()
        if all(tensor.dim() == 3 and len(tensor) == rows for tensor in read)
    ]


def describe(model: nn.Module, found: Sequence[Product], core: Sequence[str]) -> list[Site]:
    """The products as the graph's card has them. Those of `core` and the others share no A."""
    linears = linear_sites(model)
    first: dict[tuple[str, bool], str] = {}
    return [
        Site(
            name=product.name,
            inputs=linears[product.name].in_features,
            outputs=linears[product.name].out_features,
            core=product.name in core,
            reads=first.setdefault((product.reads, product.name in core), product.name),
        )
        for product in found
    ]


@dataclass(frozen=True)
class Place:
    """A site in its group: the name of the group's A, which of its columns are the site's, of how
    many sites, and the name of its B."""

    a: str
    index: int
    members: int
    b: str


Update = Callable[[torch.Tensor, Place], torch.Tensor]


@contextmanager
def updated(model: nn.Module, sites: Sequence[Site], update: Update) -> Iterator[None]:
    """While it lasts, every site gives its own output plus `update` of its input."""

    def hook(place: Place) -> Callable[[nn.Module, tuple[torch.Tensor, ...], Any], torch.Tensor]:
        return lambda _module, args, out: out + update(args[0], place)

    hooks = [
        model.get_submodule(site.name).register_forward_hook(
            hook(Place(f"{first}.A", index, len(members), f"{site.name}.B"))
        )
        for first, members in groups(sites).items()
        for index, site in enumerate(members)
    ]
    try:
        yield
    finally:
        for one in hooks:
            one.remove()
