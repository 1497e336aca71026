"""What the recipes of all tasks have in common, and how a recipe is read: the YAML file that says
how an adapter is made.

Fields are documented where they are declared (`polygraft recipe FIELD` explains one). A bad recipe
reports every problem at once, each with its path. Does not read data or touch the backbone.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any, ClassVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from polygraft.adapters.layout import NAME
from polygraft.errors import RecipeError
from polygraft.tasks import languages as language_codes
from polygraft.tasks.recipe_problems import Place, place_of, problems_of
from polygraft.tasks.registry import DEFAULT, TASKS, recipe_class

STAND_INS = {"name": "unnamed", "languages": ["und"]}
"""What every recipe must have, for one that lacks it and is looked at all the same."""


class RecipePart(BaseModel):
    """A mapping in a recipe: unknown keys are refused, and what was read does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TextRows(RecipePart):
    """Which rows of a file are read: its lines, or one column of a table."""

    column: Annotated[int, Field(ge=0)] | str | None = Field(
        None,
        description=(
            "position in a tab-separated file without a header, from 0; or a name in CSV, JSON "
            "Lines, Parquet"
        ),
        examples=[1],
    )
    limit: int | None = Field(
        None, ge=1, description="so many rows at most, evenly spread", examples=[5000]
    )
    most_characters: int = Field(400, ge=1, description="longer texts are left out")


class TextFile(TextRows):
    """Text, a row a line, or one column of a table."""

    file: str = Field(description="a file or URL, compressed or not", examples=["sw.txt.gz"])


Rank = Annotated[
    int,
    Field(
        ge=1,
        le=64,
        description="rank of the update: how much it can hold, and what it costs; a child has its "
        "parent's",
    ),
]
Alpha = Annotated[
    float, Field(gt=0, description="scales the update by alpha/r; a child has its parent's")
]
Dropout = Annotated[float, Field(ge=0, lt=1, description="on the input of A, while training")]


class LoraRecipe(RecipePart):
    """Low-rank update x·A·B·alpha/r (Hu et al. 2021, section 4.1)."""

    r: Rank = 8
    alpha: Alpha = 16
    dropout: Dropout = 0.05
    sites: str | list[str] = Field(
        "all",
        description=(
            "the linear layers that carry it. all: every one that the backbone's graph carries; or "
            "name endings such as [query, value]; [value] is the quickest"
        ),
        examples=[["value"]],
    )
    layers: list[int] | None = Field(
        None,
        description="only these of the encoder's layers, from 0; left out: all of them",
        examples=[[3, 4, 5]],
    )


class AdapterRecipe(RecipePart):
    """What every adapter's recipe has."""

    example: ClassVar[str] = ""
    """A recipe to start from: YAML with comments, the fields that most people need."""

    task: str
    name: str = Field(
        description="what it is called by: a-z, 0-9, '.', '_', '-'; its folder has the same name",
        examples=["spam-mine"],
    )
    languages: list[str] = Field(
        min_length=1,
        description="codes of the languages of its texts (BCP 47: ISO 639, the shortest): en, sw, "
        "haw, pt-BR; und where it is not known",
        examples=[["en", "sw"]],
    )
    description: str = Field(
        "", description="a sentence or two for the card", examples=["Spam in Swahili messages."]
    )
    parent: str | None = Field(
        None,
        description="adapter to start from: a name beside this one, or a folder; its LoRA (rank, "
        "alpha, sites) is kept",
        examples=["spam-en"],
    )
    lora: LoraRecipe = Field(LoraRecipe(), examples=[{"sites": ["value"], "r": 16, "alpha": 32}])

    @property
    def builds_on(self) -> list[str]:
        """The trained adapters that must be there before this one is trained, by name or folder."""
        return [self.parent] if self.parent else []

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if not NAME.fullmatch(value):
            raise ValueError(
                f"{value!r} is not a name: use a-z, 0-9, '.', '_' and '-', at most 64 characters"
            )
        return value

    @field_validator("languages")
    @classmethod
    def _languages(cls, value: list[str]) -> list[str]:
        if problems := [p for code in value if (p := language_codes.problem_of(code))]:
            raise ValueError("; ".join(problems))
        return value


def load_recipe(path: Path) -> AdapterRecipe:
    """Read and check a recipe. Raises `RecipeError` with every problem, its place and its line."""
    recipe, problems = read_recipe(path)
    if recipe is None or problems:
        raise RecipeError(str(path), problems)
    return recipe


def read_recipe(path: Path) -> tuple[AdapterRecipe | None, list[str]]:
    """A recipe and every problem it has, for whoever wants to say more than its own problems: what
    cannot be used of it is left out, so that its data can be looked at. None where too little is
    left."""
    try:
        text = path.read_text(encoding="utf-8")
        raw: Any = yaml.safe_load(text)
    except FileNotFoundError:
        return None, ["no such file; give the path of a recipe.yaml"]
    except IsADirectoryError:
        return None, ["this is a folder; give the recipe.yaml that lies in it"]
    except OSError as error:
        return None, [f"cannot be read: {error.strerror}"]
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        return None, [f"not readable as YAML: {error}"]
    if not isinstance(raw, dict):
        return None, ["the file must hold a mapping (name: ..., data: ...)"]
    task = raw.get("task", DEFAULT)
    if task not in TASKS:
        return None, [f"task: {task!r} is not one of {', '.join(TASKS)}"]
    try:
        return recipe_class(task).model_validate(raw), []
    except ValidationError as error:
        problems = problems_of(error, text, recipe_class(task))
        usable = _without([place_of(one, raw) for one in error.errors()], raw)
    try:
        return recipe_class(task).model_validate(STAND_INS | usable), problems
    except ValidationError:
        return None, problems


def _without(places: Sequence[Place], raw: dict[str, Any]) -> dict[str, Any]:
    """`raw` without what stands at `places`; of a list, without all of it."""
    usable = copy.deepcopy(raw)
    for place in places:
        names = list(takewhile(lambda part: isinstance(part, str), place))
        inner: Any = usable
        for name in names[:-1]:
            inner = inner.get(name) if isinstance(inner, dict) else None
        if names and isinstance(inner, dict):
            inner.pop(names[-1], None)
    return usable


def expand(source: str, folder: Path) -> str:
    """Replace `${VAR}` and make a plain relative path relative to `folder`. Raises `KeyError` for
    an unset variable."""
    full = re.sub(r"\$\{(\w+)\}", lambda m: os.environ[m.group(1)], source)
    if full.startswith("hub:") or "://" in full:
        return full
    return str((folder / full).resolve())
