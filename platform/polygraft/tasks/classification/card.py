"""The adapter's card: what it is, its figures beside the baselines, its data and its limits.
Markdown with Hub front matter."""

from __future__ import annotations

from typing import Any

from polygraft.reporting.results import show
from polygraft.tasks.classification.manifest import ClassificationManifest
from polygraft.tasks.classification.recipe import ClassificationRecipe
from polygraft.training.card import origin

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


LIMITS = (
    "Measured on the split above and no further: other domains, other kinds of message and mixed "
    "languages may score lower."
)


def introduction(manifest: ClassificationManifest, recipe: ClassificationRecipe) -> str:
    """What it is, in a sentence."""
    sites = (
        "of its parent"
        if manifest.parent and "sites" not in recipe.lora.model_fields_set
        else recipe.lora.sites
    )
    return (
        f"Text classification, labels {', '.join(f'`{label}`' for label in manifest.labels)}; "
        f"{origin(manifest)}; "
        f"LoRA r={recipe.lora.r}, alpha={recipe.lora.alpha:g}, sites {sites}"
    )


def figures_table(metrics: dict[str, Any]) -> str:
    """The ladder as a Markdown table, and the paired differences below it."""
    ladder: dict[str, dict[str, dict[str, float]]] = metrics["ladder"]
    names = list(next(iter(ladder.values())))
    head = (
        f"## Figures\n\nOn the {metrics['split']} split ({metrics['rows']} rows), percent with 95% "
        "intervals"
    )
    seeds = len(metrics.get("seeds", {})) or 1
    head += f"; mean of {seeds} seeds.\n" if seeds > 1 else "; one seed.\n"
    table = [
        head,
        "| | " + " | ".join(n.replace("_", "-") for n in names) + " |",
        "|---" * (len(names) + 1) + "|",
    ]
    for rung, figures in ladder.items():
        table.append(f"| {RUNGS[rung]} | " + " | ".join(show(figures[n]) for n in names) + " |")
    table.append(f"\nAgainst TF-IDF (paired, macro-F1): {show(metrics['over_tfidf'])}.")
    if recall := metrics.get("recall"):
        table.append(
            "\nRight answers for rows of each label, percent: "
            + ", ".join(f"{k} {v}" for k, v in recall.items())
            + "."
        )
    for task, figure in metrics.get("heads", {}).items():
        told = f"{show(figure['macro_f1'])} on {figure['rows']} {figure['split']} rows"
        table.append(f"\nHead `{task}` (macro-F1): {told}.")
    if beside := [
        str(run["source_weight"])
        for run in metrics.get("seeds", {}).values()
        if "source_weight" in run
    ]:
        table.append(
            f"\nWeight of a source row, where a target row's is 1, by seed: {', '.join(beside)}."
        )
    if exchange := metrics.get("gain_from_exchange"):
        table.append(
            f"\nGain from exchanging the language (paired, macro-F1): {show(exchange)}: "
            f"{exchange['verdict']}."
        )
    table += _forgotten(metrics.get("forgetting", {}))
    gain = metrics.get("gain_from_transfer")
    if gain:
        over = RUNGS[gain.get("over", "target_only")]
        table.append(
            f"Gain from transfer over the best without it, {over} (paired, macro-F1): "
            f"{show(gain)}: {gain['verdict']}."
        )
    return "\n".join(table)


def _forgotten(found: dict[str, Any]) -> list[str]:
    lines = []
    if task := found.get("parent_task"):
        lines.append(
            f"\nThe parent's own task ({task['parent']}, {task['rows']} rows, macro-F1) by its "
            f"head: {show(task['before'])} "
            f"before, {show(task['after'])} with this adapter in its parent's place."
        )
    if losses := found.get("denoising"):
        lines.append(
            "\nThe backbone's own objective on dev texts (nats a piece of what its decoder "
            f"writes): {losses['bare']} bare, "
            f"{losses['adapter']} with this adapter."
        )
    return lines
