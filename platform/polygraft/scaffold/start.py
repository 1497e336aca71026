"""What a new recipe is made from, and what every kind of recipe needs of it: whole rows, splits,
the lines for their files, and a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from polygraft.adapters.layout import LAYOUT
from polygraft.adapters.library import Library
from polygraft.data.parsed import cell
from polygraft.data.splits import rows_in_words
from polygraft.errors import DataError, RecipeError
from polygraft.scaffold.guess import Decide, Guess
from polygraft.scaffold.rows import Rows, from_recipe, write_rows
from polygraft.scaffold.splitting import split
from polygraft.scaffold.writing import Line, recipe_text
from polygraft.tasks.recipe import expand

HELD_OUT = {"dev": "they choose what is kept", "test": "they are scored once, at the end"}
HEADING = "Written by `polygraft new`. A field is explained by `polygraft recipe FIELD`."


@dataclass(frozen=True)
class Start:
    """The name and the folder of a new recipe, the source of its train rows, and of dev and test
    where there is one. `decide` is asked about every guess; library and backbone are guessed
    with."""

    name: str
    folder: Path
    sources: Mapping[str, str]
    decide: Decide
    library: Library
    backbone: Path
    seed: int = 0
    overwrite: bool = False

    @property
    def recipe(self) -> Path:
        return self.folder / LAYOUT.recipe

    @property
    def missing(self) -> list[str]:
        """The splits that are to be cut out of train."""
        return [name for name in HELD_OUT if name not in self.sources]

    @property
    def written(self) -> list[str]:
        """The splits that get a file in the folder."""
        return ["train", *self.missing] if self.missing else []

    def check_is_new(self) -> None:
        """Raises `RecipeError` where a file would be overwritten that must not be."""
        files = [self.recipe, *(self.folder / f"{name}.jsonl" for name in self.written)]
        read = {str(file.resolve()) for file in files} & {
            expand(source, Path.cwd()) for source in self.sources.values()
        }
        if read:
            raise RecipeError(
                str(self.recipe), [f"{', '.join(read)} is read from; take another name"]
            )
        taken = [file.name for file in files if file.exists()]
        if taken and not self.overwrite:
            are = "is" if len(taken) == 1 else "are"
            raise RecipeError(
                str(self.recipe),
                [
                    f"{', '.join(taken)} {are} there already; take another name, or --overwrite "
                    "what is there"
                ],
            )

    def whole(
        self, tables: Mapping[str, Rows], columns: Sequence[str]
    ) -> tuple[dict[str, Rows], list[str]]:
        """The rows that have something in all of the `columns`, and a sentence on those that have
        not. Raises `DataError` for a table that lacks one."""
        rows, doubts, problems = dict[str, Rows](), list[str](), list[str]()
        for name, table in tables.items():
            have = list(table[0]) if table else []
            lacking = [column for column in columns if column not in have]
            if lacking:
                problems.append(
                    f"{self.sources[name]} lacks column {', '.join(lacking)}; it has "
                    f"{', '.join(have)}"
                )
                continue
            rows[name] = [row for row in table if all(cell(row[column]) for column in columns)]
            if empty := len(table) - len(rows[name]):
                doubts.append(
                    f"{name}: {rows_in_words(empty)} without {' or '.join(columns)}, left out"
                )
        if problems:
            raise DataError("data", problems)
        return rows, doubts

    def cut(
        self, rows: Mapping[str, Rows], columns: Sequence[str], labels: Sequence[str]
    ) -> dict[str, Rows]:
        """The rows of every split: those that are given, and the missing ones cut out of train.
        `columns` are those of the texts, `labels` those of the train rows."""
        if not self.missing:
            return dict(rows)
        texts = {
            name: [[cell(row[c]) for c in columns] for row in some] for name, some in rows.items()
        }
        given = [row for name in HELD_OUT for row in texts.get(name, [])]
        numbers = split(texts["train"], labels, self.missing, given, self.seed)
        cut = {name: [rows["train"][i] for i in some] for name, some in numbers.items()}
        return {name: cut[name] if name in cut else rows[name] for name in ("train", *HELD_OUT)}

    def files(self, rows: Mapping[str, Rows]) -> list[Line]:
        """The recipe's line for the file of each split."""
        lines = []
        for name in ("train", *HELD_OUT):
            if name in self.written:
                file = f"{name}.jsonl"
            else:
                file = from_recipe(self.sources[name], self.folder)
            purpose = HELD_OUT.get(name, f"of {self.sources['train']}")
            lines.append(Line(name, file, f"{rows_in_words(len(rows[name]))}; {purpose}"))
        return lines

    def publish(
        self, rows: Mapping[str, Rows], columns: Sequence[str], lines: Sequence[Line]
    ) -> None:
        """Write what was cut, of the `columns` that the recipe names, and the recipe."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in self.written:
            write_rows(self.folder / f"{name}.jsonl", rows[name], columns)
        self.recipe.write_text(recipe_text(lines, HEADING), encoding="utf-8")

    def decide_licence(self) -> str:
        why = "who may use the data for what; it stands on the card"
        return self.decide(Guess("data.licence", "unknown", why))
