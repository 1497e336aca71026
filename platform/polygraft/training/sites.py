"""The sites LoRA may sit on, and those that a recipe means."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from polygraft.adapters.format import by_part
from polygraft.architectures.folder import BackboneFiles
from polygraft.architectures.loading import linear_sites, load_backbone, load_seq2seq
from polygraft.errors import RecipeError
from polygraft.runtime.graph import load_card
from polygraft.tasks.recipe import LoraRecipe


def graph_sites(backbone: Path) -> list[str]:
    """The encoder's sites that the exported graph carries; before the first export, every linear
    layer of the encoder."""
    if BackboneFiles(backbone).graph.is_file():
        return [site.name for site in load_card(backbone).sites]
    return list(linear_sites(load_backbone(backbone)))


def decoder_graph_sites(backbone: Path) -> list[str]:
    """The decoder's sites that the exported graph carries, named as in the whole encoder-decoder
    (`decoder. ...`, `model.decoder. ...`); before the first export, every linear layer of the
    decoder."""
    card = load_card(backbone) if BackboneFiles(backbone).graph.is_file() else None
    if card and card.decoder:
        return [site.name for site in card.decoder.sites]
    return list(by_part(dict.fromkeys(linear_sites(load_seq2seq(backbone))))[1])


def encoder_prefix(decoder_sites: Sequence[str]) -> str:
    """What stands before the names of the encoder's sites in the whole encoder-decoder, whose
    decoder has these."""
    return decoder_sites[0].split("decoder.")[0] + "encoder."


def pick_sites(lora: LoraRecipe, available: Sequence[str], subject: str = "recipe") -> list[str]:
    """Those of the sites `available` that a recipe names; `subject` is its file. Raises
    `RecipeError` for an ending that matches none."""
    available = in_layers(available, lora.layers, subject)
    if lora.sites == "all":
        return available
    endings = [lora.sites] if isinstance(lora.sites, str) else lora.sites
    unmatched = [e for e in endings if not any(_ends_in(site, e) for site in available)]
    if unmatched:
        shown = sorted(_endings(available))
        raise RecipeError(
            subject,
            [f"lora.sites: {e!r} matches no site; sites end in {shown}" for e in unmatched],
        )
    return [site for site in available if any(_ends_in(site, e) for e in endings)]


def described(sites: Sequence[str]) -> str:
    """How many sites there are and how their names end, for a message."""
    count = "1 site" if len(sites) == 1 else f"{len(sites)} sites"
    return f"{count} ({', '.join(sorted(_endings(sites)))})"


def _endings(sites: Sequence[str]) -> set[str]:
    """The names of sites without their layer, `attention.self.value`."""
    return {site.split(".", 3)[-1] for site in sites}


def _ends_in(site: str, ending: str) -> bool:
    """Whether the last parts of a dotted name are `ending`."""
    return site == ending or site.endswith(f".{ending}")


def in_layers(
    sites: Sequence[str], layers: Sequence[int] | None, subject: str = "recipe"
) -> list[str]:
    """Those of `sites` that are in one of the `layers`; None: all. Raises `RecipeError` for a layer
    that has none."""
    if layers is None:
        return list(sites)
    by_layer = {
        layer: [site for site in sites if re.search(rf"(^|\.)layers?\.{layer}\.", site)]
        for layer in layers
    }
    empty = [layer for layer, members in by_layer.items() if not members]
    if empty:
        raise RecipeError(
            subject, [f"lora.layers: the backbone has no layer {', '.join(map(str, empty))}"]
        )
    return [site for site in sites if any(site in members for members in by_layer.values())]
