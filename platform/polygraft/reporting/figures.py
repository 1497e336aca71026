"""Figures with their intervals as people read them, and the names of the baselines. Plain text;
serving imports it."""

from __future__ import annotations

from typing import Any

NAMES = {
    "majority": "majority label",
    "tfidf": "TF-IDF",
    "tuned_tfidf": "TF-IDF, tuned",
    "head": "linear head, frozen",
    "lexical": "lexical part",
    "neural": "neural part",
    "hybrid_alone": "head and lexical part, own rows",
    "tfidf_zero_shot": "TF-IDF, parent's rows",
    "zero_shot": "parent, zero-shot",
    "target_only": "LoRA without parent",
    "zero_shot_stack": "parent, zero-shot, language exchanged",
    "exchanged": "language exchanged",
    "frequent": "commonest tag",
    "crf": "CRF, hand features",
    "copy": "source copied",
    "from_scratch": "from scratch",
    "bare": "bare backbone",
    "no_parent": "without parent",
    "adapter": "adapter",
}


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


def judged(gain: dict[str, Any] | None) -> str:
    """A gain with its verdict, or a dash."""
    return f"{show(gain)}: {gain['verdict']}" if gain else "–"
