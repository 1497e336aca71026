"""`recipe.yaml` of an adapter with a head."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from polygraft.adapters.layout import NAME
from polygraft.data.augment import Alteration
from polygraft.tasks.classification.manifest import MAX_DECISIONS, Wanted
from polygraft.tasks.recipe import AdapterRecipe, RecipePart, TextFile, TextRows


class LabelledText(TextRows):
    """Text of which every row has the same label: a corpus of one language, say. Several files are
    each read as one would be."""

    file: str | Annotated[list[str], Field(min_length=1)]
    label: str

    @property
    def files(self) -> list[TextFile]:
        """One a file."""
        names = [self.file] if isinstance(self.file, str) else self.file
        fields = self.model_dump(exclude={"file", "label"})
        return [TextFile(file=name, **fields) for name in names]


One = str | LabelledText
Source = Annotated[
    str | list[One],
    Field(
        description=(
            "a file, a URL, a Hub id `hub:owner/name[:config[:split]]`, or text with one label"
        )
    ),
]


class DataRecipe(RecipePart):
    """Where the rows come from. `${VAR}` in a source is an environment variable; relative paths
    start at the recipe."""

    train: Source
    dev: Source = Field(description="chooses the checkpoint; never the test set")
    test: Source | None = Field(
        None, description="scored once, after training; left out, dev is scored and says so"
    )
    text: str | list[str] = Field(
        "text", description="text column; several are joined by a newline"
    )
    label: str = Field("label", description="label column")
    id: str | None = Field(
        None, description="column shared by a message and its translations; checked for leaks"
    )
    licence: str = Field("unknown", description="licence of the data, for the card")
    on_leak: Literal["error", "drop"] = Field(
        "error", description="drop: remove training rows found in dev or test"
    )
    shots: int | None = Field(
        None, ge=1, description="train on so many rows a label, drawn anew for every seed"
    )
    augment: list[Alteration] = Field(
        [],
        description="each training row gets a copy that is altered in one of these ways: a snippet "
        "of it, a link behind it, letters that look alike, s p a c i n g, CAPITALS, short forms",
    )


class TrainingRecipe(RecipePart):
    """The loop. Defaults suit about a thousand short rows on two cores in two minutes."""

    epochs: float = Field(6, gt=0)
    batch_size: int = Field(32, ge=1)
    max_length: int = Field(
        96,
        ge=8,
        le=512,
        description="tokens of a window; a longer text is read in several, in training and when it "
        "is served, and their vectors are averaged",
    )
    learning_rate: float = Field(2e-3, gt=0, description="about ten times that of full fine-tuning")
    weight_decay: float = Field(0.01, ge=0)
    warmup: float = Field(0.06, ge=0, lt=1, description="share of steps")
    patience: int = Field(2, ge=1, description="epochs without a better dev score before it stops")
    class_weights: Literal["balanced", "none"] = Field(
        "balanced", description="balanced: inverse to class frequency"
    )
    seeds: list[int] = Field(
        [0], min_length=1, description="one run a seed; the best on dev is kept, all are reported"
    )
    bf16: bool | None = Field(
        None, description="left out: measured on this machine, the faster one is used"
    )
    report_to: list[str] = Field(
        [], description="passed to transformers' Trainer: tensorboard, wandb, mlflow ..."
    )


class SourceRows(RecipePart):
    """Rows of another adapter's recipe, trained on beside the target's: instance transfer."""

    adapter: str = Field(description="a name beside this one; its labels must be this recipe's")
    weight: Literal["auto"] | Annotated[float, Field(gt=0)] = Field(
        "auto",
        description="mean weight of a source row in the loss, a target row's is 1; auto: the one "
        "by which a linear head on "
        "both predicts held-out target rows best, none at all if that is 0",
    )
    by: Literal["even", "domain", "boosting"] = Field(
        "domain",
        description="even: all alike; domain: more for rows that look like the target's; boosting: "
        "less for those that "
        "contradict it",
    )


class DecisionRecipe(RecipePart):
    """What is to be decided: a label, with so much precision or so much recall."""

    label: str
    precision: Wanted | None = Field(
        None, description="of the rows that get it, the share that has the label"
    )
    recall: Wanted | None = Field(
        None, description="of the rows that have the label, the share that gets it"
    )

    @model_validator(mode="after")
    def _one_target(self) -> DecisionRecipe:
        if (self.precision is None) == (self.recall is None):
            given = "neither" if self.precision is None else "both"
            raise ValueError(f"wants precision or recall, exactly one of them; {given} is given")
        return self

    @property
    def target(self) -> dict[Literal["precision", "recall"], float]:
        if self.precision is not None:
            return {"precision": self.precision}
        assert self.recall is not None
        return {"recall": self.recall}


Strategy = Literal["head", "lora", "parent", "mixed", "zero-shot", "multi-task"]


class ClassificationRecipe(AdapterRecipe):
    """`recipe.yaml` of an adapter with a head."""

    task: Literal["classification"] = "classification"
    stack: list[str] = Field(
        [],
        description=(
            "language adapters it is trained on top of, frozen; exchanged when it is served "
            "(Pfeiffer et al. 2020)"
        ),
    )
    exchange: list[str] = Field(
        [],
        description=(
            "for zero-shot with a stack: what takes its place on the test rows, the target's "
            "language adapter"
        ),
    )
    strategy: Strategy | None = Field(
        None,
        description="head: a linear head on the frozen backbone, in seconds, beside the rows of "
        "`source` if there is one; "
        "lora: on these rows alone; parent: starts from another adapter; mixed: beside the rows of "
        "`source`; zero-shot: train "
        "and dev are a source language's, test is the target's; multi-task: beside the tasks of "
        "`tasks`, with a head each. "
        "Left out: parent when there is one, else lora",
    )
    source: SourceRows | None = Field(None, description="for mixed, and for head")
    tasks: list[str] = Field(
        [],
        description=(
            "for multi-task: classifiers beside this one, whose rows are drawn by their number"
        ),
    )
    labels: list[str] | None = Field(
        None, description="left out: the labels of the training rows, sorted"
    )
    lexical: Literal["auto", "none"] = Field(
        "auto",
        description="auto: TF-IDF of words and character n-grams stands beside the backbone's "
        "vector, with the weight that rows held out support; none: the neural part answers alone",
    )
    positive: str | None = Field(None, description="the label whose own F1 is reported too (spam)")
    decide: dict[str, DecisionRecipe] = Field(
        {},
        max_length=MAX_DECISIONS,
        description="names of decisions with what each promises, e.g. `block: {label: spam, "
        "precision: 0.99}`; a threshold is found for each, and an answer carries the first whose "
        "threshold its score reaches",
    )
    data: DataRecipe
    training: TrainingRecipe = TrainingRecipe()

    @property
    def builds_on(self) -> list[str]:
        return [*super().builds_on, *self.stack, *self.exchange]

    @model_validator(mode="after")
    def _cross_check(self) -> ClassificationRecipe:
        if self.labels is not None and len(set(self.labels)) != len(self.labels):
            raise ValueError(f"labels: {self.labels} repeats a label")
        if self.positive and self.labels and self.positive not in self.labels:
            raise ValueError(f"positive: {self.positive!r} is not among labels: {self.labels}")
        for name, decision in self.decide.items():
            if not NAME.fullmatch(name):
                raise ValueError(
                    f"decide: {name!r} is not a name: a-z, 0-9, '.', '_' and '-', at most 64"
                )
            if self.labels and decision.label not in self.labels:
                raise ValueError(
                    f"decide.{name}: {decision.label!r} is not among labels: {self.labels}"
                )
        needs = {
            "parent": self.parent,
            "mixed": self.source,
            "multi-task": self.tasks,
            "zero-shot": self.data.test,
        }
        if self.strategy in needs and not needs[self.strategy]:
            field = {"mixed": "source", "multi-task": "tasks", "zero-shot": "data.test"}.get(
                self.strategy, self.strategy
            )
            raise ValueError(f"strategy: {self.strategy} needs {field}")
        if self.strategy in ("head", "lora") and self.parent:
            raise ValueError(
                f"strategy: {self.strategy} starts from the bare backbone; leave parent out"
            )
        if self.exchange and not self.stack:
            raise ValueError("exchange: there is no stack to exchange")
        for field, users in (
            ("source", ("mixed", "head")),
            ("tasks", ("multi-task",)),
            ("exchange", ("zero-shot",)),
        ):
            if getattr(self, field) and self.strategy not in users:
                raise ValueError(f"{field}: only strategy {' or '.join(users)} uses it")
        return self


RECIPE = ClassificationRecipe
