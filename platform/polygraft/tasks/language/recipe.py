"""`recipe.yaml` of a language adapter."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from polygraft.tasks.recipe import (
    AdapterRecipe,
    Alpha,
    Dropout,
    LoraRecipe,
    Rank,
    RecipePart,
    TextFile,
)


class UnlabelledText(TextFile):
    """Text of the language, or of the domain."""

    licence: str = Field(
        "unknown", description="licence of the text, for the card", examples=["CC-BY-4.0"]
    )


class LanguageData(RecipePart):
    """Where the text comes from."""

    train: list[UnlabelledText] = Field(
        min_length=1, description="text to learn from", examples=[[{"file": "sw.txt.gz"}]]
    )
    dev_rows: int = Field(
        300, ge=8, description="rows taken out of it, evenly spread: they choose the checkpoint"
    )


class LanguageTraining(RecipePart):
    """The loop, in steps of about `tokens` tokens."""

    objective: Literal["masked", "denoise"] = Field(
        "masked",
        description=(
            "masked: guess masked tokens; denoise: the frozen decoder writes the text from what is "
            "left of it"
        ),
    )
    steps: int = Field(400, ge=1, description="steps of training", examples=[2000])
    tokens: int = Field(2048, ge=64, description="tokens a step at most, padding included")
    max_length: int = Field(
        64, ge=8, le=512, description="tokens a row at most; longer ones are left out"
    )
    learning_rate: float = Field(1e-3, gt=0, description="of AdamW, at its highest")
    weight_decay: float = Field(0.0, ge=0, description="of AdamW", examples=[0.01])
    warmup: float = Field(
        0.06, ge=0, lt=1, description="share of the steps in which the learning rate rises"
    )
    evaluations: int = Field(
        4, ge=1, description="how often dev is looked at; the best checkpoint is kept"
    )
    seed: int = Field(0, description="of every draw", examples=[1])
    bf16: bool | None = Field(
        None,
        description="whether to compute in bfloat16; left out: measured on this machine, the "
        "faster one is used",
        examples=[False],
    )


EXAMPLE = """\
name: lang-mine              # what it is called by; its folder has the same name
task: language
languages: [sw]              # a code: sw, haw, pt-BR
data:
  train:                     # text without labels, a text a line; or a table, with column: text
    - {file: text.txt.gz, licence: CC-BY-4.0}
  dev_rows: 300              # of these, kept aside to choose the checkpoint
training: {steps: 400}
"""


class LanguageLora(LoraRecipe):
    """Low-rank update x·A·B·alpha/r (Hu et al. 2021, section 4.1)."""

    r: Rank = 32
    alpha: Alpha = 32
    dropout: Dropout = 0.0


class LanguageRecipe(AdapterRecipe):
    """`recipe.yaml` of a language adapter: it reads a language, or a domain, and answers nothing by
    itself."""

    example = EXAMPLE

    task: Literal["language"] = Field(
        description="what the adapter does: it reads a language, under a classifier",
        examples=["language"],
    )
    data: LanguageData = Field(examples=[{"train": [{"file": "sw.txt.gz"}]}])
    lora: LanguageLora = Field(LanguageLora(), examples=[{"r": 16, "alpha": 16}])
    training: LanguageTraining = Field(LanguageTraining(), examples=[{"steps": 2000}])


RECIPE = LanguageRecipe
