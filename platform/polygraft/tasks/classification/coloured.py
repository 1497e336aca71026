"""Explanations in the HTML report: held-out rows with their spans coloured, and the strongest words
and n-grams of each label.

Blue is towards the label, orange against it (two colours of Okabe and Ito, which people tell apart
however they see colour), the more the stronger; strong spans are underlined too, with a line or
with dots, and stand as text below with their figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polygraft.adapters.format import load_adapter
from polygraft.data.splits import Split
from polygraft.reporting.plots import table, text
from polygraft.runtime.engine import Engine
from polygraft.runtime.rows import Row
from polygraft.tasks.classification.manifest import ClassificationManifest
from polygraft.tasks.classification.serving import Classified
from polygraft.tasks.classification.strongest import strongest

RIGHT, WRONG = 6, 2  # rows shown
CHARACTERS = 600  # of a row's text that are shown
NAMED = 4  # spans told as text, each way
STRONG = 0.25  # of the strongest span of the row
TOWARDS, AGAINST = "0,114,178", "230,159,0"


def explained(
    engine: Engine,
    manifest: ClassificationManifest,
    folder: Path,
    splits: Sequence[Split | None],
    answers: Mapping[int, str],
) -> dict[str, Any]:
    """What the report says of why, ready for JSON. `splits`: the training and the held-out rows,
    where they are on hand; `answers` to the latter, by place."""
    held_out = splits[-1]
    shown: dict[str, Any] = {"examples": _examples(engine, manifest, held_out, answers)}
    adapter = load_adapter(folder, backbone=engine.card.backbone)
    if lexical := adapter.head.own.lexical:
        texts = [one for split in splits if split is not None for one in split.texts]
        shown["strongest"] = strongest(lexical, manifest.labels, texts)
    return shown


def sections(shown: Mapping[str, Any]) -> list[str]:
    """HTML of what `explained` gave."""
    parts = []
    if examples := shown.get("examples"):
        parts += [
            "<h3>Why</h3>",
            "<p>What each span pushed towards the answer "
            f'(<span style="{_style(1, 1)}">blue, underlined</span>) or against it (<span '
            f'style="{_style(-1, 1)}">orange, dotted</span>); '
            "point at one for its figures.</p>",
            *map(_example, examples),
        ]
    if found := shown.get("strongest"):
        of = f" of {found['texts']:,}" if found["read"] < found["texts"] else ""
        parts += [
            "<h3>Strongest words and n-grams of each label</h3>",
            f"<p>Of those in at least two of {found['read']:,}{of} training and held-out texts "
            "(an adapter keeps numbers of features, not the features). &#9251; is a space.</p>",
            table(
                ["label", "words and pairs", "n-grams"],
                [
                    [label, *(_named(best[kind]) for kind in ("words", "ngrams"))]
                    for label, best in found["labels"].items()
                ],
            ),
        ]
    return parts


def _examples(
    engine: Engine,
    manifest: ClassificationManifest,
    held_out: Split | None,
    answers: Mapping[int, str],
) -> list[dict[str, Any]]:
    """Some rows of each label that were answered right, and some that were not, explained; short
    ones where there are any."""
    if held_out is None:
        return []
    by_length = sorted(answers, key=lambda i: len(held_out.texts[i]) > CHARACTERS)
    right = [i for i in by_length if answers[i] == held_out.labels[i]]
    by_label = [[i for i in right if answers[i] == label] for label in manifest.labels]
    each = max(1, RIGHT // len(by_label))
    wrong = [i for i in by_length if answers[i] != held_out.labels[i]]
    rows = [*[i for places in by_label for i in places[:each]][:RIGHT], *wrong[:WRONG]]
    explained = engine.answer(
        [Row(manifest.name, held_out.texts[i], truncate=True, explain=True) for i in rows]
    )
    return [
        {
            "text": held_out.texts[i][:CHARACTERS],
            "cut": len(held_out.texts[i]) > CHARACTERS,
            "label": held_out.labels[i],
            "answer": answer.explanation.record(),
        }
        for i, answer in zip(rows, explained, strict=True)
        if isinstance(answer, Classified) and answer.explanation
    ]


def _example(example: Mapping[str, Any]) -> str:
    """A paragraph with the text, its spans coloured, and one with the strongest of them as text."""
    answer, whole = example["answer"], example["text"]
    spans = [span for span in answer["spans"] if span["end"] <= len(whole)]
    largest = max((abs(_push(span)) for span in spans), default=0.0) or 1.0
    parts, end = [], 0
    for span in spans:
        parts.append(text(whole[end : span["start"]]))
        end = span["end"]
        parts.append(
            f'<span style="{_style(_push(span) / largest, STRONG)}" title="{_figures(span)}">'
            f"{text(whole[span['start'] : end])}</span>"
        )
    parts.append(text(whole[end:]) + ("…" if example["cut"] else ""))
    right = example["label"] == answer["label"]
    verdict = "" if right else f" (wrong: it is {text(example['label'])})"
    return (
        f"<p><b>{text(answer['label'])}</b>{verdict}: {''.join(parts)}<br>"
        f"<small>{text(_strong_spans(spans, largest))}</small></p>"
    )


def _strong_spans(spans: Sequence[Mapping[str, Any]], largest: float) -> str:
    ranked = sorted(spans, key=_push)
    told = []
    for name, sign, ordered in (("towards", 1, ranked[::-1]), ("against", -1, ranked)):
        strong = [span for span in ordered if sign * _push(span) >= STRONG * largest][:NAMED]
        if strong:
            listed = ", ".join(f"{span['text']} {_push(span):+.2f}" for span in strong)
            told.append(f"{name}: {listed}")
    return "; ".join(told)


def _push(span: Mapping[str, Any]) -> float:
    return float(span.get("lexical", 0.0) + span.get("neural", 0.0))


def _figures(span: Mapping[str, Any]) -> str:
    return ", ".join(f"{part} {span[part]:+.3f}" for part in ("lexical", "neural") if part in span)


def _style(strength: float, line_from: float) -> str:
    """Of a span, `strength` -1 (against) to 1 (towards)."""
    colour = TOWARDS if strength > 0 else AGAINST
    style = f"background:rgba({colour},{0.6 * abs(strength):.2f})"
    if abs(strength) >= line_from:
        style += f";border-bottom:2px {'solid' if strength > 0 else 'dotted'} rgb({colour})"
    return style


def _named(best: Sequence[tuple[str, float]]) -> str:
    return ", ".join(f"{name} {push:+.2f}" for name, push in best) or "none"
