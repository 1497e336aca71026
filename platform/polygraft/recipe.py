"""The adapter recipes: the YAML file that says how an adapter is made.

Fields are documented where they are declared (`polygraft recipe` prints them). A bad recipe reports every
problem at once, each with its path. Does not read data or touch the backbone.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from polygraft.errors import RecipeError

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TextFile(_Frozen):
    """Text, a row a line, or one column of a table."""

    file: str
    column: Annotated[int, Field(ge=0)] | str | None = Field(
        None, description="position in a tab-separated file without a header, from 0; or a name in CSV, JSON Lines, Parquet"
    )
    limit: int | None = Field(None, ge=1, description="so many rows at most, evenly spread")
    most_characters: int = Field(400, ge=1, description="longer texts are left out")


class LabelledText(TextFile):
    """Text of which every row has the same label: a corpus of one language, say."""

    label: str


One = str | LabelledText
Source = Annotated[
    str | list[One], Field(description="a file, a URL, a Hub id `hub:owner/name[:config[:split]]`, or text with one label")
]


class DataRecipe(_Frozen):
    """Where the rows come from. `${VAR}` in a source is an environment variable; relative paths start at the recipe."""

    train: Source
    dev: Source = Field(description="chooses the checkpoint; never the test set")
    test: Source | None = Field(None, description="scored once, after training; left out, dev is scored and says so")
    text: str | list[str] = Field("text", description="text column; several are joined by a newline")
    label: str = Field("label", description="label column")
    id: str | None = Field(None, description="column shared by a message and its translations; checked for leaks")
    licence: str = Field("unknown", description="licence of the data, for the card")
    on_leak: Literal["error", "drop"] = Field("error", description="drop: remove training rows found in dev or test")
    shots: int | None = Field(None, ge=1, description="train on so many rows a label, drawn anew for every seed")


class LoraRecipe(_Frozen):
    """Low-rank update x·A·B·alpha/r (Hu et al. 2021, section 4.1)."""

    r: int = Field(8, ge=1, le=64, description="rank")
    alpha: float = Field(16, gt=0, description="scales the update by alpha/r")
    dropout: float = Field(0.05, ge=0, lt=1, description="on the input of A, while training")
    sites: str | list[str] = Field(
        "all", description="all: every site the backbone's graph carries; or name endings such as [query, value]"
    )
    layers: list[int] | None = Field(None, description="only these of the encoder's layers, from 0; left out: all of them")


class TrainingRecipe(_Frozen):
    """The loop. Defaults suit about a thousand short rows on two cores in two minutes."""

    epochs: float = Field(6, gt=0)
    batch_size: int = Field(32, ge=1)
    max_length: int = Field(96, ge=8, le=512, description="tokens a row while training")
    learning_rate: float = Field(2e-3, gt=0, description="about ten times that of full fine-tuning")
    weight_decay: float = Field(0.01, ge=0)
    warmup: float = Field(0.06, ge=0, lt=1, description="share of steps")
    patience: int = Field(2, ge=1, description="epochs without a better dev score before it stops")
    class_weights: Literal["balanced", "none"] = Field("balanced", description="balanced: inverse to class frequency")
    seeds: list[int] = Field([0], min_length=1, description="one run a seed; the best on dev is kept, all are reported")
    bf16: bool | None = Field(None, description="left out: measured on this machine, the faster one is used")
    report_to: list[str] = Field([], description="passed to transformers' Trainer: tensorboard, wandb, mlflow ...")


class _AdapterRecipe(_Frozen):
    """What every adapter's recipe has."""

    name: str
    languages: list[str] = Field(min_length=1, description="ISO 639 codes")
    description: str = ""
    parent: str | None = Field(None, description="adapter to start from: a name beside this one, or a folder")
    lora: LoraRecipe = LoraRecipe()

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if not NAME.fullmatch(value):
            raise ValueError(f"{value!r} is not a name: use a-z, 0-9, '.', '_' and '-', at most 64 characters")
        return value


class SourceRows(_Frozen):
    """Rows of another adapter's recipe, trained on beside the target's: instance transfer."""

    adapter: str = Field(description="a name beside this one; its labels must be this recipe's")
    weight: Literal["auto"] | Annotated[float, Field(gt=0)] = Field(
        "auto",
        description="mean weight of a source row in the loss, a target row's is 1; auto: the one by which a linear head on "
        "both predicts held-out target rows best, none at all if that is 0",
    )
    by: Literal["even", "domain", "boosting"] = Field(
        "domain",
        description="even: all alike; domain: more for rows that look like the target's; boosting: less for those that "
        "contradict it",
    )


Strategy = Literal["head", "lora", "parent", "mixed", "zero-shot", "multi-task"]


