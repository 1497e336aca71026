"""A classifier's part of its card: its labels, its figures beside the baselines, its limits.
Markdown."""

from __future__ import annotations

from typing import Any

from polygraft.reporting.results import show
from polygraft.tasks.classification.manifest import ClassificationManifest
from polygraft.tasks.classification.recipe import ClassificationRecipe
from polygraft.training.card import Card, origin

NAMES = {
    "majority": "majority label",
    "tfidf": "TF-IDF + logistic regression, same training rows",
    "tuned_tfidf": "TF-IDF + the best of six linear models, same training rows",
    "head": "linear head on the frozen backbone, same training rows",
    "lexical": "its lexical part alone",
    "neural": "its neural part alone",
    "tfidf_zero_shot": "TF-IDF + logistic regression, the parent's rows",
    "zero_shot": "parent, zero-shot",
    "zero_shot_stack": "parent, zero-shot, on top of the target's language adapter",
    "target_only": "the same on these rows alone",
    "exchanged": "this adapter on top of the target's language adapter",
    "adapter": "**this adapter**",
}


class ClassificationCard(Card):
    """See `training.card.Card`."""

    pipeline_tag = "text-classification"
    limits = (
        "Measured on the split above and no further: other domains, other kinds of message and "
        "mixed languages may score lower."
    )

    def introduction(self, manifest: ClassificationManifest, recipe: ClassificationRecipe) -> str:
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

    def figures(self, metrics: dict[str, Any]) -> str:
        return "\n".join(
            [
                *_ladder(metrics),
                *_details(metrics),
                *_forgotten(metrics.get("forgetting", {})),
                *_gain_from_transfer(metrics.get("gain_from_transfer")),
            ]
        )


def _ladder(metrics: dict[str, Any]) -> list[str]:
    """A table: a line a baseline, a column a metric."""
    ladder: dict[str, dict[str, dict[str, float]]] = metrics["ladder"]
    columns = list(next(iter(ladder.values())))
    seeds = len(metrics.get("seeds", {})) or 1
    lines = [
        f"## Figures\n\nOn the {metrics['split']} split ({metrics['rows']} rows), percent with 95% "
        f"intervals; {f'mean of {seeds} seeds' if seeds > 1 else 'one seed'}.\n",
        "| | " + " | ".join(column.replace("_", "-") for column in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for baseline, figures in ladder.items():
        values = " | ".join(show(figures[column]) for column in columns)
        lines.append(f"| {NAMES[baseline]} | {values} |")
    return lines


def _details(metrics: dict[str, Any]) -> list[str]:
    """What is told of the adapter beside the ladder."""
    lines = [f"\nAgainst TF-IDF (paired, macro-F1): {show(metrics['over_tfidf'])}."]
    if recall := metrics.get("recall"):
        shares = ", ".join(f"{label} {share}" for label, share in recall.items())
        lines.append(f"\nRight answers for rows of each label, percent: {shares}.")
    for task, figure in metrics.get("heads", {}).items():
        lines.append(
            f"\nHead `{task}` (macro-F1): {show(figure['macro_f1'])} on {figure['rows']} "
            f"{figure['split']} rows."
        )
    runs = metrics.get("seeds", {}).values()
    weights = [str(run["source_weight"]) for run in runs if "source_weight" in run]
    if weights:
        lines.append(
            f"\nWeight of a source row, where a target row's is 1, by seed: {', '.join(weights)}."
        )
    if gain := metrics.get("gain_from_exchange"):
        lines.append(
            f"\nGain from exchanging the language (paired, macro-F1): {show(gain)}: "
            f"{gain['verdict']}."
        )
    return lines


def _forgotten(forgetting: dict[str, Any]) -> list[str]:
    lines = []
    if task := forgetting.get("parent_task"):
        lines.append(
            f"\nThe parent's own task ({task['parent']}, {task['rows']} rows, macro-F1) by its "
            f"head: {show(task['before'])} "
            f"before, {show(task['after'])} with this adapter in its parent's place."
        )
    if losses := forgetting.get("denoising"):
        lines.append(
            "\nThe backbone's own objective on dev texts (nats a piece of what its decoder "
            f"writes): {losses['bare']} bare, "
            f"{losses['adapter']} with this adapter."
        )
    return lines


def _gain_from_transfer(gain: dict[str, Any] | None) -> list[str]:
    if not gain:
        return []
    over = NAMES[gain.get("over", "target_only")]
    return [
        f"Gain from transfer over the best without it, {over} (paired, macro-F1): "
        f"{show(gain)}: {gain['verdict']}."
    ]
