"""A tagger's part of its card: its labels, its figures beside the baselines, its limits.
Markdown."""

from __future__ import annotations

from typing import Any

from polygraft.data.small_tests import small_test
from polygraft.reporting.figures import show
from polygraft.reporting.results import markdown_table
from polygraft.tasks.tagging.manifest import TaggingManifest
from polygraft.tasks.tagging.recipe import TaggingRecipe
from polygraft.training.card import Card, lora_of, origin

NAMES = {
    "frequent": "commonest tag of every word",
    "crf": "CRF on hand features (python-crfsuite), same training rows",
    "head": "linear head and chain on the frozen backbone, same training rows",
    "lexical": "its lexical part alone, same training rows",
    "zero_shot": "parent, zero-shot",
    "target_only": "the same on these rows alone",
    "adapter": "**this adapter**",
}
METRICS = {"entity_f1": "entity F1 (seqeval, strict)", "accuracy": "accuracy"}


class TaggingCard(Card):
    """See `training.card.Card`."""

    pipeline_tag = "token-classification"
    limits = (
        "Measured on the split above and no further: other domains, other ways of writing names "
        "and mixed languages may score lower."
    )

    def introduction(self, manifest: TaggingManifest, recipe: TaggingRecipe) -> str:
        what = "a tag for every word" if manifest.scheme == "none" else "spans of a text"
        return (
            f"Tagging, {what}: {', '.join(f'`{label}`' for label in manifest.labels)}; "
            f"{origin(manifest)}; {lora_of(manifest, recipe) if recipe.trains_lora else 'no LoRA'}"
        )

    def verdict(self, metrics: dict[str, Any]) -> str:
        for gain, title in (
            ("gain_from_transfer", "gain from transfer over the best without it"),
            ("gain_over_baselines", "gain over the best baseline"),
        ):
            if found := metrics.get(gain):
                return (
                    f"{found['verdict']}: {title}, {NAMES[found['over']]} (paired over sentences), "
                    f"{show(found)}"
                )
        return ""

    def figures(self, metrics: dict[str, Any]) -> str:
        metric, seeds = metrics["metric"], len(metrics["seeds"])
        of_seeds = f"mean of {seeds} seeds" if seeds > 1 else "one seed"
        rows = [[NAMES[rung], show(figures[metric])] for rung, figures in metrics["ladder"].items()]
        lines = [
            f"## Figures\n\nOn the {metrics['split']} split ({metrics['rows']} rows), percent with "
            f"95% intervals over sentences; {of_seeds}.\n",
            markdown_table(["", METRICS[metric]], rows),
            f"\nAgainst the CRF on hand features (paired): {show(metrics['over_crf'])}.",
        ]
        shares = ", ".join(f"{label} {value}" for label, value in metrics["by_label"].items())
        lines.append(f"\nF1 of each label: {shares}.")
        warnings = small_test(metrics["rows"], f"The {metrics['split']} split")
        return "\n".join(lines + [f"\n**{warning}.**" for warning in warnings])