class Recipe(_AdapterRecipe):
    """`recipe.yaml` of an adapter with a head."""

    task: Literal["classification"] = "classification"
    stack: list[str] = Field(
        [], description="language adapters it is trained on top of, frozen; exchanged when it is served (Pfeiffer et al. 2020)"
    )
    exchange: list[str] = Field(
        [], description="for zero-shot with a stack: what takes its place on the test rows, the target's language adapter"
    )
    strategy: Strategy | None = Field(
        None,
        description="head: a linear head on the frozen backbone, in seconds, beside the rows of `source` if there is one; "
        "lora: on these rows alone; parent: starts from another adapter; mixed: beside the rows of `source`; zero-shot: train "
        "and dev are a source language's, test is the target's; multi-task: beside the tasks of `tasks`, with a head each. "
        "Left out: parent when there is one, else lora",
    )
    source: SourceRows | None = Field(None, description="for mixed, and for head")
    tasks: list[str] = Field(
        [], description="for multi-task: classifiers beside this one, whose rows are drawn by their number"
    )
    labels: list[str] | None = Field(None, description="left out: the labels of the training rows, sorted")
    positive: str | None = Field(None, description="the label whose own F1 is reported too (spam)")
    data: DataRecipe
    training: TrainingRecipe = TrainingRecipe()

    @model_validator(mode="after")
    def _cross_check(self) -> Recipe:
        if self.labels is not None and len(set(self.labels)) != len(self.labels):
            raise ValueError(f"labels: {self.labels} repeats a label")
        if self.positive and self.labels and self.positive not in self.labels:
            raise ValueError(f"positive: {self.positive!r} is not among labels: {self.labels}")
        needs = {"parent": self.parent, "mixed": self.source, "multi-task": self.tasks, "zero-shot": self.data.test}
        if self.strategy in needs and not needs[self.strategy]:
            field = {"mixed": "source", "multi-task": "tasks", "zero-shot": "data.test"}.get(self.strategy, self.strategy)
            raise ValueError(f"strategy: {self.strategy} needs {field}")
        if self.strategy in ("head", "lora") and self.parent:
            raise ValueError(f"strategy: {self.strategy} starts from the bare backbone; leave parent out")
        if self.exchange and not self.stack:
            raise ValueError("exchange: there is no stack to exchange")
        for field, users in (("source", ("mixed", "head")), ("tasks", ("multi-task",)), ("exchange", ("zero-shot",))):
            if getattr(self, field) and self.strategy not in users:
                raise ValueError(f"{field}: only strategy {' or '.join(users)} uses it")
        return self


class PairFiles(_Frozen):
    """Parallel text: one file with a pair a line, or two files line by line."""

    source: str = Field(description="language code of the first side")
    target: str = Field(description="language code of the second side")
    file: str = Field(
        description="tab-separated pairs without a header; JSON Lines, CSV or `hub:` with `columns`; or the source side"
    )
    target_file: str | None = Field(None, description="the target side, line by line; empty lines are skipped")
    columns: tuple[str, str] | None = Field(None, description="names of the source and target columns")
    split_file: str | None = Field(None, description="names the split of each line; for two files")
    split: str = Field("train", description="the split to take, with split_file")
    weight: float = Field(1.0, gt=0, description="how often a row is drawn, against the other files' rows")
    limit: int | None = Field(None, ge=1, description="so many rows at most, evenly spread")
    reverse: bool = Field(False, description="the file's columns are the other way round")
    licence: str = Field("unknown", description="for the card")


class TranslationData(_Frozen):
    """Where the pairs come from. Further pairs of languages in `train` (a parent's) are mixed in with their weight."""

    train: list[PairFiles] = Field(min_length=1)
    dev: list[PairFiles] = Field(min_length=1, description="its languages are the directions of the adapter")
    test: list[PairFiles] = []
    on_leak: Literal["error", "drop"] = Field("error", description="drop: remove training pairs with a side in dev or test")


class BackTranslation(_Frozen):
    """Target-language text, translated by the starting model into the source language, as more training pairs with a true
    target side (Sennrich et al. 2016)."""

    file: str = Field(description="text, a sentence a line")
    language: str = Field(description="of the text; the recipe must translate from it too, as with both_ways")
    lines: int = Field(2000, ge=1, description="so many lines at most, evenly spread")
    weight: float = Field(1.0, gt=0)


def check_softmax(negatives: int, label_smoothing: float) -> None:
    """Raises `ValueError` for a loss that cannot be: smoothing needs the scores of all pieces."""
    if negatives and label_smoothing:
        raise ValueError("label_smoothing spreads over all pieces, but negatives draws some: set one of them to 0")


