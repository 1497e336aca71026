"""A folder that PEFT wrote: its LoRA, and the weights it brings besides. What is not plain LoRA is
refused by its name, unless it can be written as such exactly: ranks and alphas a layer, and
rank-stabilised scaling.

Does not: know backbones or heads (see `adapter` and `peft_head`), or run anything that a folder
brings.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors.torch import load_file

from polygraft.adapters.arrays import Floats
from polygraft.adapters.layout import LAYOUT
from polygraft.errors import AdapterError, shortened
from polygraft.importing.source import downloaded

PICKLE = "adapter_model.bin"
WANTED = (LAYOUT.peft_config, LAYOUT.weights, PICKLE, "config.json", LAYOUT.card)
LORA = re.compile(r"(?P<module>\S+)\.lora_(?P<part>[AB])(?:\.\w+)?\.weight")
PREFIX = "base_model.model."
OTHERS = {
    "lora_magnitude": "the magnitudes of DoRA",
    "lora_embedding": "LoRA on a table of embeddings",
}
"""What the names of tensors tell of variants that the config need not."""
WITHOUT_EFFECT = {
    *("task_type", "peft_type", "auto_mapping", "peft_version", "base_model_name_or_path"),
    *("revision", "inference_mode", "r", "lora_alpha", "lora_dropout", "target_modules"),
    *("exclude_modules", "layers_to_transform", "layers_pattern", "megatron_core"),
    *("qalora_group_size", "runtime_config", "ensure_weight_tying", "eva_config", "velora_config"),
    *("modules_to_save", "rank_pattern", "alpha_pattern", "use_rslora", "bias"),
    "init_lora_weights",
}
"""Fields of `adapter_config.json` that change nothing of what the matrices mean, or that are read
here."""
BASE_CHANGED = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Ways to begin training that alter the base's weights too."""
MERGE = "merge it into its base (merge_and_unload) and bring that by `polygraft backbone import`"


@dataclass(frozen=True)
class PeftFolder:
    """`lora[module] = (A [r, in], B [out, r])` by the module's name in the model that PEFT adapted,
    the scale in B, all of rank `r`; `alpha` is what the scale is still to be taken from (alpha/r).
    `others` are its further tensors. `named` is what the folder is called, or its name on the
    Hub."""

    named: str
    base: str | None
    r: int
    alpha: float
    lora: dict[str, tuple[Floats, Floats]]
    others: dict[str, Floats]
    id2label: list[str] | None
    licence: str | None


def read_peft_folder(source: str, revision: str | None = None) -> PeftFolder:
    """The adapter in a folder, or of that name on the Hub. Raises `AdapterError`, or
    `BackboneError` for a name that the Hub does not know."""
    folder, named = Path(source), Path(source).resolve().name
    if not folder.is_dir():
        folder, named = downloaded(source, revision, WANTED), source
    config = _json(folder / LAYOUT.peft_config, named)
    _check(config, named)
    lora, others = _split(_tensors(folder, named), named)
    r, alpha, scaled = _of_one_rank(lora, config, named)
    base = config.get("base_model_name_or_path")
    return PeftFolder(
        named=named,
        base=base if isinstance(base, str) and base else None,
        r=r,
        alpha=alpha,
        lora=scaled,
        others=others,
        id2label=_id2label(folder, named),
        licence=_licence(folder),
    )


def _json(file: Path, named: str) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AdapterError(
            f"{named} has no {file.name}, so it is no adapter of PEFT; give the folder that "
            "save_pretrained wrote"
        ) from None
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict):
        raise AdapterError(f"{file.name} of {named} is not a JSON object; copy the folder again")
    return content


def _check(config: Mapping[str, Any], named: str) -> None:
    """Raises `AdapterError` for what is no LoRA, or cannot be written as plain LoRA."""
    kind = str(config.get("peft_type"))
    if kind != "LORA":
        raise AdapterError(
            f"{named} is {shortened(kind)}, and adapters here are LoRA: a product that is added to "
            f"a layer's. Train it as LoRA, or {MERGE}"
        )
    begun = config.get("init_lora_weights")
    problems = [
        *(name for name, value in config.items() if value and name not in WITHOUT_EFFECT),
        *(["bias"] if config.get("bias", "none") != "none" else []),
        *([begun] if isinstance(begun, str) and begun.lower().startswith(BASE_CHANGED) else []),
    ]
    if problems:
        raise AdapterError(
            f"{named} is not plain LoRA: {', '.join(map(shortened, problems[:5]))} in its "
            f"{LAYOUT.peft_config}. That is no sum of the frozen layer and a product; {MERGE}"
        )


