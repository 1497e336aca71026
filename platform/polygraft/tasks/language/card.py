"""A language adapter's part of its card: how to use it, what it changed, its limits. Markdown."""

from __future__ import annotations

from typing import Any

from polygraft.tasks.language.manifest import LanguageManifest
from polygraft.tasks.language.recipe import LanguageRecipe
from polygraft.training.card import Card, lora_of


class LanguageCard(Card):
    """See `training.card.Card`."""

    tags = ("language-adapter",)
    limits = (
        "Whether it helps a task has to be measured on that task: `polygraft train --full-ladder` "
        "shows it."
    )

    def introduction(self, manifest: LanguageManifest, recipe: LanguageRecipe) -> str:
        options = recipe.training
        return (
            f"A language adapter, {', '.join(manifest.languages)}: it answers nothing by itself "
            "and lies under a task adapter, "
            f'`"stack": ["{manifest.name}", "TASK"]`. {lora_of(manifest, recipe)}; {options.steps} '
            f"steps of {options.tokens} tokens, objective {options.objective}"
        )

    def figures(self, metrics: dict[str, Any]) -> str:
        lines = [
            f"## Figures\n\nOn {metrics['rows']} rows kept out of the training; loss of the "
            f"{metrics['objective']} objective: "
            f"{metrics['dev_loss']} nats."
        ]
        if losses := metrics.get("denoising"):
            lines.append(
                "\nThe backbone's own objective, writing texts whose spans were cut (nats a piece, "
                "lower is better): "
                f"{losses['bare']} bare, {losses['adapter']} with this adapter."
            )
        return "\n".join(lines)