class TranslationTraining(_Frozen):
    """The loop, in steps of about `tokens` tokens."""

    steps: int = Field(600, ge=1)
    tokens: int = Field(2048, ge=64, description="source plus target tokens a step at most, padding included")
    max_length: int = Field(
        64, ge=8, le=512, description="tokens a sentence at most, on either side; longer pairs are left out"
    )
    learning_rate: float = Field(2e-3, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    warmup: float = Field(0.06, ge=0, lt=1, description="share of steps")
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    negatives: int = Field(
        2048, ge=0, description="pieces drawn for the softmax beside the batch's own, a third quicker; 0: all of them"
    )
    evaluations: int = Field(4, ge=1, description="how often dev is looked at; the best checkpoint is kept")
    dev_rows: int = Field(400, ge=1, description="dev pairs a direction at most, for the loss and the figures")
    test_rows: int = Field(1000, ge=1, description="test pairs a direction at most")
    seeds: list[int] = Field([0], min_length=1)
    bf16: bool | None = Field(None, description="left out: measured on this machine, the faster one is used")

    @model_validator(mode="after")
    def _smoothing_needs_every_piece(self) -> TranslationTraining:
        check_softmax(self.negatives, self.label_smoothing)
        return self


class TranslationRecipe(_AdapterRecipe):
    """`recipe.yaml` of an adapter that writes text."""

    task: Literal["translation"]
    both_ways: bool = Field(True, description="train and serve every direction of dev the other way round too")
    data: TranslationData
    back_translation: BackTranslation | None = None
    lora: LoraRecipe = LoraRecipe(r=16, alpha=32, dropout=0.0)
    training: TranslationTraining = TranslationTraining()

    @property
    def directions(self) -> list[tuple[str, str]]:
        """Source and target of every direction, in the order of dev."""
        there = [(one.source, one.target) for one in self.data.dev]
        back = [(b, a) for a, b in there] if self.both_ways else []
        return list(dict.fromkeys(there + back))

    @property
    def back_direction(self) -> tuple[str, str] | None:
        """The direction in which the text of `back_translation` is translated; None when there is no such text, or no such
        direction."""
        text = self.back_translation
        return next((direction for direction in self.directions if text and direction[0] == text.language), None)

    @model_validator(mode="after")
    def _back_translation_has_a_direction(self) -> TranslationRecipe:
        if self.back_translation and self.back_direction is None:
            sources = ", ".join(dict.fromkeys(source for source, _ in self.directions))
            raise ValueError(
                f"back_translation.language: this recipe does not translate from {self.back_translation.language!r}, only from "
                f"{sources}; give one of those, or set both_ways: true"
            )
        return self

    @model_validator(mode="after")
    def _languages_are_those_of_the_data(self) -> TranslationRecipe:
        used = {language for direction in self.directions for language in direction}
        if used != set(self.languages):
            raise ValueError(f"languages: {self.languages}, but data.dev is of {sorted(used)}")
        return self


class UnlabelledText(TextFile):
    """Text of the language, or of the domain."""

    licence: str = Field("unknown", description="for the card")


class LanguageData(_Frozen):
    """Where the text comes from."""

    train: list[UnlabelledText] = Field(min_length=1)
    dev_rows: int = Field(300, ge=8, description="rows taken out of it, evenly spread: they choose the checkpoint")


class LanguageTraining(_Frozen):
    """The loop, in steps of about `tokens` tokens."""

    objective: Literal["masked", "denoise"] = Field(
        "masked", description="masked: guess masked tokens; denoise: the frozen decoder writes the text from what is left of it"
    )
    steps: int = Field(400, ge=1)
    tokens: int = Field(2048, ge=64, description="tokens a step at most, padding included")
    max_length: int = Field(64, ge=8, le=512, description="tokens a row at most; longer ones are left out")
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    warmup: float = Field(0.06, ge=0, lt=1, description="share of steps")
    evaluations: int = Field(4, ge=1, description="how often dev is looked at; the best checkpoint is kept")
    seed: int = 0
    bf16: bool | None = Field(None, description="left out: measured on this machine, the faster one is used")


class LanguageRecipe(_AdapterRecipe):
    """`recipe.yaml` of a language adapter: it reads a language, or a domain, and answers nothing by itself."""

    task: Literal["language"]
    data: LanguageData
    lora: LoraRecipe = LoraRecipe(r=32, alpha=32, dropout=0.0)
    training: LanguageTraining = LanguageTraining()


AnyRecipe = Recipe | TranslationRecipe | LanguageRecipe
KINDS: dict[str, type[Recipe] | type[TranslationRecipe] | type[LanguageRecipe]] = {
    "classification": Recipe, "translation": TranslationRecipe, "language": LanguageRecipe,
}  # fmt: skip


def load_recipe(path: Path) -> AnyRecipe:
    """Read and check a recipe. Raises `RecipeError` with every problem and its path."""
    try:
        raw: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(str(path), ["no such file; give the path of a recipe.yaml"]) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(str(path), [f"not readable as YAML: {error}"]) from None
    if not isinstance(raw, dict):
        raise RecipeError(str(path), ["the file must hold a mapping (name: ..., data: ...)"])
    try:
        return KINDS.get(str(raw.get("task")), Recipe).model_validate(raw)
    except ValidationError as error:
        raise RecipeError(str(path), [_problem(e) for e in error.errors()]) from None


def _problem(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"] if part not in ("str", "list[str]")) or "recipe"
    message = error["msg"].removeprefix("Value error, ")
    given = "" if error["type"] in ("missing", "extra_forbidden", "value_error") else f" (given: {error['input']!r})"
    return f"{where}: {message}{given}"


def expand(source: str, folder: Path) -> str:
    """Replace `${VAR}` and make a plain relative path relative to `folder`. Raises `KeyError` for an unset variable."""
    full = re.sub(r"\$\{(\w+)\}", lambda m: os.environ[m.group(1)], source)
    if full.startswith("hub:") or "://" in full:
        return full
    return str((folder / full).resolve())
