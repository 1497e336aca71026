"""The plan of a study: which tasks, from which source to which targets. Read from YAML; unknown
keys are errors."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import Field, ValidationError

from polygraft.errors import RecipeError
from polygraft.tasks.recipe import LoraRecipe, RecipePart


class Side(RecipePart):
    """A language's labelled rows."""

    language: str
    train: str
    dev: str | None = Field(
        None, description="left out: rows of train, by id (see `StudyFamily.dev_every`)"
    )
    test: str | None = Field(None, description="a source needs none")
    stack: str | None = Field(None, description="language adapter beside the plan's folder")


class StudyFamily(RecipePart):
    """One task: a source, and the targets it is to be transferred to."""

    name: str
    text: str | list[str] = "text"
    label: str = "label"
    id: str | None = Field(
        None, description="column shared by a row and its translations; checked for leaks"
    )
    dev_every: int = Field(
        7,
        ge=2,
        description=(
            "rows whose id is a multiple of it choose the checkpoint, where dev is left out"
        ),
    )
    max_length: int = Field(64, ge=8)
    epochs: float = Field(6, gt=0)
    source: Side
    targets: list[Side] = Field(min_length=1)


class Study(RecipePart):
    """`plan.yaml`."""

    seeds: list[int] = Field(min_length=3)
    shots: int = Field(10, ge=1, description="rows a label of the few-shot runs")
    few_seeds: list[int] = Field(min_length=2)
    few_epochs: float = Field(10, gt=0)
    lora: LoraRecipe = LoraRecipe()
    families: list[StudyFamily] = Field(min_length=1)


def load_study(file: Path) -> Study:
    """Raises `RecipeError` with every problem."""
    try:
        return Study.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except OSError:
        raise RecipeError(
            str(file), ["no such file; give the path of a study's plan.yaml"]
        ) from None
    except yaml.YAMLError as error:
        raise RecipeError(str(file), [f"not readable as YAML: {error}"]) from None
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise RecipeError(str(file), problems) from None
