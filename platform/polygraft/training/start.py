"""Which way a recipe is trained: the task decides, once, here."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polygraft.adapters.format import Manifest
from polygraft.tasks.classification import card, job, train
from polygraft.tasks.language import card as language_card
from polygraft.tasks.language import job as language_job
from polygraft.tasks.language import train as language_train
from polygraft.tasks.language.recipe import LanguageRecipe
from polygraft.tasks.recipe import load_recipe
from polygraft.tasks.translation import card as translation_card
from polygraft.tasks.translation import job as translation_job
from polygraft.tasks.translation import train as translation_train
from polygraft.tasks.translation.recipe import TranslationRecipe


@dataclass(frozen=True)
class Start:
    """A recipe that was checked. `rows` by split; `leaks` as the manifest will say; `answers` are its labels or directions;
    `train(output, full_ladder=, say=)` trains it; `figures` turns a manifest's metrics into Markdown."""

    name: str
    rows: dict[str, int]
    leaks: dict[str, Any]
    answers: list[str]
    train: Callable[..., Manifest]
    figures: Callable[[dict[str, Any]], str]


def start(file: Path, backbone: Path, *, allow_leak: str | None = None) -> Start:
    """Check everything that can be checked without training; `allow_leak` is the reason for which leaks may stay.

    Raises `RecipeError`, `DataError`, `BackboneError` or `AdapterError`.
    """
    recipe = load_recipe(file)
    if isinstance(recipe, TranslationRecipe):
        writing = translation_job.prepare(recipe, file, backbone, allow_leak=allow_leak)
        rows = {name: len(getattr(writing.pairs, name)) for name in ("train", "dev", "test")}
        answers = [" to ".join(direction) for direction in recipe.directions]
        run = functools.partial(translation_train.train, writing)
        return Start(recipe.name, rows, writing.pairs.leaks, answers, run, translation_card.figures_table)
    if isinstance(recipe, LanguageRecipe):
        language = language_job.prepare(recipe, file, backbone)
        rows = {"train": len(language.train), "dev": len(language.dev)}
        run = functools.partial(language_train.train, language)
        return Start(recipe.name, rows, {}, recipe.languages, run, language_card.figures_table)
    reading = job.prepare(recipe, file, backbone, allow_leak=allow_leak)
    splits = reading.splits
    rows = {name: len(split) for name in ("train", "dev", "test") if (split := getattr(splits, name))}
    run = functools.partial(train.train, reading)
    return Start(recipe.name, rows, splits.leaks, splits.labels, run, card.figures_table)
