"""A recipe for a table of texts with labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from polygraft.data.labels import suspicious
from polygraft.data.leaks import leaked_texts, normalised
from polygraft.errors import RecipeError
from polygraft.scaffold.columns import Column, text_column
from polygraft.scaffold.guess import Guess
from polygraft.scaffold.language import UNKNOWN, languages_of
from polygraft.scaffold.rows import Rows, cell
from polygraft.scaffold.start import HELD_OUT, Start, codes_of
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
    texts, labels = ([cell(row[column]) for row in rows["train"]] for column in (text, label))
    recognised = languages_of(texts, start.library, start.backbone)
    languages = start.decide(recognised)
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
    start.publish(rows, lines)
    of_splits = {name: [cell(row[label]) for row in some] for name, some in rows.items()}
    doubts += _contradictions(texts, labels)
    return doubts + suspicious(of_splits.pop("train"), of_splits)


def _how_sure(languages: str, recognised: Guess) -> str:
    """The comment on a recipe's languages; none where the user gave others than were guessed."""
    if languages != recognised.value:
        return ""
    if languages == UNKNOWN:
        return "not recognised; write the code if there is one"
    return "recognised; correct it if it is another"


def _decide_positive(start: Start, labels: Sequence[str]) -> str:
    """The label that is looked for; none is empty. Raises `RecipeError` for one that no row has."""
    names = sorted(set(labels))
    known = [label for label in names if label.lower() in POSITIVE]
    if len(names) == 2 and len(known) == 1:
        guess = Guess("positive", known[0], "of the two labels the one that is looked for")
    else:
        guess = Guess(
            "positive", "", "of the labels none is known to be the one that is looked for"
        )
    positive = start.decide(guess)
    if positive and positive not in names:
        raise RecipeError(
            "positive", [f"no row has the label {positive!r}; they have {', '.join(names)}"]
        )
    return positive


def _leaks(rows: Mapping[str, Rows], text: str) -> str:
    """How many rows of train stand in dev or test too, in words; nothing for none."""
    held_out = [cell(row[text]) for name in HELD_OUT for row in rows[name]]
    leaks = leaked_texts([cell(row[text]) for row in rows["train"]], held_out)
    return "" if not leaks else "a row" if len(leaks) == 1 else f"{len(leaks):,} rows"


def _contradictions(texts: Sequence[str], labels: Sequence[str]) -> list[str]:
    """What to say of texts that stand there with two labels."""
    first = dict[str, str]()
    both = [
        text
        for text, label in zip(texts, labels, strict=True)
        if first.setdefault(normalised(text), label) != label
    ]
    if not both:
        return []
    count = "a text has" if len(both) == 1 else f"{len(both):,} texts have"
    return [f"train: {count} two labels, such as {both[0][:60]!r}"]
