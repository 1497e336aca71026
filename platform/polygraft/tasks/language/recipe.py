"""`recipe.yaml` of a language adapter."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from polygraft.tasks.recipe import AdapterRecipe, LoraRecipe, RecipePart, TextFile


class UnlabelledText(TextFile):
    """Text of the language, or of the domain."""

    licence: str = Field("unknown", description="for the card")


class LanguageData(RecipePart):
    """Where the text comes from."""

    train: list[UnlabelledText] = Field(min_length=1)
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
    steps: int = Field(400, ge=1)
    tokens: int = Field(2048, ge=64, description="tokens a step at most, padding included")
    max_length: int = Field(
        64, ge=8, le=512, description="tokens a row at most; longer ones are left out"
    )
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    warmup: float = Field(0.06, ge=0, lt=1, description="share of steps")
    evaluations: int = Field(
        4, ge=1, description="how often dev is looked at; the best checkpoint is kept"
    )
    seed: int = 0
    bf16: bool | None = Field(
        None, description="left out: measured on this machine, the faster one is used"
    )


class LanguageRecipe(AdapterRecipe):
    """`recipe.yaml` of a language adapter: it reads a language, or a domain, and answers nothing by
    itself."""

    task: Literal["language"]
    data: LanguageData
    lora: LoraRecipe = LoraRecipe(r=32, alpha=32, dropout=0.0)
    training: LanguageTraining = LanguageTraining()


RECIPE = LanguageRecipe
