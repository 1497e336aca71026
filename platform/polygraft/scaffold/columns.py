"""Which columns of a table hold the texts and their labels, or the two sides of a translation.

Guessed from names and contents: a label repeats and is short, a text is long and seldom repeats.
Does not: read files, or ask anybody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from polygraft.data.parsed import cell
from polygraft.errors import DataError
from polygraft.scaffold.guess import Guess
from polygraft.scaffold.rows import Row

TEXT_NAMES = {
    *("text", "texts", "message", "messages", "sms", "body", "content", "sentence", "review"),
    *("comment", "tweet", "post", "question", "description", "email", "headline", "title"),
    *("texto", "mensaje", "pregunta", "comentario", "texte", "question", "ujumbe", "teks", "pesan"),
}
LABEL_NAMES = {
    *("label", "labels", "class", "category", "categories", "target", "tag", "topic", "intent"),
    *("sentiment", "kind", "type", "is_spam", "spam", "y", "gold", "annotation", "subject"),
    *("etiqueta", "clase", "categoria", "tema", "motivo", "tipo", "categorie", "sujet", "kategori"),
}
MOST_LABELS, LONGEST_LABEL, SHORTEST_TEXT = 200, 60, 8


@dataclass(frozen=True)
class Column:
    """What one column holds: different values, the first of them, and characters of a value on
    average."""

    name: str
    rows: int
    values: int
    length: float
    first: str = ""

    @property
    def may_be_labels(self) -> bool:
        return 2 <= self.values <= min(MOST_LABELS, self.rows / 2) and self.length <= LONGEST_LABEL

    @property
    def may_be_texts(self) -> bool:
        return self.length >= SHORTEST_TEXT and self.values > self.rows / 2

    def __str__(self) -> str:
        return f"{self.name}: {self.described}"

    @property
    def described(self) -> str:
        values = "1 value" if self.values == 1 else f"{self.values:,} different values"
        return f"{values}, of {self.length:.0f} characters on average"


def columns_of(rows: Sequence[Row], source: str) -> list[Column]:
    """The columns of a table. Raises `DataError` for one without rows, without a header, or whose
    columns are separated by something else than was thought."""
    names = list(rows[0]) if rows else []
    contents = {name: [cell(row[name]) for row in rows] for name in names}
    problem = None
    if not rows:
        problem = "it has no rows"
    elif len(names) == 1 and (mark := next((m for m in ";,|" if m in names[0]), None)):
        problem = (
            f"it has one column, {names[0]!r}: the columns seem to be separated by {mark!r}; save "
            "it with commas (.csv) or tabs (.tsv)"
        )
    elif _looks_like_data(names, contents):
        problem = (
            f"its first line looks like data, not like names of columns ({', '.join(names)[:80]}); "
            "put a line with names first, such as text,label"
        )
    if problem:
        raise DataError(source, [problem])
    return [
        Column(
            name=name,
            rows=len(rows),
            values=len(set(cells) - {""}),
            length=sum(map(len, cells)) / len(cells),
            first=cells[0],
        )
        for name, cells in contents.items()
    ]


def _looks_like_data(names: Sequence[str], contents: Mapping[str, Sequence[str]]) -> bool:
    """Whether the names of columns are rather a first row: long, or also values of their column,
    and none is what a column of texts is called."""
    if any(name.strip().lower() in TEXT_NAMES for name in names):
        return False
    return max(map(len, names)) > LONGEST_LABEL or any(name in contents[name] for name in names)


def text_column(columns: Sequence[Column], label: str) -> Guess:
    """The column of the texts, which is not `label`: one that is called so, else the longest."""
    texts = [column for column in columns if column.may_be_texts and column.name != label]
    longest = max(texts, key=lambda column: column.length, default=None)

    def problem(name: str) -> str | None:
        if not name:
            return (
                f"no column but {label!r}, the column of the labels, looks like texts "
                f"({_listed(columns)}); name it with --text"
            )
        if name == label:
            return f"{name!r} is the column of the labels; name the one of the texts"
        return _unknown(name, columns)

    if longest is None:
        return Guess("data.text", "", "no column looks like texts", problem)
    named = [c for c in texts if _called(c, TEXT_NAMES) and c.length >= longest.length / 2]
    chosen = named[0] if named else longest
    why = f"{chosen.described}{_others(texts, chosen)}"
    return Guess("data.text", chosen.name, why, problem)


def label_column(columns: Sequence[Column]) -> Guess:
    """The column of the labels: one that is called so, else the one with the fewest values. Empty
    where no column repeats its values, as in a table of translations."""
    candidates = [column for column in columns if column.may_be_labels]
    translations = sides(columns) is not None

    def problem(name: str) -> str | None:
        if not name:
            return None if translations else _no_labels(columns)
        chosen = next((column for column in columns if column.name == name), None)
        if chosen is None:
            return _unknown(name, columns)
        if chosen.values == 1:
            return (
                f"column {name!r} has one value in all rows, {chosen.first[:60]!r}; a classifier "
                "needs two labels at least: add rows with another"
            )
        if chosen.values == chosen.rows:
            return f"column {name!r} has a new value in every row; labels repeat: name another"
        return None

    if not candidates and not translations:
        candidates = [c for c in columns if c.values == 1 and _called(c, LABEL_NAMES)]
    if not candidates:
        why = "no column repeats its values, as labels do"
        return Guess("data.label", "", why, problem)
    named = [column for column in candidates if _called(column, LABEL_NAMES)]
    chosen = min(named or candidates, key=lambda column: column.values)
    why = f"{chosen.described}{_others(candidates, chosen)}"
    return Guess("data.label", chosen.name, why, problem)


def _no_labels(columns: Sequence[Column]) -> str:
    return (
        f"no column looks like labels ({_listed(columns)}); name it with --label, or give a table "
        "with two columns of texts for translation"
    )


def _unknown(name: str, columns: Sequence[Column]) -> str | None:
    names = [column.name for column in columns]
    return None if name in names else f"there is no column {name!r}, but {', '.join(names)}"


def sides(columns: Sequence[Column]) -> tuple[str, str] | None:
    """The two columns of a table of translations, in their order; None where there are not two
    columns of texts."""
    texts = sorted((c for c in columns if c.may_be_texts), key=lambda column: -column.length)[:2]
    if len(texts) < 2:
        return None
    first, second = (column.name for column in columns if column in texts)
    return first, second


def _called(column: Column, names: set[str]) -> bool:
    return column.name.strip().lower() in names


def _others(candidates: Sequence[Column], chosen: Column) -> str:
    names = ", ".join(column.name for column in candidates if column != chosen)
    return f"; it could also be {names}" if names else ""


def _listed(columns: Sequence[Column]) -> str:
    return "; ".join(map(str, columns))
