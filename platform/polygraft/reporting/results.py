"""The results table of a library, from the figures in its manifests. Markdown; runs without the training libraries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from polygraft.adapters.format import LAYOUT, Manifest, load_manifest
from polygraft.adapters.library import Library

NAMES = {
    "majority": "majority label", "tfidf": "TF-IDF", "head": "linear head, frozen", "tfidf_zero_shot": "TF-IDF, parent's rows",
    "zero_shot": "parent, zero-shot", "target_only": "LoRA without parent",
    "zero_shot_stack": "parent, zero-shot, language exchanged", "exchanged": "language exchanged", "copy": "source copied",
    "from_scratch": "from scratch", "bare": "bare backbone", "no_parent": "without parent", "adapter": "adapter",
}  # fmt: skip
RUNGS = ("majority", "tfidf", "zero_shot", "target_only", "adapter")
WRITTEN_RUNGS = ("copy", "from_scratch", "bare", "no_parent", "adapter")
HEAD = """# Adapters

One folder an adapter: `recipe.yaml` (how it was made), `manifest.json` (figures, golden, hashes), `README.md` (the card),
PEFT's two files and the head. Written by `polygraft report`; do not edit.

Macro-F1 in percent with 95% bootstrap intervals over the rows of the named split, mean over the seeds. TF-IDF is word and
character TF-IDF into logistic regression on the same training rows; zero-shot is the parent as it is; "target only" is the same
recipe without the parent.

"""
COLUMNS = "adapter|languages|split (rows)|majority|TF-IDF|zero-shot|target only|**adapter**|against TF-IDF|gain from transfer"
WRITTEN_HEAD = """
Translation: chrF++, greedy, with 95% bootstrap intervals over the sentences. From scratch is a model of the backbone's size
from random weights on the same pairs and steps; "no parent" is the same recipe without it.

"""
WRITTEN_COLUMNS = "adapter|direction|split (rows)|copy|from scratch|bare backbone|no parent|**adapter**|gain from parent"

LANGUAGE_HEAD = """
Language adapters, which lie under others: loss a piece, in nats, of what the backbone's frozen decoder writes of dev texts
whose spans were cut, its own objective. Lower is better; trained on masked tokens, a rise is what it forgot.

"""
LANGUAGE_COLUMNS = "adapter|languages|rows read|objective|bare|**adapter**"


def show(figure: dict[str, float] | None) -> str:
    """`value [low, high]`, or a dash."""
    return "–" if not figure else f"{figure['value']:.1f} [{figure['low']:.1f}, {figure['high']:.1f}]"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Without a line break at its end."""
    return "\n".join([_line(head), "|---" * len(head) + "|", *map(_line, rows)])


def results_table(library: Library) -> str:
    """One row an adapter, by name; of those that translate, one a direction and split."""
    manifests = [load_manifest(library.folder(name)) for name in library.names()]
    reading = [m for m in manifests if m.task == "classification"]
    lines = [HEAD + _head(COLUMNS), *(_row(m) for m in reading)]
    if positive := [line for m in reading if (line := _positive_row(m))]:
        lines += ["\nF1 of the `spam` label:\n", _head("adapter|TF-IDF|**adapter**"), *positive]
    if written := [line for m in manifests if m.directions for line in _written_rows(m)]:
        lines += [WRITTEN_HEAD + _head(WRITTEN_COLUMNS), *written]
    if languages := [_language_row(m) for m in manifests if m.task == "language"]:
        lines += [LANGUAGE_HEAD + _head(LANGUAGE_COLUMNS), *languages]
    return "\n".join(lines) + "\n"


def directions(metrics: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Split, direction in words and figures of each that a translation adapter was scored on."""
    for split, scored in metrics.get("directions", {}).items():
        for direction, found in scored.items():
            yield split, direction.replace("-", " to "), found


def _head(columns: str) -> str:
    return markdown_table(columns.split("|"), [])


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _link(manifest: Manifest) -> str:
    return f"[{manifest.name}]({manifest.name}/{LAYOUT.card})"


def _judged(gain: dict[str, Any] | None) -> str:
    return f"{show(gain)}: {gain['verdict']}" if gain else "–"


def _row(manifest: Manifest) -> str:
    metrics, ladder = manifest.metrics, manifest.metrics.get("ladder", {})
    where = f"{metrics['split']} ({metrics['rows']})" if ladder else "–"
    figures = [show(ladder.get(rung, {}).get("macro_f1")) for rung in RUNGS]
    return _line(
        [
            _link(manifest), ", ".join(manifest.languages), where, *figures,
            show(metrics.get("over_tfidf")), _judged(metrics.get("gain_from_transfer")),
        ]
    )  # fmt: skip


def _language_row(manifest: Manifest) -> str:
    metrics, rows = manifest.metrics, sum(source["rows"] for source in manifest.data)
    losses = metrics.get("denoising", {})
    figures = [f"{losses[name]:.3f}" if losses else "–" for name in ("bare", "adapter")]
    return _line([_link(manifest), ", ".join(manifest.languages), str(rows), metrics["objective"], *figures])


def _positive_row(manifest: Manifest) -> str:
    ladder = manifest.metrics.get("ladder", {})
    if "spam_f1" not in ladder.get("adapter", {}):
        return ""
    return _line([manifest.name, show(ladder["tfidf"]["spam_f1"]), show(ladder["adapter"]["spam_f1"])])


def _written_rows(manifest: Manifest) -> list[str]:
    lines = []
    for split, direction, found in directions(manifest.metrics):
        figures = [show(found["rungs"].get(rung, {}).get("chrf++")) for rung in WRITTEN_RUNGS]
        where = [direction, f"{split} ({found['rows']})"]
        lines.append(_line([_link(manifest), *where, *figures, _judged(found.get("gain_from_parent"))]))
    return lines
