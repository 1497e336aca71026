"""A translator's part of its card: figures of every direction and baseline, examples good and bad,
limits. Markdown."""

from __future__ import annotations

from typing import Any

from polygraft.reporting.results import show
from polygraft.tasks.translation.manifest import TranslationManifest
from polygraft.tasks.translation.recipe import TranslationRecipe
from polygraft.training.card import origin

RUNGS = {
    "copy": "the source, copied",
    "from_scratch": "a model of the backbone's size from random weights, same pairs and steps",
    "bare": "bare backbone",
    "no_parent": "this recipe without its parent",
    "adapter": "**this adapter**",
}


LIMITS = (
    "Translations of a small model: read the examples, the bad ones too, before you use it, and "
    "let someone who knows the "
    "language check what matters. Domains other than those of the data above come out worse."
)


def introduction(manifest: TranslationManifest, recipe: TranslationRecipe) -> str:
    """What it is, in a sentence."""
    ways = ", ".join(f"{a} to {b}" for a, b in manifest.directions)
    return (
        f"Translation, {ways}; {origin(manifest)}; LoRA r={recipe.lora.r}, "
        f"alpha={recipe.lora.alpha:g}, sites "
        f"{recipe.lora.sites}, of encoder and decoder; {recipe.training.steps} steps of "
        f"{recipe.training.tokens} tokens"
    )


def figures_table(metrics: dict[str, Any]) -> str:
    """The ladder of every direction as Markdown."""
    lines = [
        "## Figures\n\nGreedy; chrF++ with 95% bootstrap intervals over sentences, BLEU, and "
        "chrF++ with all marks removed.\n"
    ]
    for split, directions in metrics["directions"].items():
        for direction, figures in directions.items():
            lines += [
                f"\n**{direction}**, {split}, {figures['rows']} sentences\n",
                "| | chrF++ | BLEU | without marks |",
                "|---|---|---|---|",
            ]
            for rung, found in figures["rungs"].items():
                lines.append(
                    f"| {RUNGS[rung]} | {show(found['chrf++'])} | {found['bleu']} | "
                    f"{found['chrf++_without_marks']} |"
                )
            if gain := figures.get("gain_from_parent"):
                lines.append(
                    f"\nGain from the parent (paired, chrF++): {show(gain)}: {gain['verdict']}."
                )
            signature = ", ".join(f"`{s}`" for s in figures["signatures"])
    return "\n".join([*lines, f"\nsacreBLEU: {signature}"])


def examples(metrics: dict[str, Any]) -> str:
    """The best, the worst and two between, of every direction of the last split."""
    lines = ["\n## Examples\n\nBest, two between, worst of each direction, by their own chrF++.\n"]
    for direction, figures in list(metrics["directions"].values())[-1].items():
        lines.append(f"\n**{direction}**\n")
        lines += [
            f"- {e['chrf++']}: {e['source']}\n  - written: {e['written']}\n  - reference: "
            f"{e['reference']}"
            for e in figures["examples"]
        ]
    return "\n".join(lines)
