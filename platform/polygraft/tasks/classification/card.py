"""A classifier's part of its card: its labels, its figures beside the baselines, its limits.
Markdown."""

from __future__ import annotations

from typing import Any

from polygraft.adapters.layout import LAYOUT
from polygraft.data.small_tests import small_test
from polygraft.reporting.figures import bounded, percent, show
from polygraft.reporting.results import markdown_table
from polygraft.tasks.classification.manifest import ClassificationManifest
from polygraft.tasks.classification.recipe import ClassificationRecipe
from polygraft.tasks.classification.shared_vectors import MAX_ROWS
from polygraft.training.card import Card, lora_of, origin

NAMES = {
    "majority": "majority label",
    "tfidf": "TF-IDF + logistic regression, same training rows",
    "tuned_tfidf": "TF-IDF + the best of six linear models, same training rows",
    "head": "linear head on the frozen backbone, same training rows",
    "lexical": "its lexical part alone",
    "neural": "its neural part alone",
    "hybrid_alone": "linear head and lexical part, same training rows",
    "tfidf_zero_shot": "TF-IDF + logistic regression, the parent's rows",
    "zero_shot": "parent, zero-shot",
    "zero_shot_stack": "parent, zero-shot, on top of the target's language adapter",
    "target_only": "the same on these rows alone",
    "exchanged": "this adapter on top of the target's language adapter",
    "adapter": "**this adapter**",
}
HARDLY_FOUND = 20.0
"""Percent of a label's rows: whoever looks for it should know."""
WORSE_CALIBRATED = 2.0
"""Points of calibration error."""


class ClassificationCard(Card):
    """See `training.card.Card`."""

    pipeline_tag = "text-classification"
    limits = (
        "Measured on the split above and no further: other domains, other kinds of message and "
        "mixed languages may score lower."
    )

    def introduction(self, manifest: ClassificationManifest, recipe: ClassificationRecipe) -> str:
        return (
            f"Text classification, labels {', '.join(f'`{label}`' for label in manifest.labels)}; "
            f"{origin(manifest)}; {lora_of(manifest, recipe)}"
        )

    def promises(self, manifest: ClassificationManifest) -> str:
        return _decisions(manifest)

    def verdict(self, metrics: dict[str, Any]) -> str:
        for gain, title in (
            ("gain_from_transfer", "gain from transfer over the best without it"),
            ("gain_over_baselines", "gain over the best baseline"),
        ):
            if found := metrics.get(gain):
                over = NAMES[found.get("over", "target_only")]
                return f"{found['verdict']}: {title}, {over} (paired, macro-F1), {show(found)}"
        return ""

    def shared(self, manifest: ClassificationManifest, recipe: ClassificationRecipe) -> str:
        if not recipe.data.share_vectors:
            return "\nNo vectors of its rows are shared: the recipe forbids it."
        if LAYOUT.vectors not in manifest.files:
            return ""
        return (
            f"\n`{LAYOUT.vectors}` holds vectors of training rows with their labels, at most "
            f"{MAX_ROWS:,}, from which other adapters can learn. It holds no text; what a text was "
            "about can be guessed from its vector."
        )

    def figures(self, metrics: dict[str, Any]) -> str:
        return "\n".join(
            [
                *_ladder(metrics),
                *_details(metrics),
                *_calibration(metrics.get("calibration")),
                *_precision_recall(metrics),
                *_forgotten(metrics.get("forgetting", {})),
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
    warnings = small_test(metrics["rows"], f"The {metrics['split']} split")
    return lines + [f"\n**{warning}.**" for warning in warnings]


def _details(metrics: dict[str, Any]) -> list[str]:
    """What is told of the adapter beside the ladder."""
    lines = [f"\nAgainst tuned TF-IDF (paired, macro-F1): {show(metrics['over_tfidf'])}."]
    lines += _against_neural(metrics.get("over_neural"))
    if recall := metrics.get("recall"):
        shares = ", ".join(f"{label} {share}" for label, share in recall.items())
        lines.append(f"\nRight answers for rows of each label, percent: {shares}.")
        hardly = [label for label, share in recall.items() if share <= HARDLY_FOUND]
        if hardly:
            lines.append(
                f"\n**Hardly ever found: {', '.join(hardly)}.** More training rows of such a label "
                "help most (`polygraft suggest` picks them)."
            )
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


def _against_neural(over: dict[str, float] | None) -> list[str]:
    """Where the adapter's neural part alone has the better figure."""
    if over is None or over["value"] >= 0:
        return []
    remedy = "`lexical: none` in the recipe leaves the lexical part out"
    if over["high"] < 0:
        return [
            f"\n**Worse than its neural part alone** (paired, macro-F1): {show(over)}; {remedy}."
        ]
    return [
        "\nLower than its neural part alone, which may be chance (paired, macro-F1): "
        f"{show(over)}; {remedy}."
    ]


def _calibration(calibration: dict[str, Any] | None) -> list[str]:
    if not calibration:
        return []
    before, after = (100 * calibration[name]["error"] for name in ("before", "after"))
    lines = [
        f"\nExpected calibration error of the scores: {after:.1f}%; of its neural part as it "
        f"was trained {before:.1f}%."
    ]
    if after - before >= WORSE_CALIBRATED:
        lines.append(
            "\n**Joining the parts made the scores worse**: take thresholds from `decide`, which "
            "finds them on rows held out, or leave the lexical part out with `lexical: none`."
        )
    return lines


def _precision_recall(metrics: dict[str, Any]) -> list[str]:
    """A table a label: what each threshold on its score gives; none of a split that is too small
    to tell."""
    if small_test(metrics["rows"]):
        return []
    lines = []
    for label, table in metrics.get("precision_recall", {}).items():
        head = ["score of at least", "precision", "recall", "rows decided"]
        rows = [
            [
                f"{row['threshold']:g}",
                *(percent(row[of]) for of in ("precision", "recall", "decided")),
            ]
            for row in table
        ]
        lines.append(f"\n`{label}` by its score, {metrics['split']} split, percent:\n")
        lines.append(markdown_table(head, rows))
    return lines


def _decisions(manifest: ClassificationManifest) -> str:
    """A table of the manifest's decisions, and what is wrong with those without a threshold."""
    if not manifest.decide:
        return ""
    split, rows, problems = manifest.metrics.get("split", "test"), [], []
    for name, decision in manifest.decide.items():
        ((of, share),) = decision.target.items()
        wanted = f"`{decision.label}`, {of} {share:g}"
        if decision.threshold is None:
            problems.append(f"\n**`{name}` ({wanted}) has no threshold**: {decision.why}.")
            continue
        tested = manifest.metrics.get("decisions", {}).get(name, {})
        rows.append(
            [
                f"`{name}`",
                wanted,
                f"{decision.threshold:g}",
                *(
                    bounded(estimate.model_dump())
                    for estimate in (decision.precision, decision.recall)
                    if estimate
                ),
                f"{decision.rows} ({decision.positives})",
                *(bounded(tested.get(key)) for key in ("precision", "recall")),
            ]
        )
    lines = ["\n## Decisions\n"]
    if rows:
        lines.append(
            "The first whose threshold the label's score reaches. Percent; in brackets bounds "
            "that hold with 95% confidence each, near-equal rows counted once. Thresholds were "
            f"found on rows held out from training; the {split} split had no part in it.\n"
        )
        head = [
            "decision",
            "wanted",
            "threshold",
            "precision, held out",
            "recall, held out",
            "rows (of the label)",
            f"precision, {split}",
            f"recall, {split}",
        ]
        lines.append(markdown_table(head, rows))
    return "\n".join(lines + problems)


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
