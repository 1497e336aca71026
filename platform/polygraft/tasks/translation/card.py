"""A translator's part of its card: figures of every direction and baseline, examples good and bad,
limits. Markdown."""

from __future__ import annotations

from typing import Any

from polygraft.reporting.figures import show
from polygraft.tasks.translation.manifest import TranslationManifest
from polygraft.tasks.translation.quality import Quality
from polygraft.tasks.translation.recipe import TranslationRecipe
from polygraft.training.card import Card, lora_of, origin

NAMES = {
    "copy": "the source, copied",
    "from_scratch": "a model of the backbone's size from random weights, same pairs and steps",
    "bare": "without this adapter",
    "no_parent": "this recipe without its parent",
    "adapter": "**this adapter**",
}
NOT_FOR = {
    Quality.USABLE: "for what nobody reads over",
    Quality.GIST: "for what is published, or acted upon without the original",
    Quality.EXPERIMENTAL: "for anything but trying it: what it says is often not what was said",
}


class TranslationCard(Card):
    """See `training.card.Card`."""

    pipeline_tag = "translation"
    limits = (
        "Translations of a small model: read the examples, the bad ones too, before you use it, "
        "and let someone who knows the "
        "language check what matters. Domains other than those of the data above come out worse."
    )

    def introduction(self, manifest: TranslationManifest, recipe: TranslationRecipe) -> str:
        directions = ", ".join(f"{source} to {target}" for source, target in manifest.directions)
        steps = f"{recipe.training.steps} steps of {recipe.training.tokens} tokens"
        made = "imported" if manifest.was_scored_only else steps
        return (
            f"Translation, {directions}; {origin(manifest)}; {lora_of(manifest, recipe)}, of "
            f"encoder and decoder; {made}"
        )

    def promises(self, manifest: TranslationManifest) -> str:
        """The class of every direction, and what it is not good for."""
        lines = ["\n## How far it can be trusted\n"]
        lines += [
            f"- **{direction}**: {quality}; do not use it {NOT_FOR[quality]}."
            for direction, quality in manifest.qualities().items()
        ]
        return "\n".join(lines)

    def figures(self, metrics: dict[str, Any]) -> str:
        """A table a direction: a line a baseline."""
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
                for baseline, scores in figures["rungs"].items():
                    lines.append(
                        f"| {NAMES[baseline]} | {show(scores['chrf++'])} | {scores['bleu']} | "
                        f"{scores['chrf++_without_marks']} |"
                    )
                if gain := figures.get("gain_from_parent"):
                    lines.append(
                        f"\nGain from the parent (paired, chrF++): {show(gain)}: {gain['verdict']}."
                    )
                signatures = ", ".join(f"`{signature}`" for signature in figures["signatures"])
        return "\n".join([*lines, f"\nsacreBLEU: {signatures}"])

    def examples(self, metrics: dict[str, Any]) -> str:
        """The best, the worst and two between, of every direction of the last split."""
        lines = [
            "\n## Examples\n\nBest, two between, worst of each direction, by their own chrF++.\n"
        ]
        last_split = list(metrics["directions"].values())[-1]
        for direction, figures in last_split.items():
            lines.append(f"\n**{direction}**\n")
            lines += [
                f"- {example['chrf++']}: {example['source']}\n"
                f"  - written: {example['written']}\n"
                f"  - reference: {example['reference']}"
                for example in figures["examples"]
            ]
        return "\n".join(lines)
