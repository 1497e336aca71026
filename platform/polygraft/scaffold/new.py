"""`polygraft new`: a table -> guesses, asked or told -> splits and a recipe in a new folder.

Does not: train, or give advice (`polygraft advise` does).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from polygraft.adapters.layout import LAYOUT
from polygraft.adapters.library import Library
from polygraft.data.labels import suspicious
from polygraft.data.leaks import leaked_texts, normalised
from polygraft.errors import DataError, RecipeError
from polygraft.scaffold import columns as guessing
from polygraft.scaffold.guess import Decide, Guess
from polygraft.scaffold.language import languages_of
from polygraft.scaffold.rows import Rows, cell, from_recipe, read_tables, write_rows
from polygraft.scaffold.splitting import split
from polygraft.scaffold.writing import Line, counted, in_data, recipe_text
from polygraft.tasks.languages import problem_of

HELD_OUT = {
    "dev": "they choose what is kept",
    "test": "they are scored once, at the end",
}
POSITIVE = {"spam", "scam", "toxic", "hate", "abusive", "fraud", "phishing", "positive", "yes"}
POSITIVE |= {"true", "1"}
HEADING = "Written by `polygraft new`. A field is explained by `polygraft recipe FIELD`."


@dataclass(frozen=True)
class Start:
    """What a new recipe is made from: its name and folder, the source of train, and of dev and test
    where there is one, and what is guessed with. `decide` is asked about every guess."""

    name: str
    folder: Path
    sources: Mapping[str, str]
    decide: Decide
    library: Library
    backbone: Path
    seed: int = 0

    @property
    def recipe(self) -> Path:
        return self.folder / LAYOUT.recipe

    @property
    def missing(self) -> list[str]:
        """The splits that are to be cut out of train."""
        return [name for name in HELD_OUT if name not in self.sources]


def write(start: Start) -> list[str]:
    """Write recipe and splits; what may be a mistake in the data is returned, a sentence each.

    Raises `DataError` for tables that cannot be read or do not look like labelled texts or
    translations, and `RecipeError` when there is something in the folder already.
    """
    files = [start.recipe, *(start.folder / f"{name}.jsonl" for name in ("train", *start.missing))]
    if taken := [file.name for file in files if file.exists()]:
        raise RecipeError(
            str(start.recipe), [f"{', '.join(taken)} is there already; take another name"]
        )
    tables = read_tables(start.sources)
    columns = guessing.columns_of(tables["train"], start.sources["train"])
    no_labels = Guess("data.label", "", "no column repeats its values, as labels do")
    label = start.decide(guessing.label_column(columns) or no_labels)
    if label:
        return _classifier(start, tables, columns, label)
    sides = guessing.sides(columns)
    if sides is None:
        raise DataError(
            start.sources["train"],
            [
                f"no column looks like labels ({'; '.join(map(str, columns))}); name it with "
                "--label, or give a table with two columns of texts for translation"
            ],
        )
    return _translator(start, tables, sides)


def _classifier(
    start: Start, tables: Mapping[str, Rows], columns: Sequence[guessing.Column], label: str
) -> list[str]:
    text = start.decide(guessing.text_column(columns, label))
    rows, doubts = _whole(tables, [text, label], start.sources)
    texts = {name: [cell(row[text]) for row in some] for name, some in rows.items()}
    labels = {name: [cell(row[label]) for row in some] for name, some in rows.items()}
    recognised = languages_of(texts["train"], start.library, start.backbone)
    languages = start.decide(recognised)
    positive = start.decide(_positive(Counter(labels["train"])))
    if positive and positive not in labels["train"]:
        known = ", ".join(sorted(set(labels["train"])))
        raise RecipeError("positive", [f"no row has the label {positive!r}; they have {known}"])
    licence = start.decide(_licence())
    given = [text for name in HELD_OUT if name in texts for text in texts[name]]
    rows = _cut(start, rows, [[t] for t in texts["train"]], labels["train"], [[t] for t in given])
    leaks = leaked_texts([cell(row[text]) for row in rows["train"]], given) if given else {}
    files = _files(start, rows)
    lines = [
        Line("name", start.name),
        Line(
            "languages",
            _codes(languages),
            "recognised; correct it if it is another" if languages == recognised.value else "",
        ),
        *in_data(
            [
                *files,
                Line("text", text, "the column of the texts"),
                Line("label", label, "the column of the labels"),
                Line("licence", licence, "of the data; it stands on the card"),
                *([Line("on_leak", "drop", _leaks(len(leaks)))] if leaks else []),
            ]
        ),
        *([Line("positive", positive, "the label that is looked for")] if positive else []),
        Line("strategy", "head", "seconds; `polygraft advise` says what else may suit"),
        Line("lora", {"sites": ["value"], "r": 16, "alpha": 32}, "the quickest to serve"),
    ]
    _publish(start, rows, lines)
    held_out = {
        name: [cell(row[label]) for row in some] for name, some in rows.items() if name != "train"
    }
    doubts += _contradictions(texts["train"], labels["train"])
    return doubts + suspicious([cell(row[label]) for row in rows["train"]], held_out)


def _translator(start: Start, tables: Mapping[str, Rows], sides: tuple[str, str]) -> list[str]:
    rows, doubts = _whole(tables, sides, start.sources)
    guesses = [
        languages_of([cell(row[side]) for row in rows["train"]], start.library, start.backbone)
        for side in sides
    ]
    first, second = (guess.value.partition(",")[0] for guess in guesses)
    why = f"of the columns {' and '.join(sides)}: {guesses[0].why}"
    codes = _codes(start.decide(Guess("languages", f"{first}, {second}", why)))
    if len(set(codes)) != 2:
        raise RecipeError(
            str(start.recipe),
            [f"languages: {', '.join(codes)}, but a translation has two; give --language en,yo"],
        )
    licence = start.decide(_licence())
    pairs = {name: [[cell(row[s]) for s in sides] for row in some] for name, some in rows.items()}
    given = [pair for name in HELD_OUT if name in pairs for pair in pairs[name]]
    rows = _cut(start, rows, pairs["train"], ["pair"] * len(pairs["train"]), given)
    common = {"source": codes[0], "target": codes[1]}
    lines = [
        Line("name", start.name),
        Line("task", "translation"),
        Line("languages", codes),
        *in_data(
            [
                *(
                    line._replace(
                        value=[
                            common
                            | {"file": line.value, "columns": list(sides), "licence": licence}
                        ]
                    )
                    for line in _files(start, rows)
                ),
                *([Line("on_leak", "drop", "pairs of which a side is held out")] if given else []),
            ]
        ),
        Line("lora", {"r": 8, "alpha": 16}),
    ]
    _publish(start, rows, lines)
    return doubts


def _whole(
    tables: Mapping[str, Rows], columns: Sequence[str], sources: Mapping[str, str]
) -> tuple[dict[str, Rows], list[str]]:
    """The rows that have something in all of the `columns`, and how many have not. Raises
    `DataError` for a table that lacks one."""
    rows, doubts, problems = dict[str, Rows](), list[str](), list[str]()
    for name, table in tables.items():
        have = list(table[0]) if table else []
        if lacking := [column for column in columns if column not in have]:
            problems.append(
                f"{sources[name]} lacks column {', '.join(lacking)}; it has {', '.join(have)}"
            )
            continue
        rows[name] = [row for row in table if all(cell(row[column]) for column in columns)]
        if empty := len(table) - len(rows[name]):
            doubts.append(f"{name}: {empty:,} rows lack {' or '.join(columns)}")
    if problems:
        raise DataError("data", problems)
    return rows, doubts


def _cut(
    start: Start,
    rows: Mapping[str, Rows],
    texts: Sequence[Sequence[str]],
    labels: Sequence[str],
    given: Sequence[Sequence[str]],
) -> dict[str, Rows]:
    """The rows of every split: those that are given, and the missing ones cut out of train."""
    if not start.missing:
        return dict(rows)
    numbers = split(texts, labels, start.missing, given, start.seed)
    cut = {name: [rows["train"][i] for i in some] for name, some in numbers.items()}
    return {name: cut[name] if name in cut else rows[name] for name in ("train", *HELD_OUT)}


def _files(start: Start, rows: Mapping[str, Rows]) -> list[Line]:
    """The recipe's line for the file of each split."""
    counts, lines = counted(rows), list[Line]()
    for name in ("train", *HELD_OUT):
        cut = name in start.missing or (name == "train" and start.missing)
        file = f"{name}.jsonl" if cut else from_recipe(start.sources[name], start.folder)
        purpose = HELD_OUT.get(name, f"of {start.sources['train']}")
        lines.append(Line(name, file, f"{counts[name]}; {purpose}"))
    return lines


