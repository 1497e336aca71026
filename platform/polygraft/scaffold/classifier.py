"""A recipe for a table of texts with labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from polygraft.data.labels import suspicious
from polygraft.data.leaks import leaked_texts, normalised
from polygraft.data.parsed import cell
from polygraft.data.shortcuts import given_away
from polygraft.data.small_tests import small_test
from polygraft.scaffold.columns import Column, text_column
from polygraft.scaffold.guess import Guess
from polygraft.scaffold.language import UNKNOWN, codes_of, languages_of, languages_problem
from polygraft.scaffold.rows import Rows
from polygraft.scaffold.start import HELD_OUT, Start
from polygraft.scaffold.writing import Line, in_data

POSITIVE = {
    *("spam", "scam", "toxic", "hate", "abusive", "fraud", "phishing", "positive"),
    *("yes", "true", "1"),
}


def write_classifier(
    start: Start, tables: Mapping[str, Rows], columns: Sequence[Column], label: str
) -> list[str]:
    """Write recipe and splits; `label` is the column of the labels. What may be a mistake in the
    data is returned, a sentence each. Raises `DataError` or `RecipeError`."""
    text = start.decide(text_column(columns, label))
    rows, doubts = start.whole(tables, [text, label])
    doubts += _shortcuts(rows["train"], text, label)
    texts, labels = ([cell(row[column]) for row in rows["train"]] for column in (text, label))
    recognised = languages_of(texts, start.library, start.backbone)
    languages = start.decide(replace(recognised, problem=languages_problem))
    positive = _decide_positive(start, labels)
    licence = start.decide_licence()
    rows = start.cut(rows, [text], labels)
    leaks = _leaks(rows, text)
    lines = [
        Line("name", start.name),
        Line("languages", codes_of(languages), _how_sure(languages, recognised)),
        *in_data(
            [
                *start.files(rows),
                Line("text", text, "the column of the texts"),
                Line("label", label, "the column of the labels"),
                Line("licence", licence, "of the data; it stands on the card"),
                *(
                    [Line("on_leak", "drop", f"train has {leaks} that are held out")]
                    if leaks
                    else []
                ),
            ]
        ),
        *([Line("positive", positive, "the label that is looked for")] if positive else []),
        Line("strategy", "head", "seconds; `polygraft advise` says what else may suit"),
        Line("lora", {"sites": ["value"], "r": 16, "alpha": 32}, "the quickest to serve"),
    ]
    start.publish(rows, [text, label], lines)
    of_splits = {name: [cell(row[label]) for row in some] for name, some in rows.items()}
    doubts += _contradictions(texts, labels)
    doubts += suspicious(of_splits.pop("train"), of_splits)
    return doubts + small_test(len(rows["test"]))


def _how_sure(languages: str, recognised: Guess) -> str:
    """The comment on a recipe's languages; none where the user gave others than were guessed."""
    if languages != recognised.value:
        return ""
    if languages == UNKNOWN:
        return "not recognised; write the code if there is one"
    return "recognised; correct it if it is another"


def _decide_positive(start: Start, labels: Sequence[str]) -> str:
    """The label that is looked for; none is empty."""
    names = sorted(set(labels))
    known = [label for label in names if label.lower() in POSITIVE]

    def problem(label: str) -> str | None:
        if not label or label in names:
            return None
        return f"no row has the label {label!r}; they have {', '.join(names)}"

    if len(names) == 2 and len(known) == 1:
        why = "of the two labels the one that is looked for"
        return start.decide(Guess("positive", known[0], why, problem))
    why = "of the labels none is known to be the one that is looked for"
    return start.decide(Guess("positive", "", why, problem))


def _leaks(rows: Mapping[str, Rows], text: str) -> str:
    """How many rows of train stand in dev or test too, in words; nothing for none."""
    held_out = [cell(row[text]) for name in HELD_OUT for row in rows[name]]
    leaks = leaked_texts([cell(row[text]) for row in rows["train"]], held_out)
    return "" if not leaks else "a row" if len(leaks) == 1 else f"{len(leaks):,} rows"


def _contradictions(texts: Sequence[str], labels: Sequence[str]) -> list[str]:
    """What to say of texts that stand there with two labels."""
    labels_of = dict[str, set[str]]()
    for text, label in zip(texts, labels, strict=True):
        labels_of.setdefault(normalised(text), set()).add(label)
    both = {text: found for text, found in labels_of.items() if len(found) > 1}
    if not both:
        return []
    text, found = next(iter(both.items()))
    count = "1 text stands" if len(both) == 1 else f"{len(both):,} texts stand"
    return [
        f"the table: {count} there with more than one label, such as {text[:60]!r} with "
        f"{' and '.join(sorted(found))}; all of these rows are kept, and no model can be right "
        "about all: correct them, or leave them out"
    ]


def _shortcuts(rows: Rows, text: str, label: str) -> list[str]:
    """What to say of columns that give the label away, and which the recipe does not name."""
    fields = {
        name: [cell(row[name]) for row in rows]
        for name in (rows[0] if rows else {})
        if name not in (text, label)
    }
    texts, labels = ([cell(row[name]) for row in rows] for name in (text, label))
    scores = given_away(texts, labels, fields)
    return [
        f"the table: column {name} tells the label of {score}% of the rows, every label counted "
        "alike; if the rows of a label were collected elsewhere than the others, a model may "
        "learn the place and not the task"
        for name, score in scores.items()
        if name in fields
    ]
