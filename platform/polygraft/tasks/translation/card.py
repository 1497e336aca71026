"""The card of a translation adapter: figures of every direction and rung, examples good and bad, data, limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from polygraft.adapters.format import Manifest
from polygraft.data.leaks import sentence
from polygraft.reporting.results import show
from polygraft.tasks.translation.recipe import TranslationRecipe

RUNGS = {
    "copy": "the source, copied",
    "from_scratch": "a model of the backbone's size from random weights, same pairs and steps",
    "bare": "bare backbone",
    "no_parent": "this recipe without its parent",
    "adapter": "**this adapter**",
}


def write_card(manifest: Manifest, recipe: TranslationRecipe, file: Path) -> None:
    """Write `README.md` for the adapter."""
    front = yaml.safe_dump(
        {"library_name": "peft", "pipeline_tag": "translation", "language": manifest.languages, "tags": ["lora", "polygraft"]},
        sort_keys=False,
    )
    start = f"child of {manifest.parent}" if manifest.parent else "trained from the bare backbone"
    ways = ", ".join(f"{a} to {b}" for a, b in manifest.directions)
    lines = [
        f"---\n{front}---\n\n# {manifest.name}\n",
        f"{manifest.description.strip()}\n" if manifest.description else "",
        f"Translation, {ways}; {start}; LoRA r={recipe.lora.r}, alpha={recipe.lora.alpha:g}, sites {recipe.lora.sites}, of "
        f"encoder and decoder; {recipe.training.steps} steps of {recipe.training.tokens} tokens; backbone "
        f"`{manifest.backbone}`, version `{manifest.version}`.\n",
        figures_table(manifest.metrics),
        examples(manifest.metrics),
        "\n## Data\n\n| split | source | pairs | licence |\n|---|---|---|---|",
        *(f"| {d['split']} | `{d['source']}` | {d['rows']} | {d['licence']} |" for d in manifest.data),
        f"\n{sentence(leaks)}" if (leaks := manifest.metrics.get("leaks")) else "",
        "\n## Limits\n\nTranslations of a small model: read the examples, the bad ones too, before you use it, and let someone "
        "who knows the language check what matters. Domains other than those of the data above come out worse. The weights "
        "carry the terms of the data.\n",
    ]
    file.write_text("\n".join(line for line in lines if line), encoding="utf-8")


def figures_table(metrics: dict[str, Any]) -> str:
    """The ladder of every direction as Markdown."""
    lines = [
        "## Figures\n\nGreedy; chrF++ with 95% bootstrap intervals over sentences, BLEU, and chrF++ with all marks removed.\n"
    ]
    for split, directions in metrics["directions"].items():
        for direction, figures in directions.items():
            lines += [
                f"\n**{direction}**, {split}, {figures['rows']} sentences\n",
                "| | chrF++ | BLEU | without marks |",
                "|---|---|---|---|",
            ]
            for rung, found in figures["rungs"].items():
                lines.append(f"| {RUNGS[rung]} | {show(found['chrf++'])} | {found['bleu']} | {found['chrf++_without_marks']} |")
            if gain := figures.get("gain_from_parent"):
                lines.append(f"\nGain from the parent (paired, chrF++): {show(gain)}: {gain['verdict']}.")
            signature = ", ".join(f"`{s}`" for s in figures["signatures"])
    return "\n".join([*lines, f"\nsacreBLEU: {signature}"])


def examples(metrics: dict[str, Any]) -> str:
    """The best, the worst and two between, of every direction of the last split."""
    lines = ["\n## Examples\n\nBest, two between, worst of each direction, by their own chrF++.\n"]
    for direction, figures in list(metrics["directions"].values())[-1].items():
        lines.append(f"\n**{direction}**\n")
        lines += [
            f"- {e['chrf++']}: {e['source']}\n  - written: {e['written']}\n  - reference: {e['reference']}"
            for e in figures["examples"]
        ]
    return "\n".join(lines)