def _tensors(folder: Path, named: str) -> dict[str, Floats]:
    """By name, without what PEFT's wrappers put before and between."""
    try:
        if (folder / LAYOUT.weights).is_file():
            found = load_file(folder / LAYOUT.weights)
        else:
            found = torch.load(folder / PICKLE, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise AdapterError(
            f"{named} has neither {LAYOUT.weights} nor {PICKLE}; half a download? Get it again"
        ) from None
    except Exception as error:
        why = " ".join(str(error).split())[:200]
        raise AdapterError(
            f"the weights of {named} cannot be read as tensors ({type(error).__name__}: {why}); "
            "copy the folder again"
        ) from None
    return {
        name.removeprefix(PREFIX): np.ascontiguousarray(value.float().numpy())
        for name, value in found.items()
    }


def _split(
    tensors: Mapping[str, Floats], named: str
) -> tuple[dict[str, tuple[Floats, Floats]], dict[str, Floats]]:
    """LoRA by module, and the rest by name."""
    parts: dict[str, dict[str, Floats]] = {}
    others = dict[str, Floats]()
    for name, value in tensors.items():
        if match := LORA.fullmatch(name):
            parts.setdefault(match["module"], {})[match["part"]] = value
        else:
            others[name] = value
    variants = sorted({why for part, why in OTHERS.items() if any(part in n for n in others)})
    if variants:
        raise AdapterError(f"{named} holds {' and '.join(variants)}, no plain LoRA; {MERGE}")
    lora = dict[str, tuple[Floats, Floats]]()
    for module, halves in parts.items():
        a, b = halves.get("A"), halves.get("B")
        if a is None or b is None or a.ndim != 2 or b.ndim != 2 or len(a) != b.shape[1]:
            raise AdapterError(
                f"{named}: A and B of {shortened(module)} are missing, or no matrices of one rank; "
                "copy the folder again"
            )
        lora[module] = (a, b)
    if not lora:
        raise AdapterError(f"{named} holds no LoRA, only {len(others)} other tensors")
    return lora, others


def _of_one_rank(
    lora: Mapping[str, tuple[Floats, Floats]], config: Mapping[str, Any], named: str
) -> tuple[int, float, dict[str, tuple[Floats, Floats]]]:
    """Rank, alpha and the matrices: as they are where all layers have one rank and one scale; else
    filled up with zeros to the largest rank, with each layer's scale in its B (alpha/r is 1)."""
    ranks = {module: len(a) for module, (a, _) in lora.items()}
    scales = dict(_scales(ranks, config, named))
    largest = max(ranks.values())
    if len(set(ranks.values())) == 1 and len(set(scales.values())) == 1:
        return largest, next(iter(scales.values())) * largest, dict(lora)
    filled = dict[str, tuple[Floats, Floats]]()
    for module, (a, b) in lora.items():
        missing = largest - len(a)
        filled[module] = (
            np.pad(a, ((0, missing), (0, 0))),
            np.pad(b * np.float32(scales[module]), ((0, 0), (0, missing))),
        )
    return largest, float(largest), filled


def _scales(
    ranks: Mapping[str, int], config: Mapping[str, Any], named: str
) -> Iterator[tuple[str, float]]:
    """What B·A of each module is multiplied by: alpha/r (Hu et al. 2021), or alpha/sqrt(r)
    (Kalajdzievski 2023), of the module's own rank and alpha."""
    from peft.utils.other import get_pattern_key

    rank_pattern, alpha_pattern = (config.get(f"{n}_pattern") or {} for n in ("rank", "alpha"))
    for module, rank in ranks.items():
        stated = rank_pattern.get(get_pattern_key(rank_pattern, module), config.get("r"))
        alpha = alpha_pattern.get(get_pattern_key(alpha_pattern, module), config.get("lora_alpha"))
        if stated != rank or not isinstance(alpha, int | float):
            raise AdapterError(
                f"{named}: {shortened(module)} has rank {rank}, and by {LAYOUT.peft_config} rank "
                f"{stated!r} and alpha {alpha!r}; its files do not belong together"
            )
        yield module, alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _id2label(folder: Path, named: str) -> list[str] | None:
    """Labels in order, by the config of the model beside the adapter."""
    file = folder / "config.json"
    by_id = _json(file, named).get("id2label") if file.is_file() else None
    if not isinstance(by_id, dict):
        return None
    try:
        return [str(label) for _, label in sorted(by_id.items(), key=lambda item: int(item[0]))]
    except ValueError:
        return None


def _licence(folder: Path) -> str | None:
    """What the card in the folder says."""
    try:
        text = (folder / LAYOUT.card).read_text(encoding="utf-8")
        head = yaml.safe_load(text.split("---")[1]) if text.startswith("---") else None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, IndexError):
        return None
    stated = head.get("license_name") or head.get("license") if isinstance(head, dict) else None
    return stated.strip() if isinstance(stated, str) and stated.strip() else None


def placed(modules: Sequence[str], sites: Sequence[str]) -> dict[str, str] | None:
    """The site that each module is, by name: what stands before the site's name is the same for
    all, and no part of a decoder. None where they are not all sites."""
    parts, known = modules[0].split("."), set(sites)
    for depth in range(len(parts)):
        prefix = "".join(f"{part}." for part in parts[:depth])
        if "decoder" in prefix:
            return None
        names = {module: module.removeprefix(prefix) for module in modules}
        if all(m.startswith(prefix) and name in known for m, name in names.items()):
            return names
    return None
