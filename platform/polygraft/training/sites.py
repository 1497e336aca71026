"""The sites LoRA may sit on, and those that a recipe means."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from polygraft.architectures.folder import BackboneFiles
from polygraft.architectures.loading import linear_sites, load_backbone, load_seq2seq
from polygraft.errors import RecipeError
from polygraft.runtime.graph import load_card
from polygraft.tasks.recipe import LoraRecipe


def decoder_graph_sites(backbone: Path) -> list[str]:
    """The same of its decoder, by name in the whole"""
    card = load_card(backbone) if BackboneFiles(backbone).graph.is_file() else None
    if card and card.decoder:
        return [site.name for site in card.decoder.sites]
    return [
        n
        for n in whole_site_names(backbone)
        if n.startswith("decoder.") and not n.endswith("predictions.decoder")
    ]


def graph_sites(backbone: Path) -> list[str]:
    """Sites the exported graph carries; before the first export, every linear layer."""
    if BackboneFiles(backbone).graph.is_file():
        return [site.name for site in load_card(backbone).sites]
    return site_names(backbone)


def pick_sites(lora: LoraRecipe, available: Sequence[str]) -> list[str]:
    """The sites a recipe means. Raises `RecipeError` for an ending that matches none."""
    available = in_layers(available, lora.layers)
    if lora.sites == "all":
        return available
    endings = [lora.sites] if isinstance(lora.sites, str) else lora.sites
    unmatched = [e for e in endings if not any(s == e or s.endswith(f".{e}") for s in available)]
    if unmatched:
        shown = sorted({s.split(".", 3)[-1] for s in available})
        raise RecipeError(
            "recipe",
            [f"lora.sites: {e!r} matches no site; sites end in {shown}" for e in unmatched],
        )
    return [s for s in available if any(s == e or s.endswith(f".{e}") for e in endings)]


def in_layers(sites: Sequence[str], layers: Sequence[int] | None) -> list[str]:
    """Those of the sites that are in one of the layers; None: all. Raises `RecipeError` for a layer
    without any."""
    if layers is None:
        return list(sites)
    by_layer = {
        layer: [s for s in sites if re.search(rf"(^|\.)layers?\.{layer}\.", s)] for layer in layers
    }
    empty = [layer for layer, found in by_layer.items() if not found]
    if empty:
        raise RecipeError(
            "recipe", [f"lora.layers: the backbone has no layer {', '.join(map(str, empty))}"]
        )
    return [s for s in sites if any(s in found for found in by_layer.values())]


def whole_site_names(backbone: Path) -> list[str]:
    """The same of an encoder-decoder, its decoder's too."""
    return list(linear_sites(load_seq2seq(backbone)))


def site_names(backbone: Path) -> list[str]:
    """Every linear layer of the backbone, loaded for its names."""
    return list(linear_sites(load_backbone(backbone)))
