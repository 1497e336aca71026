"""What the recipes of all tasks have in common, and how a recipe is read: the YAML file that says
how an adapter is made.

Fields are documented where they are declared (`polygraft recipe` prints them). A bad recipe reports
every problem at once, each with its path. Does not read data or touch the backbone.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from polygraft.adapters.layout import NAME
from polygraft.errors import RecipeError
from polygraft.tasks.registry import DEFAULT, TASKS, recipe_class


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
    )
    limit: int | None = Field(None, ge=1, description="so many rows at most, evenly spread")
    most_characters: int = Field(400, ge=1, description="longer texts are left out")


class TextFile(TextRows):
    """Text, a row a line, or one column of a table."""

    file: str


class LoraRecipe(RecipePart):
    """Low-rank update x·A·B·alpha/r (Hu et al. 2021, section 4.1)."""

    r: int = Field(8, ge=1, le=64, description="rank")
    alpha: float = Field(16, gt=0, description="scales the update by alpha/r")
    dropout: float = Field(0.05, ge=0, lt=1, description="on the input of A, while training")
    sites: str | list[str] = Field(
        "all",
        description=(
            "all: every site the backbone's graph carries; or name endings such as [query, value]"
        ),
    )
    layers: list[int] | None = Field(
        None, description="only these of the encoder's layers, from 0; left out: all of them"
    )


class AdapterRecipe(RecipePart):
    """What every adapter's recipe has."""

    task: str
    name: str
    languages: list[str] = Field(min_length=1, description="ISO 639 codes")
    description: str = ""
    parent: str | None = Field(
        None, description="adapter to start from: a name beside this one, or a folder"
    )
    lora: LoraRecipe = LoraRecipe()

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


def load_recipe(path: Path) -> AdapterRecipe:
    """Read and check a recipe. Raises `RecipeError` with every problem and its path."""
    try:
        raw: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(str(path), ["no such file; give the path of a recipe.yaml"]) from None
    except IsADirectoryError:
        raise RecipeError(
            str(path), ["this is a folder; give the recipe.yaml that lies in it"]
        ) from None
    except OSError as error:
        raise RecipeError(str(path), [f"cannot be read: {error.strerror}"]) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(str(path), [f"not readable as YAML: {error}"]) from None
    if not isinstance(raw, dict):
        raise RecipeError(str(path), ["the file must hold a mapping (name: ..., data: ...)"])
    task = raw.get("task", DEFAULT)
    if task not in TASKS:
        raise RecipeError(str(path), [f"task: {task!r} is not one of {', '.join(TASKS)}"])
    try:
        return recipe_class(task).model_validate(raw)
    except ValidationError as error:
        raise RecipeError(str(path), [_problem(e) for e in error.errors()]) from None


def _problem(error: Any) -> str:
    """One of pydantic's errors: its place in the recipe, what is wrong, and what stands there."""
    parts = [str(part) for part in error["loc"] if part not in ("str", "list[str]")]
    problem = f"{'.'.join(parts) or 'recipe'}: {error['msg'].removeprefix('Value error, ')}"
    if error["type"] in ("missing", "extra_forbidden", "value_error"):
        return problem
    return f"{problem} (given: {error['input']!r})"


def expand(source: str, folder: Path) -> str:
    """Replace `${VAR}` and make a plain relative path relative to `folder`. Raises `KeyError` for
    an unset variable."""
    full = re.sub(r"\$\{(\w+)\}", lambda m: os.environ[m.group(1)], source)
    if full.startswith("hub:") or "://" in full:
        return full
    return str((folder / full).resolve())
