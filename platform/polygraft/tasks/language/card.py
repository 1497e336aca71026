"""The card of a language adapter: what it read, what it changed, how to use it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from polygraft.adapters.format import Manifest
from polygraft.tasks.language.recipe import LanguageRecipe


def write_card(manifest: Manifest, recipe: LanguageRecipe, file: Path) -> None:
    """Write `README.md` for the adapter."""
    front = yaml.safe_dump(
        {"library_name": "peft", "language": manifest.languages, "tags": ["lora", "polygraft", "language-adapter"]},
        sort_keys=False,
    )
    options = recipe.training
    lines = [
        f"---\n{front}---\n\n# {manifest.name}\n",
        f"{manifest.description.strip()}\n" if manifest.description else "",
        f"A language adapter, {', '.join(manifest.languages)}: it answers nothing by itself and lies under a task adapter, "
        f'`"stack": ["{manifest.name}", "TASK"]`. LoRA r={recipe.lora.r}, alpha={recipe.lora.alpha:g}, sites '
        f"{recipe.lora.sites}; {options.steps} steps of {options.tokens} tokens, objective {options.objective}; backbone "
        f"`{manifest.backbone}`, version `{manifest.version}`.\n",
        figures_table(manifest.metrics),
        "\n## Data\n\n| split | source | rows | licence |\n|---|---|---|---|",
        *(f"| {d['split']} | `{d['source']}` | {d['rows']} | {d['licence']} |" for d in manifest.data),
        "\n## Limits\n\nWhether it helps a task has to be measured on that task: `polygraft train --full-ladder` shows it. "
        "The weights carry the terms of the data.\n",
    ]
    file.write_text("\n".join(line for line in lines if line), encoding="utf-8")


def figures_table(metrics: dict[str, Any]) -> str:
    """The losses as Markdown."""
    lines = [f"## Figures\n\nOn {metrics['rows']} rows kept out of the training; loss of the {metrics['objective']} objective: "
             f"{metrics['dev_loss']} nats."]  # fmt: skip
    if found := metrics.get("denoising"):
        lines.append(
            "\nThe backbone's own objective, writing texts whose spans were cut (nats a piece, lower is better): "
            f"{found['bare']} bare, {found['adapter']} with this adapter."
        )
    return "\n".join(lines)
