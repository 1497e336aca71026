"""A recipe for a table of texts and their translations."""

from __future__ import annotations

from collections.abc import Mapping

from polygraft.data.parsed import cell
from polygraft.scaffold.guess import Guess
from polygraft.scaffold.language import codes_of, languages_of, languages_problem
from polygraft.scaffold.rows import Rows
from polygraft.scaffold.start import Start
from polygraft.scaffold.writing import Line, in_data


def write_translator(start: Start, tables: Mapping[str, Rows], sides: tuple[str, str]) -> list[str]:
    """Write recipe and splits; `sides` are the columns of the two languages. What may be a mistake
    in the data is returned, a sentence each. Raises `DataError` or `RecipeError`."""
    rows, doubts = start.whole(tables, sides)
    source, target = _decide_languages(start, rows["train"], sides)
    licence = start.decide_licence()
    rows = start.cut(rows, sides, ["pair"] * len(rows["train"]))
    files = []
    for line in start.files(rows):
        pairs = {"source": source, "target": target, "file": line.value, "columns": list(sides)}
        files.append(line._replace(value=[pairs | {"licence": licence}]))
    lines = [
        Line("name", start.name),
        Line("task", "translation"),
        Line("languages", [source, target]),
        *in_data([*files, Line("on_leak", "drop", "pairs of which a side is held out")]),
        Line("lora", {"r": 8, "alpha": 16}),
    ]
    start.publish(rows, sides, lines)
    return doubts


def _decide_languages(start: Start, rows: Rows, sides: tuple[str, str]) -> tuple[str, str]:
    """The codes of both sides."""
    guesses = [
        languages_of([cell(row[side]) for row in rows], start.library, start.backbone)
        for side in sides
    ]
    first, second = (guess.value.partition(",")[0] for guess in guesses)
    why = f"of the columns {' and '.join(sides)}: {guesses[0].why}"
    guess = Guess("languages", f"{first}, {second}", why, _two_languages_problem)
    source, target = codes_of(start.decide(guess))
    return source, target


def _two_languages_problem(value: str) -> str | None:
    codes = codes_of(value)
    if len(codes) != 2 or codes[0] == codes[1]:
        return f"a translation has two, not {', '.join(codes)}; give them with --language en,yo"
    return languages_problem(value)
