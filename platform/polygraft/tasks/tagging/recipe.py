"""`recipe.yaml` of an adapter that tags words."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from polygraft.tasks.recipe import AdapterRecipe, RecipePart

LORA_EPOCHS, HEAD_EPOCHS = 3, 6
Source = Annotated[
    str | Annotated[list[str], Field(min_length=1)],
    Field(
        description="a file or URL, compressed or not, or several: JSON Lines (.jsonl) with words "
        "and tags, or with text and spans; anything else is CoNLL, a word a line",
        examples=["train.conll"],
    ),
]


class TaggingDataRecipe(RecipePart):
    """Where the rows come from. `${VAR}` in a source is an environment variable; relative paths
    start at the recipe."""

    train: Source
    dev: Source = Field(
        description="rows that choose the checkpoint; never the test set", examples=["dev.conll"]
    )
    test: Source | None = Field(
        None,
        description="rows that are scored once, after training; left out, dev is scored and the "
        "card says so",
        examples=["test.conll"],
    )
    tokens: str = Field("tokens", description="of JSON Lines with words: the field of the words")
    tags: str = Field("tags", description="of JSON Lines with words: the field of their tags")
    text: str = Field("text", description="of JSON Lines with spans: the field of the text")
    spans: str = Field(
        "spans",
        description='of JSON Lines with spans: the field of the spans, each {"start", "end", '
        '"label"}, in code points of the text, end not included',
    )
    word_column: int = Field(
        0, description="of CoNLL: the column of the word, from 0", examples=[1]
    )
    tag_column: int = Field(
        -1, description="of CoNLL: the column of the tag, from 0; -1: the last", examples=[3]
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
    sentences: int | None = Field(
        None,
        ge=1,
        description="train on so many rows, drawn anew for every seed; left out: all",
        examples=[100],
    )


class TaggingTrainingRecipe(RecipePart):
    """The loop. Defaults suit some thousand sentences on one core in ten minutes."""

    epochs: int | None = Field(
        None,
        ge=1,
        description="how often the training rows are gone through at most; left out: 3, and 6 of "
        "strategy head",
        examples=[3],
    )
    batch_size: int = Field(32, ge=1, description="rows a step", examples=[16])
    max_length: int = Field(
        128,
        ge=16,
        le=512,
        description="tokens of a window; a longer text is read in several that overlap by a "
        "quarter, in training and when it is served",
    )
    learning_rate: float = Field(2e-3, gt=0, description="of AdamW, at its highest")
    weight_decay: float = Field(0.01, ge=0, description="of AdamW")
    warmup: float = Field(
        0.06, ge=0, lt=1, description="share of the steps in which the learning rate rises"
    )
    patience: int = Field(2, ge=1, description="epochs without a better dev score before it stops")
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


EXAMPLE = """\
name: ner-mine               # what it is called by; its folder has the same name
task: tagging
languages: [sw]              # codes: en, sw, haw, pt-BR
data:
  train: train.conll         # a word a line, the tag in the last column; or .jsonl
  dev: dev.conll             # chooses what is kept; never the test rows
  test: test.conll           # scored once, at the end
  licence: CC-BY-4.0         # of the data, for the card
strategy: lora               # minutes; head takes seconds and reads the frozen backbone
"""


class TaggingRecipe(AdapterRecipe):
    """`recipe.yaml` of an adapter that tags words."""

    example = EXAMPLE

    task: Literal["tagging"] = Field(
        description="what the adapter does: it finds spans in a text, or gives every word a tag",
        examples=["tagging"],
    )
    strategy: Literal["head", "lora", "parent"] | None = Field(
        None,
        description="head: a chain over the frozen backbone's states and the words' features, in "
        "a minute; lora: with LoRA, on these rows alone; parent: starts from another tagger. Left "
        "out: parent when there is one, else lora",
        examples=["head"],
    )
    scheme: Literal["auto", "BIO", "BIOES", "none"] = Field(
        "auto",
        description="how tags say where a span begins and ends; none: a tag a word, such as parts "
        "of speech. auto: what the training tags look like. Tags that the scheme does not allow "
        "are repaired: an I- or E- whose span is not open begins one",
        examples=["BIO"],
    )
    labels: list[str] | None = Field(
        None,
        description="every label, without prefixes, in the order of the answers; left out: those "
        "of the training rows, sorted",
        examples=[["PER", "ORG", "LOC"]],
    )
    lexical: Literal["auto", "none"] = Field(
        "auto",
        description="auto: what is known of a word by its letters, its shape and its neighbours "
        "stands beside the backbone's state; none: the neural part answers alone",
        examples=["none"],
    )
    data: TaggingDataRecipe = Field(examples=[{"train": "train.conll", "dev": "dev.conll"}])
    training: TaggingTrainingRecipe = Field(
        TaggingTrainingRecipe(), examples=[{"epochs": 3, "seeds": [0, 1, 2]}]
    )

    @model_validator(mode="after")
    def _cross_check(self) -> TaggingRecipe:
        if self.labels is not None and len(set(self.labels)) != len(self.labels):
            raise ValueError(f"labels: {self.labels} repeats a label")
        if self.strategy == "parent" and not self.parent:
            raise ValueError("strategy: parent needs parent")
        if self.strategy in ("head", "lora") and self.parent:
            raise ValueError(
                f"strategy: {self.strategy} starts from the bare backbone, not from parent: "
                f"{self.parent}; write strategy: parent, or leave out the line that is not meant"
            )
        return self

    @property
    def epochs(self) -> int:
        """How often the rows are gone through."""
        return self.training.epochs or (LORA_EPOCHS if self.trains_lora else HEAD_EPOCHS)

    @property
    def trains_lora(self) -> bool:
        """Whether anything in the backbone moves."""
        return self.strategy != "head"


RECIPE = TaggingRecipe
