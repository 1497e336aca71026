"""`polygraft new`: a table -> guesses, asked or told -> splits and a recipe in a new folder.

Does not: train, or give advice (`polygraft advise` does).
"""

from __future__ import annotations

from polygraft.errors import DataError
from polygraft.scaffold.classifier import write_classifier
from polygraft.scaffold.columns import columns_of, label_column, sides
from polygraft.scaffold.guess import Guess
from polygraft.scaffold.rows import read_tables
from polygraft.scaffold.start import Start
from polygraft.scaffold.translator import write_translator


def write(start: Start) -> list[str]:
    """Write recipe and splits; what may be a mistake in the data is returned, a sentence each.

    Raises `DataError` for tables that cannot be read or do not look like labelled texts or
    translations, and `RecipeError` when there is something in the folder already or what was
    decided cannot be.
    """
    start.check_is_new()
    tables = read_tables(start.sources)
    columns = columns_of(tables["train"], start.sources["train"])
    none = Guess("data.label", "", "no column repeats its values, as labels do")
    label = start.decide(label_column(columns) or none)
    if label:
        return write_classifier(start, tables, columns, label)
    languages = sides(columns)
    if languages is None:
        raise DataError(
            start.sources["train"],
            [
                f"no column looks like labels ({'; '.join(map(str, columns))}); name it with "
                "--label, or give a table with two columns of texts for translation"
            ],
        )
    return write_translator(start, tables, languages)
