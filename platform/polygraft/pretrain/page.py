"""The figures of `measure` as one self-contained HTML page: bars for languages, the learning curve,
tables, examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from polygraft.reporting.plots import bars, document, lines, table, text


def page(found: dict[str, Any], beside: dict[str, Any] | None = None) -> str:
    """HTML of one backbone's figures; `beside` are another's, drawn next to them."""
    parts = [f"<h1>{text(found['backbone'])} <small>{found['fingerprint']}</small></h1>"]
    mean = found["sib200"]["low_resource_mean"]
    parts.append(
        "<h2>SIB-200, trained on English vectors, macro-F1</h2>"
        f"<p>Mean over low-resource languages, 5-fold: {mean['folds']}; each language's mean "
        "vector taken from its vectors: "
        f"{mean['centred']}</p>"
    )
    parts.append(
        bars(
            {
                n: {k: v["folds"] for k, v in f["sib200"]["scores"].items()}
                for n, f in _named(found, beside)
            }
        )
    )
    parts.append("<h2>Retrieval accuracy into English, percent</h2>")
    parts.append(
        bars(
            {
                n: {k: v["to_english"] for k, v in f["retrieval"].items()}
                for n, f in _named(found, beside)
            }
        )
    )
    if translation := found.get("translation"):
        parts.append("<h2>Translation, dev, chrF++</h2>")
        whose = [
            w for w in ("backbone", "copy", "alone") if any(w in v for v in translation.values())
        ]
        parts.append(
            bars({w: {k: v[w]["chrf++"] for k, v in translation.items() if w in v} for w in whose})
        )
        rows = [
            [k, *(v.get(w, {}).get(metric, "–") for metric in ("chrf++", "bleu") for w in whose)]
            for k, v in translation.items()
        ]
        parts.append(
            table(
                ["pair", *(f"{metric}, {w}" for metric in ("chrF++", "BLEU") for w in whose)], rows
            )
        )
        parts.append(
            "<p>copy: the source as it is. alone: a model of this size, from random weights, on "
            "that pair only.</p>"
        )
        parts.append("<h3>Examples, good and bad</h3>")
        for pair, v in translation.items():
            items = "".join(
                f"<li>{text(e['source'])}<br><b>{text(e['written'])}</b><br><span "
                f"class=bad>{text(e['reference'])}</span></li>"
                for e in v["examples"]
            )
            parts.append(f"<p>{pair}</p><ul>{items}</ul>")
    columns = ["encoder", "decoder", "unknown_percent"]
    rows = [[k, *(v.get(c, "–") for c in columns)] for k, v in found["tokens_a_word"].items()]
    parts.append(
        "<h2>Tokens a word</h2>" + table(["language", "encoder", "decoder", "unknown, %"], rows)
    )
    if seen := found.get("text"):
        rows = [[k, v["sentences"], v["pairs"], v["tokens"]] for k, v in seen.items()]
        parts.append(
            "<h2>Text it may see</h2>"
            + table(["language", "sentences", "pairs", "encoder tokens"], rows)
        )
    if ablations := found.get("ablations"):
        measured = list(
            dict.fromkeys(name for scores in ablations["results"].values() for name in scores)
        )
        rows = [
            [variant, *(scores.get(name, "–") for name in measured)]
            for variant, scores in ablations["results"].items()
        ]
        parts.append(
            f"<h2>What each objective buys, {ablations['steps']} steps each</h2>"
            + table(["", *measured], rows)
        )
    if curves := found.get("learning_curves"):
        ends = {phase: curve[-1] for phase, curve in curves.items()}
        rows = [
            [k, e["step"], f"{e['tokens'] / 1e6:.1f}", f"{e['seconds'] / 3600:.2f}"]
            for k, e in ends.items()
        ]
        parts.append(
            "<h2>Training</h2>" + table(["phase", "steps", "million tokens", "hours"], rows)
        )
    for phase, curve in found.get("learning_curves", {}).items():
        parts.append(f"<h2>Learning curve, {text(phase)}</h2>" + _curve(curve))
    return document(found["backbone"], parts)


def _named(
    found: dict[str, Any], beside: dict[str, Any] | None
) -> list[tuple[str, dict[str, Any]]]:
    both = [found] if beside is None else [beside, found]
    return [(f"{f['backbone']} {f['fingerprint'][:6]}", f) for f in both]


def _curve(log: Sequence[dict[str, float]]) -> str:
    names = ("translate", "denoise", "masked", "distil", "contrast")
    series = {
        name: [(record["tokens"] / 1e6, record[name]) for record in log if name in record]
        for name in names
    }
    return lines({k: v for k, v in series.items() if v}, "million tokens of this run", "loss")
