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

    file: str | Annotated[list[str], Field(min_length=1)] = Field(
        description="the file's name, or several", examples=["sw.txt.gz"]
    )
    label: str = Field(description="the label of every row of the file", examples=["sw"])

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
            "a file, a URL, a Hub id `hub:owner/name[:config[:split]]`, or text with one label; "
            "one or a list"
        ),
        examples=["train.csv"],
    ),
]


class DataRecipe(RecipePart):
    """Where the rows come from. `${VAR}` in a source is an environment variable; relative paths
    start at the recipe."""

    train: Source
    dev: Source = Field(
        description="rows that choose the checkpoint; never the test set", examples=["dev.csv"]
    )
    test: Source | None = Field(
        None,
        description="rows that are scored once, after training; left out, dev is scored and the "
        "card says so",
        examples=["test.csv"],
    )
    text: str | list[str] = Field(
        "text",
        description="text column; several are joined by a newline",
        examples=[["title", "body"]],
    )
    label: str = Field("label", description="label column")
    id: str | None = Field(
        None,
        description="column shared by a message and its translations; checked for leaks",
        examples=["message_id"],
    )
    licence: str = Field(
        "unknown", description="licence of the data, for the card", examples=["CC-BY-4.0"]
    )
    on_leak: Literal["error", "drop"] = Field(
        "error",
        description="what to do about training rows that stand in dev or test too. error: refuse; "
        "drop: leave them out of training",
        examples=["drop"],
    )
    shots: int | None = Field(
        None,
        ge=1,
        description="train on so many rows a label, drawn anew for every seed; left out: all",
        examples=[10],
    )
    augment: list[Alteration] = Field(
        [],
        description="each training row gets a copy that is altered in one of these ways: a snippet "
        "of it, a link behind it, letters that look alike, s p a c i n g, CAPITALS, short forms",
        examples=[["links", "capitals"]],
    )
    share_vectors: bool = Field(
        True,
        description="keep vectors of training rows with their labels in the adapter's folder, from "
        "which other adapters can learn; false where the licence of the data forbids it",
    )


class TrainingRecipe(RecipePart):
    """The loop. Defaults suit about a thousand short rows on two cores in two minutes."""

    epochs: float = Field(
        6,
        gt=0,
        description="how often the training rows are gone through at most; it stops earlier when "
        "dev no longer improves (patience)",
        examples=[3],
    )
    batch_size: int = Field(32, ge=1, description="rows a step", examples=[16])
    max_length: int = Field(
        96,
        ge=8,
        le=512,
        description="tokens of a window; a longer text is read in several, in training and when it "
        "is served, and their vectors are averaged",
    )
    learning_rate: float = Field(
        2e-3, gt=0, description="of AdamW, at its highest; about ten times that of full fine-tuning"
    )
    weight_decay: float = Field(0.01, ge=0, description="of AdamW")
    warmup: float = Field(
        0.06, ge=0, lt=1, description="share of the steps in which the learning rate rises"
    )
    patience: int = Field(2, ge=1, description="epochs without a better dev score before it stops")
    class_weights: Literal["balanced", "none"] = Field(
        "balanced",
        description="how much a row of a label counts in the loss. balanced: inverse to how many "
        "rows have it; none: all alike",
        examples=["none"],
    )
    seeds: list[int] = Field(
        [0],
        min_length=1,
        description="one run a seed; the best on dev is kept, all are reported",
        examples=[[0, 1, 2]],
    )
    bf16: bool | None = Field(
        None,
        description="whether to compute in bfloat16; left out: measured on this machine, the "
        "faster one is used",
        examples=[False],
    )
    report_to: list[str] = Field(
        [],
        description="passed to transformers' Trainer: tensorboard, wandb, mlflow ...",
        examples=[["tensorboard"]],
    )


class SourceRows(RecipePart):
    """Rows that another adapter was trained on, trained on beside the target's: instance
    transfer."""

    adapter: str = Field(
        description="name of the adapter; rows with a label that this recipe lacks are left out",
        examples=["questions-en"],
    )
    labels: dict[str, str | list[str]] = Field(
        {},
        description="where the other adapter names labels differently: a label of this recipe, and "
        "the other's name for it, or several",
        examples=[{"sport": "sports"}],
    )
    weight: Literal["auto"] | Annotated[float, Field(gt=0)] = Field(
        "auto",
        description="mean weight of a source row in the loss, a target row's is 1; auto: the one "
        "by which a linear head on "
        "both predicts held-out target rows best, none at all if that is 0",
        examples=[0.5],
    )
    by: Literal["even", "domain", "boosting"] = Field(
        "domain",
        description="even: all alike; domain: more for rows that look like the target's; boosting: "
        "less for those that "
        "contradict it",
        examples=["even"],
    )


