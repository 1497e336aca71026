"""An embedding adapter's part of its card: how to use it, what its vectors find, its limits.
Markdown."""

from __future__ import annotations

from typing import Any

from polygraft.reporting.figures import show
from polygraft.tasks.embedding.manifest import EmbeddingManifest
from polygraft.tasks.embedding.recipe import EmbeddingRecipe
from polygraft.training.card import Card, lora_of, origin

NAMES = {
    "tfidf": "TF-IDF over characters",
    "bare": "bare backbone",
    "adapter": "**this adapter**",
}


class EmbeddingCard(Card):
    """See `training.card.Card`."""

    pipeline_tag = "sentence-similarity"
    tags = ("sentence-similarity",)
    limits = (
        "What was measured is finding translations; whether the vectors suit another use has to be "
        "measured there. Vectors of other adapters, or of another version, cannot be compared with "
        "these."
    )

    def introduction(self, manifest: EmbeddingManifest, recipe: EmbeddingRecipe) -> str:
        sizes = ", ".join(map(str, manifest.dimensions))
        if not manifest.trained:
            return f"Sentence vectors of the bare backbone, {sizes} values"
        options = recipe.training
        moves = "the first side stays" if options.anchored else "both sides move"
        return (
            f"Sentence vectors, {sizes} values; {origin(manifest)}; {lora_of(manifest, recipe)}; "
            f"{options.steps} steps of {options.pairs} pairs, {moves}"
        )

    def figures(self, metrics: dict[str, Any]) -> str:
        """A table a split: a line a pair of languages."""
        lines = [
            "## Figures\n\nOf each pair, whether one side is the nearest of all to the other: "
            "accuracy in percent, both ways, with 95% bootstrap intervals over pairs."
        ]
        for split, scored in metrics["retrieval"].items():
            names = list(next(iter(scored.values()))["rungs"])
            head = ["languages", "pairs", *(NAMES[name] for name in names)]
            lines += [f"\n**{split}**\n", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
            for languages, figures in scored.items():
                cells = [languages, str(figures["rows"])]
                cells += [show(figures["rungs"][name]) for name in names]
                lines.append(f"| {' | '.join(cells)} |")
            cut = {pair: f["dimensions"] for pair, f in scored.items() if "dimensions" in f}
            if any(len(sizes) > 1 for sizes in cut.values()):
                lines += [
                    "\nCut to fewer values: "
                    + "; ".join(
                        f"{pair} " + ", ".join(f"{size}: {value}" for size, value in sizes.items())
                        for pair, sizes in cut.items()
                    )
                    + "."
                ]
        return "\n".join(lines)

    def verdict(self, metrics: dict[str, Any]) -> str:
        gains = metrics.get("gains", {})
        return "; ".join(
            f"{what} {show(gain)} over the bare backbone: {gain['verdict']}"
            for what, gain in gains.items()
        )
