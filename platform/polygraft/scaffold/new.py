"""`polygraft new`: a table -> guesses, asked or told -> splits and a recipe in a new folder.

Does not: train, or give advice (`polygraft advise` does).
"""

from __future__ import annotations

from polygraft.scaffold.classifier import write_classifier
from polygraft.scaffold.columns import columns_of, label_column, sides
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
    label = start.decide(label_column(columns))
    if label:
        return write_classifier(start, tables, columns, label)
    languages = sides(columns)
    assert languages is not None, "no label, and nothing to translate: that has a problem"
    return write_translator(start, tables, languages)
