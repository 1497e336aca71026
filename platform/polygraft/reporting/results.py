"""The results table of a library, from the figures in its manifests. Markdown; runs without the
training libraries."""

from __future__ import annotations

from collections.abc import Sequence

from polygraft.adapters.format import LAYOUT, Manifest, load_manifest
from polygraft.adapters.library import Library
from polygraft.tasks import registry

HEAD = """# Adapters

One folder an adapter: `recipe.yaml` (how it was made), `manifest.json` (figures, golden, hashes),
`README.md` (the card), PEFT's two files and the head. Written by `polygraft report`; do not edit.

Macro-F1 in percent with 95% bootstrap intervals over the rows of the named split, mean over the
seeds. TF-IDF is word and character TF-IDF into logistic regression on the same training rows;
zero-shot is the parent as it is; "target only" is the same recipe without the parent.

"""


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