def _publish(start: Start, rows: Mapping[str, Rows], lines: Sequence[Line]) -> None:
    """Write what was cut and the recipe."""
    start.folder.mkdir(parents=True, exist_ok=True)
    for name in ("train", *start.missing) if start.missing else ():
        write_rows(start.folder / f"{name}.jsonl", rows[name])
    start.recipe.write_text(recipe_text(lines, HEADING), encoding="utf-8")


def _positive(counts: Counter[str]) -> Guess:
    known = [label for label in counts if label.lower() in POSITIVE]
    if len(counts) == 2 and len(known) == 1:
        return Guess("positive", known[0], "of the two labels the one that is looked for")
    return Guess("positive", "", "of the labels none is known to be the one that is looked for")


def _licence() -> Guess:
    return Guess("data.licence", "unknown", "who may use the data for what; it stands on the card")


def _codes(languages: str) -> list[str]:
    """The codes in a list of them. Raises `RecipeError` for what is no code of a language."""
    codes = [code.strip() for code in languages.split(",")]
    if problems := [problem for code in codes if (problem := problem_of(code))]:
        raise RecipeError("languages", problems)
    return codes


def _leaks(count: int) -> str:
    return f"{count:,} rows of train stand in dev or test too" if count > 1 else "1 row is held out"


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
