"""The figures of `measure` as one self-contained HTML page: bars for languages, the learning curve,
tables, examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from polygraft.reporting.plots import bars, document, lines, table, text, translations

MISSING = "–"


def page(figures: dict[str, Any], other: dict[str, Any] | None = None) -> str:
    """HTML of one backbone's figures; those of `other`, another backbone, are drawn next to
    them."""
    title = figures["backbone"]
    parts = [f"<h1>{text(title)} <small>{figures['fingerprint']}</small></h1>"]
    parts += _languages(figures, other)
    if translation := figures.get("translation"):
        parts += _translation(translation)
    parts += _tokens_a_word(figures["tokens_a_word"])
    if seen := figures.get("text"):
        parts += _text(seen)
    if ablations := figures.get("ablations"):
        parts += _ablations(ablations)
    if curves := figures.get("learning_curves"):
        parts += _learning_curves(curves)
    return document(title, parts)


def _languages(figures: dict[str, Any], other: dict[str, Any] | None) -> list[str]:
    """SIB-200 and retrieval by language, of both backbones."""
    backbones = [figures] if other is None else [other, figures]
    topics, retrieval = dict[str, dict[str, float]](), dict[str, dict[str, float]]()
    for backbone in backbones:
        name = f"{backbone['backbone']} {backbone['fingerprint'][:6]}"
        scores = backbone["sib200"]["scores"]
        topics[name] = {language: score["folds"] for language, score in scores.items()}
        retrieval[name] = {
            language: score["to_english"] for language, score in backbone["retrieval"].items()
        }
    mean = figures["sib200"]["low_resource_mean"]
    return [
        "<h2>SIB-200, trained on English vectors, macro-F1</h2>"
        f"<p>Mean over low-resource languages, 5-fold: {mean['folds']}; each language's mean "
        "vector taken from its vectors: "
        f"{mean['centred']}</p>",
        bars(topics),
        "<h2>Retrieval accuracy into English, percent</h2>",
        bars(retrieval),
    ]


def _translation(directions: dict[str, Any]) -> list[str]:
    """Scores of every direction, and examples."""
    systems = [
        system
        for system in ("backbone", "copy", "alone")
        if any(system in scores for scores in directions.values())
    ]
    chrf = {
        system: {
            direction: scores[system]["chrf++"]
            for direction, scores in directions.items()
            if system in scores
        }
        for system in systems
    }
    rows = [
        [
            direction,
            *(
                scores.get(system, {}).get(metric, MISSING)
                for metric in ("chrf++", "bleu")
                for system in systems
            ),
        ]
        for direction, scores in directions.items()
    ]
    head = ["pair", *(f"{metric}, {system}" for metric in ("chrF++", "BLEU") for system in systems)]
    parts = [
        "<h2>Translation, dev, chrF++</h2>",
        bars(chrf),
        table(head, rows),
        "<p>copy: the source as it is. alone: a model of this size, from random weights, on "
        "that pair only.</p>",
        "<h3>Examples, good and bad</h3>",
    ]
    for direction, scores in directions.items():
        parts.append(f"<p>{direction}</p>" + translations(scores["examples"]))
    return parts


def _tokens_a_word(languages: dict[str, dict[str, float]]) -> list[str]:
    columns = ("encoder", "decoder", "unknown_percent")
    rows = [
        [language, *(counts.get(column, MISSING) for column in columns)]
        for language, counts in languages.items()
    ]
    return [
        "<h2>Tokens a word</h2>" + table(["language", "encoder", "decoder", "unknown, %"], rows)
    ]


def _text(languages: dict[str, dict[str, int]]) -> list[str]:
    rows = [
        [language, counts["sentences"], counts["pairs"], counts["tokens"]]
        for language, counts in languages.items()
    ]
    head = ["language", "sentences", "pairs", "encoder tokens"]
    return ["<h2>Text it may see</h2>" + table(head, rows)]


def _ablations(ablations: dict[str, Any]) -> list[str]:
    results = ablations["results"]
    measures = list(dict.fromkeys(name for scores in results.values() for name in scores))
    rows = [
        [variant, *(scores.get(name, MISSING) for name in measures)]
        for variant, scores in results.items()
    ]
    return [
        f"<h2>What each objective buys, {ablations['steps']} steps each</h2>"
        + table(["", *measures], rows)
    ]


def _learning_curves(curves: dict[str, list[dict[str, float]]]) -> list[str]:
    """How long each phase was, and its losses."""
    rows = []
    for phase, log in curves.items():
        last = log[-1]
        million_tokens, hours = last["tokens"] / 1e6, last["seconds"] / 3600
        rows.append([phase, last["step"], f"{million_tokens:.1f}", f"{hours:.2f}"])
    head = ["phase", "steps", "million tokens", "hours"]
    return [
        "<h2>Training</h2>" + table(head, rows),
        *(f"<h2>Learning curve, {text(phase)}</h2>" + _curve(log) for phase, log in curves.items()),
    ]


def _curve(log: Sequence[dict[str, float]]) -> str:
    names = ("translate", "denoise", "masked", "distil", "contrast")
    series = dict[str, list[tuple[float, float]]]()
    for name in names:
        points = [(record["tokens"] / 1e6, record[name]) for record in log if name in record]
        if points:
            series[name] = points
    return lines(series, "million tokens of this run", "loss")