class DecisionRecipe(RecipePart):
    """What is to be decided: a label, with so much precision or so much recall."""

    label: str = Field(description="the label that is decided on", examples=["spam"])
    precision: Wanted | None = Field(
        None,
        description="of the rows that get it, the share that has the label",
        examples=[0.99],
    )
    recall: Wanted | None = Field(
        None,
        description="of the rows that have the label, the share that gets it",
        examples=[0.95],
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


EXAMPLE = """\
name: spam-mine              # what it is called by; its folder has the same name
languages: [en]              # codes: en, sw, haw, pt-BR
data:
  train: train.csv           # CSV, TSV, JSON Lines, Parquet, a URL, hub:owner/name; or a list
  dev: dev.csv               # chooses what is kept; never the test rows
  test: test.csv             # scored once, at the end
  text: text                 # the column of the text; several: [title, body]
  label: label               # the column of the label
  licence: CC-BY-4.0         # of the data, for the card
positive: spam               # the label that is looked for; leave it out where there is none
strategy: head               # seconds; lora takes minutes. Which suits your rows: polygraft advise
# source: {adapter: spam-en} # with strategy head: learn from that adapter's rows too
# decide: {block: {label: spam, precision: 0.99}}    # an answer says so where 99% of it is spam
"""

Strategy = Literal["head", "lora", "parent", "mixed", "zero-shot", "multi-task"]


class ClassificationRecipe(AdapterRecipe):
    """`recipe.yaml` of an adapter with a head."""

    example = EXAMPLE

    task: Literal["classification"] = Field(
        "classification", description="what the adapter does: it gives a text one of its labels"
    )
    stack: list[str] = Field(
        [],
        description=(
            "language adapters it is trained on top of, frozen; exchanged when it is served "
            "(Pfeiffer et al. 2020)"
        ),
        examples=[["lang-en"]],
    )
    exchange: list[str] = Field(
        [],
        description=(
            "for zero-shot with a stack: what takes its place on the test rows, the target's "
            "language adapter"
        ),
        examples=[["lang-yo"]],
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
        examples=["head"],
    )
    source: SourceRows | None = Field(
        None,
        description="another adapter whose rows are learnt from too; for mixed, and for head",
        examples=[{"adapter": "questions-en"}],
    )
    tasks: list[str] = Field(
        [],
        description=(
            "for multi-task: classifiers beside this one, whose rows are drawn by their number"
        ),
        examples=[["topic", "spam-en"]],
    )
    labels: list[str] | None = Field(
        None,
        description="every label, in the order of the answers; left out: the labels of the "
        "training rows, sorted",
        examples=[["ham", "spam"]],
    )
    lexical: Literal["auto", "none"] = Field(
        "auto",
        description="auto: TF-IDF of words and character n-grams stands beside the backbone's "
        "vector, with the weight that rows held out support; none: the neural part answers alone",
        examples=["none"],
    )
    positive: str | None = Field(
        None,
        description="the label that is looked for, whose own F1 is reported too",
        examples=["spam"],
    )
    decide: dict[str, DecisionRecipe] = Field(
        {},
        max_length=MAX_DECISIONS,
        description="names of decisions with what each promises, e.g. `block: {label: spam, "
        "precision: 0.99}`; a threshold is found for each, and an answer carries the first whose "
        "threshold its score reaches",
        examples=[{"block": {"label": "spam", "precision": 0.99}}],
    )
    data: DataRecipe = Field(examples=[{"train": "train.csv", "dev": "dev.csv"}])
    training: TrainingRecipe = Field(TrainingRecipe(), examples=[{"epochs": 3, "seeds": [0, 1, 2]}])

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
                f"strategy: {self.strategy} starts from the bare backbone, not from parent: "
                f"{self.parent}; write strategy: parent, or leave out the line that is not meant"
            )
        if self.exchange and not self.stack:
            raise ValueError("exchange: there is no stack to exchange")
        for field, users in (
            ("source", ("head", "mixed")),
            ("tasks", ("multi-task",)),
            ("exchange", ("zero-shot",)),
        ):
            if getattr(self, field) and self.strategy not in users:
                given = f"it is {self.strategy}" if self.strategy else "none is given"
                raise ValueError(
                    f"{field}: only strategy {' or '.join(users)} uses it, and {given}; write "
                    f"strategy: {users[0]}, or leave {field} out"
                )
        return self


RECIPE = ClassificationRecipe
