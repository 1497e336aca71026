"""`recipe.yaml` of an adapter that writes text."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from polygraft.tasks.recipe import (
    AdapterRecipe,
    Alpha,
    Dropout,
    LoraRecipe,
    Rank,
    RecipePart,
)


class PairFiles(RecipePart):
    """Parallel text: one file with a pair a line, or two files line by line."""

    source: str = Field(description="language code of the first side", examples=["en"])
    target: str = Field(description="language code of the second side", examples=["yo"])
    file: str = Field(
        description=(
            "tab-separated pairs without a header; JSON Lines, CSV or `hub:` with `columns`; or "
            "the source side"
        ),
        examples=["train.tsv"],
    )
    target_file: str | None = Field(
        None,
        description="the target side, line by line; empty lines are skipped",
        examples=["train.yo"],
    )
    columns: tuple[str, str] | None = Field(
        None,
        description="names of the source and target columns",
        examples=[["english", "yoruba"]],
    )
    split_file: str | None = Field(
        None, description="names the split of each line; for two files", examples=["splits.txt"]
    )
    split: str = Field("train", description="the split to take, with split_file")
    weight: float = Field(
        1.0,
        gt=0,
        description="how often a row is drawn, against the other files' rows",
        examples=[0.5],
    )
    limit: int | None = Field(
        None, ge=1, description="so many rows at most, evenly spread", examples=[5000]
    )
    reverse: bool = Field(
        False, description="the file's columns are the other way round", examples=[True]
    )
    licence: str = Field(
        "unknown", description="licence of the data, for the card", examples=["CC-BY-4.0"]
    )


class TranslationData(RecipePart):
    """Where the pairs come from. Further pairs of languages in `train` (a parent's) are mixed in
    with their weight."""

    train: list[PairFiles] = Field(
        min_length=1,
        description="pairs to learn from; also of further languages, a parent's",
        examples=[[{"source": "en", "target": "yo", "file": "train.tsv"}]],
    )
    dev: list[PairFiles] = Field(
        min_length=1,
        description="pairs that choose the checkpoint; their languages are the directions of the "
        "adapter",
        examples=[[{"source": "en", "target": "yo", "file": "dev.tsv"}]],
    )
    test: list[PairFiles] = Field(
        [],
        description="pairs that are scored once, after training",
        examples=[[{"source": "en", "target": "yo", "file": "test.tsv"}]],
    )
    on_leak: Literal["error", "drop"] = Field(
        "error",
        description="what to do about training pairs with a side in dev or test. error: refuse; "
        "drop: leave them out of training",
        examples=["drop"],
    )


class BackTranslation(RecipePart):
    """Target-language text, translated by the starting model into the source language, as more
    training pairs with a true target side (Sennrich et al. 2016)."""

    file: str = Field(description="text, a sentence a line", examples=["yo.txt"])
    language: str = Field(
        description="of the text; the recipe must translate from it too, as with both_ways",
        examples=["yo"],
    )
    lines: int = Field(2000, ge=1, description="so many lines at most, evenly spread")
    weight: float = Field(
        1.0, gt=0, description="how often such a pair is drawn, against the other rows"
    )


def check_softmax(negatives: int, label_smoothing: float) -> None:
    """Raises `ValueError` for a loss that cannot be: smoothing needs the scores of all pieces."""
    if negatives and label_smoothing:
        raise ValueError(
            "label_smoothing spreads over all pieces, but negatives draws some: set one of them to "
            "0"
        )


class TranslationTraining(RecipePart):
    """The loop, in steps of about `tokens` tokens."""

    steps: int = Field(600, ge=1, description="steps of training", examples=[2000])
    tokens: int = Field(
        2048, ge=64, description="source plus target tokens a step at most, padding included"
    )
    max_length: int = Field(
        64,
        ge=8,
        le=512,
        description="tokens a sentence at most, on either side; longer pairs are left out",
    )
    learning_rate: float = Field(2e-3, gt=0, description="of AdamW, at its highest")
    weight_decay: float = Field(0.0, ge=0, description="of AdamW", examples=[0.01])
    warmup: float = Field(
        0.06, ge=0, lt=1, description="share of the steps in which the learning rate rises"
    )
    label_smoothing: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the target that is spread over all pieces; needs negatives: 0",
        examples=[0.1],
    )
    negatives: int = Field(
        2048,
        ge=0,
        description=(
            "pieces drawn for the softmax beside the batch's own, a third quicker; 0: all of them"
        ),
    )
    evaluations: int = Field(
        4, ge=1, description="how often dev is looked at; the best checkpoint is kept"
    )
    dev_rows: int = Field(
        400, ge=1, description="dev pairs a direction at most, for the loss and the figures"
    )
    test_rows: int = Field(1000, ge=1, description="test pairs a direction at most")
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

    @model_validator(mode="after")
    def _smoothing_needs_every_piece(self) -> TranslationTraining:
        check_softmax(self.negatives, self.label_smoothing)
        return self


EXAMPLE = """\
name: en-yo                  # what it is called by; its folder has the same name
task: translation
languages: [en, yo]          # those of dev
data:
  train:                     # tab-separated pairs; or a table, with columns: [english, yoruba]
    - {source: en, target: yo, file: train.tsv, licence: CC-BY-4.0}
  dev:                       # chooses the checkpoint; its languages are the directions
    - {source: en, target: yo, file: dev.tsv}
  test:                      # scored once, at the end
    - {source: en, target: yo, file: test.tsv}
parent: en-fr                # start from that adapter; leave it out to start from the bare backbone
training: {steps: 600}
"""


class TranslationLora(LoraRecipe):
    """Low-rank update x·A·B·alpha/r (Hu et al. 2021, section 4.1), of encoder and decoder."""

    r: Rank = 16
    alpha: Alpha = 32
    dropout: Dropout = 0.0


class TranslationRecipe(AdapterRecipe):
    """`recipe.yaml` of an adapter that writes text."""

    example = EXAMPLE

    task: Literal["translation"] = Field(
        description="what the adapter does: it translates", examples=["translation"]
    )
    both_ways: bool = Field(
        True,
        description="train and serve every direction of dev the other way round too",
        examples=[False],
    )
    data: TranslationData = Field(
        examples=[
            {
                "train": [{"source": "en", "target": "yo", "file": "train.tsv"}],
                "dev": [{"source": "en", "target": "yo", "file": "dev.tsv"}],
            }
        ]
    )
    back_translation: BackTranslation | None = Field(
        None, examples=[{"file": "yo.txt", "language": "yo"}]
    )
    stack: list[str] = Field(
        [],
        description="frozen translation adapters that it is trained on top of, and served with: "
        "one that was trained with the decoder on all of its languages",
        examples=[["mt"]],
    )
    lora: TranslationLora = Field(TranslationLora(), examples=[{"r": 8, "alpha": 16}])
    training: TranslationTraining = Field(TranslationTraining(), examples=[{"steps": 2000}])

    @property
    def builds_on(self) -> list[str]:
        return [*super().builds_on, *self.stack]

    @property
    def directions(self) -> list[tuple[str, str]]:
        """Source and target of every direction, in the order of dev."""
        forward = [(files.source, files.target) for files in self.data.dev]
        backward = [(target, source) for source, target in forward] if self.both_ways else []
        return list(dict.fromkeys(forward + backward))

    @property
    def back_direction(self) -> tuple[str, str] | None:
        """The direction in which the text of `back_translation` is translated; None when there is
        no such text, or no such direction."""
        if self.back_translation is None:
            return None
        language = self.back_translation.language
        return next((direction for direction in self.directions if direction[0] == language), None)

    @model_validator(mode="after")
    def _back_translation_has_a_direction(self) -> TranslationRecipe:
        if self.back_translation and self.back_direction is None:
            sources = ", ".join(dict.fromkeys(source for source, _ in self.directions))
            raise ValueError(
                "back_translation.language: this recipe does not translate from "
                f"{self.back_translation.language!r}, only from "
                f"{sources}; give one of those, or set both_ways: true"
            )
        return self

    @model_validator(mode="after")
    def _languages_are_those_of_the_data(self) -> TranslationRecipe:
        used = {language for direction in self.directions for language in direction}
        if used != set(self.languages):
            raise ValueError(f"languages: {self.languages}, but data.dev is of {sorted(used)}")
        return self


RECIPE = TranslationRecipe
