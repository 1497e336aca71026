"""The results table of a library, from the figures in its manifests. Markdown; runs without the training libraries."""

from __future__ import annotations

from polygraft.adapter import LAYOUT, Manifest, load_manifest
from polygraft.library import Library

RUNGS = ("majority", "tfidf", "zero_shot", "target_only", "adapter")
HEAD = """# Adapters

One folder an adapter: `recipe.yaml` (how it was made), `manifest.json` (figures, golden, hashes), `README.md` (the card),
PEFT's two files and the head. Written by `polygraft report`; do not edit.

Macro-F1 in percent with 95% bootstrap intervals over the rows of the named split, mean over the seeds. TF-IDF is word and
character TF-IDF into logistic regression on the same training rows; zero-shot is the parent as it is; "target only" is the same
recipe without the parent.

"""
COLUMNS = "adapter|languages|split (rows)|majority|TF-IDF|zero-shot|target only|**adapter**|against TF-IDF|gain from transfer"


def show(figure: dict[str, float] | None) -> str:
    """`value [low, high]`, or a dash."""
    return "–" if not figure else f"{figure['value']:.1f} [{figure['low']:.1f}, {figure['high']:.1f}]"


def results_table(library: Library) -> str:
    """One row an adapter, by name."""
    manifests = [load_manifest(library.folder(name)) for name in library.names()]
    rows = [_row(m) for m in manifests]
    positive = [_positive_row(m) for m in manifests]
    columns = COLUMNS.split("|")
    head = "| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|"
    lines = [HEAD + head, *rows, "\nF1 of the `spam` label:\n", "| adapter | TF-IDF | **adapter** |", "|---|---|---|"]
    return "\n".join([*lines, *(p for p in positive if p)]) + "\n"


def _row(manifest: Manifest) -> str:
    metrics, ladder = manifest.metrics, manifest.metrics["ladder"]
    figures = [show(ladder.get(rung, {}).get("macro_f1")) for rung in RUNGS]
    gain = metrics.get("gain_from_transfer")
    cells = [
        f"[{manifest.name}]({manifest.name}/{LAYOUT.card})",
        ", ".join(manifest.languages),
        f"{metrics['split']} ({metrics['rows']})",
        *figures,
        show(metrics["over_tfidf"]),
        f"{show(gain)}: {gain['verdict']}" if gain else "–",
    ]
    return "| " + " | ".join(cells) + " |"


def _positive_row(manifest: Manifest) -> str:
    ladder = manifest.metrics["ladder"]
    if "spam_f1" not in ladder["adapter"]:
        return ""
    return f"| {manifest.name} | {show(ladder['tfidf']['spam_f1'])} | {show(ladder['adapter']['spam_f1'])} |"
