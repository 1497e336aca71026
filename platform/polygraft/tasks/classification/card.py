"""The adapter's card: what it is, its figures beside the baselines, its data and its limits. Markdown with Hub front matter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from polygraft.adapters.format import Manifest
from polygraft.data.leaks import sentence
from polygraft.reporting.results import show
from polygraft.tasks.classification.recipe import ClassificationRecipe

RUNGS = {
    "majority": "majority label",
    "tfidf": "TF-IDF + logistic regression, same training rows",
    "head": "linear head on the frozen backbone, same training rows",
    "tfidf_zero_shot": "TF-IDF + logistic regression, the parent's rows",
    "zero_shot": "parent, zero-shot",
    "zero_shot_stack": "parent, zero-shot, on top of the target's language adapter",
    "target_only": "LoRA on these rows alone",
    "exchanged": "this adapter on top of the target's language adapter",
    "adapter": "**this adapter**",
}


def write_card(manifest: Manifest, recipe: ClassificationRecipe, file: Path) -> None:
    """Write `README.md` for the adapter."""
    front = yaml.safe_dump(
        {"library_name": "peft", "pipeline_tag": "text-classification", "language": manifest.languages,
         "tags": ["lora", "polygraft"]}, sort_keys=False
    )  # fmt: skip
    start = f"child of {manifest.parent}" if manifest.parent else "trained from the bare backbone"
    sites = "of its parent" if manifest.parent and "sites" not in recipe.lora.model_fields_set else recipe.lora.sites
    lines = [
        f"---\n{front}---\n\n# {manifest.name}\n",
        f"{manifest.description.strip()}\n" if manifest.description else "",
        f"Text classification, labels {', '.join(f'`{label}`' for label in manifest.labels)}; {start}; "
        f"LoRA r={recipe.lora.r}, alpha={recipe.lora.alpha:g}, sites {sites}; "
        f"backbone `{manifest.backbone}`, version `{manifest.version}`.\n",
        figures_table(manifest.metrics),
        "\n## Data\n\n| split | source | rows | licence |\n|---|---|---|---|",
        *(f"| {d['split']} | `{d['source']}` | {d['rows']} | {d['licence']} |" for d in manifest.data),
        f"\n{sentence(leaks)}" if (leaks := manifest.metrics.get("leaks")) else "",
        "\n## Limits\n\nMeasured on the split above and no further: other domains, other kinds of message and mixed "
        "languages may score lower. The weights carry the terms of the data they were trained on.\n",
    ]
    file.write_text("\n".join(line for line in lines if line), encoding="utf-8")


def figures_table(metrics: dict[str, Any]) -> str:
    """The ladder as a Markdown table, and the paired differences below it."""
    ladder: dict[str, dict[str, dict[str, float]]] = metrics["ladder"]
    names = list(next(iter(ladder.values())))
    head = f"## Figures\n\nOn the {metrics['split']} split ({metrics['rows']} rows), percent with 95% intervals"
    seeds = len(metrics.get("seeds", {})) or 1
    head += f"; mean of {seeds} seeds.\n" if seeds > 1 else "; one seed.\n"
    table = [head, "| | " + " | ".join(n.replace("_", "-") for n in names) + " |", "|---" * (len(names) + 1) + "|"]
    for rung, figures in ladder.items():
        table.append(f"| {RUNGS[rung]} | " + " | ".join(show(figures[n]) for n in names) + " |")
    table.append(f"\nAgainst TF-IDF (paired, macro-F1): {show(metrics['over_tfidf'])}.")
    if recall := metrics.get("recall"):
        table.append(
            "\nRight answers for rows of each label, percent: " + ", ".join(f"{k} {v}" for k, v in recall.items()) + "."
        )
    for task, figure in metrics.get("heads", {}).items():
        told = f"{show(figure['macro_f1'])} on {figure['rows']} {figure['split']} rows"
        table.append(f"\nHead `{task}` (macro-F1): {told}.")
    if beside := [str(run["source_weight"]) for run in metrics.get("seeds", {}).values() if "source_weight" in run]:
        table.append(f"\nWeight of a source row, where a target row's is 1, by seed: {', '.join(beside)}.")
    if exchange := metrics.get("gain_from_exchange"):
        table.append(f"\nGain from exchanging the language (paired, macro-F1): {show(exchange)}: {exchange['verdict']}.")
    table += _forgotten(metrics.get("forgetting", {}))
    gain = metrics.get("gain_from_transfer")
    if gain:
        over = RUNGS[gain.get("over", "target_only")]
        table.append(
            f"Gain from transfer over the best without it, {over} (paired, macro-F1): {show(gain)}: {gain['verdict']}."
        )
    return "\n".join(table)


def _forgotten(found: dict[str, Any]) -> list[str]:
    lines = []
    if task := found.get("parent_task"):
        lines.append(
            f"\nThe parent's own task ({task['parent']}, {task['rows']} rows, macro-F1) by its head: {show(task['before'])} "
            f"before, {show(task['after'])} with this adapter in its parent's place."
        )
    if losses := found.get("denoising"):
        lines.append(
            f"\nThe backbone's own objective on dev texts (nats a piece of what its decoder writes): {losses['bare']} bare, "
            f"{losses['adapter']} with this adapter."
        )
    return lines
