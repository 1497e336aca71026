"""The results table of a library, from the figures in its manifests. Markdown; runs without the
training libraries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from polygraft.adapters.format import LAYOUT, Manifest, load_manifest
from polygraft.adapters.library import Library
from polygraft.tasks import registry

NAMES = {
    "majority": "majority label",
    "tfidf": "TF-IDF",
    "tuned_tfidf": "TF-IDF, tuned",
    "head": "linear head, frozen",
    "lexical": "lexical part",
    "neural": "neural part",
    "tfidf_zero_shot": "TF-IDF, parent's rows",
    "zero_shot": "parent, zero-shot",
    "target_only": "LoRA without parent",
    "zero_shot_stack": "parent, zero-shot, language exchanged",
    "exchanged": "language exchanged",
    "copy": "source copied",
    "from_scratch": "from scratch",
    "bare": "bare backbone",
    "no_parent": "without parent",
    "adapter": "adapter",
}
HEAD = """# Adapters

One folder an adapter: `recipe.yaml` (how it was made), `manifest.json` (figures, golden, hashes),
`README.md` (the card), PEFT's two files and the head. Written by `polygraft report`; do not edit.

Macro-F1 in percent with 95% bootstrap intervals over the rows of the named split, mean over the
seeds. TF-IDF is word and character TF-IDF into logistic regression on the same training rows;
zero-shot is the parent as it is; "target only" is the same recipe without the parent.

"""


def show(figure: dict[str, float] | None) -> str:
    """`value [low, high]`, or a dash."""
    if not figure:
        return "–"
    return f"{figure['value']:.1f} [{figure['low']:.1f}, {figure['high']:.1f}]"


def percent(share: float | None) -> str:
    """A share of 0 to 1 in percent, or a dash."""
    return "–" if share is None else f"{100 * share:.1f}"


def bounded(estimate: dict[str, float] | None) -> str:
    """`show` for an estimate in shares of 0 to 1."""
    return show({name: 100 * share for name, share in estimate.items()} if estimate else None)


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, without a line break at its end."""
    return "\n".join([table_line(head), "|---" * len(head) + "|", *map(table_line, rows)])


def results_table(library: Library) -> str:
    """One row an adapter, by name; of those that translate, one a direction and split."""
    manifests = [load_manifest(library.folder(name)) for name in library.names()]
    lines = [HEAD.rstrip("\n") + "\n"]
    for task in registry.TASKS:
        if of_task := [m for m in manifests if m.task == task]:
            lines += registry.results(task).table(of_task)
    return "\n".join(lines) + "\n"


def table_head(columns: str) -> str:
    """The first two lines of a table; `columns` are separated by `|`."""
    return markdown_table(columns.split("|"), [])


def table_line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def linked(manifest: Manifest) -> str:
    """An adapter's name as a link to its card."""
    return f"[{manifest.name}]({manifest.name}/{LAYOUT.card})"


def judged(gain: dict[str, Any] | None) -> str:
    """A gain with its verdict, or a dash."""
    return f"{show(gain)}: {gain['verdict']}" if gain else "–"
