"""`recipe.yaml` of an adapter that answers with a sentence vector."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from polygraft.tasks.recipe import AdapterRecipe, Alpha, Dropout, LoraRecipe, Rank, RecipePart
from polygraft.tasks.translation.recipe import PairFiles

Dimension = Annotated[int, Field(ge=1, le=65_536)]


class EmbeddingData(RecipePart):
    """Where the pairs come from: two texts that mean the same, in two languages or in one."""

    train: list[PairFiles] = Field(
        [],
        description="pairs to learn from; none with strategy frozen",
        examples=[[{"source": "en", "target": "yo", "file": "train.tsv"}]],
    )
    dev: list[PairFiles] = Field(
        min_length=1,
        description="pairs that choose the checkpoint: of each, the one is looked for among all "
        "the others",
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


class EmbeddingTraining(RecipePart):
    """The loop. The loss is that of finding each pair's other side among those of the whole batch
    (van den Oord et al. 2018, InfoNCE), both ways."""

    steps: int = Field(300, ge=1, description="steps of training", examples=[1000])
    pairs: int = Field(64, ge=2, le=4_096, description="pairs a step", examples=[128])
    max_length: int = Field(
        64, ge=8, le=512, description="tokens a text at most; longer pairs are left out"
    )
    anchored: bool = Field(
        True,
        description="the first side keeps the vector that the bare backbone gives it, and the "
        "second moves there (Reimers & Gurevych 2020); false: both move",
        examples=[False],
    )
    neighbours: int = Field(
        3,
        ge=0,
        le=64,
        description="how many of a text's nearest others, by the bare backbone, stand in its "
        "batch: the hard ones to tell apart; 0: batches by chance",
        examples=[0],
    )
    temperature: float = Field(0.05, gt=0, le=1, description="of the softmax over the batch")
    learning_rate: float = Field(1e-3, gt=0, description="of AdamW, at its highest")
    weight_decay: float = Field(0.0, ge=0, description="of AdamW", examples=[0.01])
    warmup: float = Field(
        0.06, ge=0, lt=1, description="share of the steps in which the learning rate rises"
    )
    evaluations: int = Field(
        4, ge=1, description="how often dev is looked at; the best checkpoint is kept"
    )
    seeds: list[int] = Field(
        [0],
        min_length=1,
        description="one run for each; the best on dev is kept",
        examples=[[0, 1]],
    )
    bf16: bool | None = Field(
        None,
        description="whether to compute in bfloat16; left out: measured on this machine, the "
        "faster one is used",
        examples=[False],
    )


EXAMPLE = """\
name: embed-mine             # what it is called by; its folder has the same name
task: embedding
languages: [en, yo]          # codes: sw, haw, pt-BR
data:                        # tab-separated pairs that mean the same, one a line
  train: [{source: en, target: yo, file: train.tsv}]
  dev: [{source: en, target: yo, file: dev.tsv}]      # chooses the checkpoint
  test: [{source: en, target: yo, file: test.tsv}]    # scored once, at the end
dimensions: [384, 256, 128, 64]     # vectors may be cut to these
training: {steps: 300}
"""


class EmbeddingLora(LoraRecipe):
    """Low-rank update x·A·B·alpha/r (Hu et al. 2021, section 4.1)."""

    r: Rank = 16
    alpha: Alpha = 32
    dropout: Dropout = 0.0


class EmbeddingRecipe(AdapterRecipe):
    """`recipe.yaml` of an adapter that answers with a sentence vector."""

    example = EXAMPLE

    task: Literal["embedding"] = Field(
        description="what the adapter does: it answers with a vector", examples=["embedding"]
    )
    data: EmbeddingData = Field(
        examples=[
            {
                "train": [{"source": "en", "target": "yo", "file": "train.tsv"}],
                "dev": [{"source": "en", "target": "yo", "file": "dev.tsv"}],
            }
        ]
    )
    strategy: Literal["lora", "frozen"] = Field(
        "lora",
        description="lora: learn from pairs; frozen: the vectors of the bare backbone, measured on "
        "dev and test",
        examples=["frozen"],
    )
    dimensions: list[Dimension] = Field(
        [],
        description="lengths that a vector may be cut to, each learnt (Kusupati et al. 2022, "
        "Matryoshka); left out: only the whole vector",
        examples=[[384, 128, 64]],
    )
    lora: EmbeddingLora = Field(EmbeddingLora(), examples=[{"r": 32, "alpha": 64}])
    training: EmbeddingTraining = Field(EmbeddingTraining(), examples=[{"steps": 1000}])

    @model_validator(mode="after")
    def _data_fits_the_strategy(self) -> EmbeddingRecipe:
        if self.strategy == "lora" and not self.data.train:
            raise ValueError(
                "data.train is missing: give pairs to learn from, or strategy: frozen for the bare "
                "backbone's vectors"
            )
        if self.strategy == "frozen":
            spare = [
                name
                for name, given in (
                    ("data.train", self.data.train),
                    ("dimensions", self.dimensions),
                    ("parent", self.parent),
                )
                if given
            ]
            if spare:
                raise ValueError(
                    f"strategy frozen learns nothing: leave {', '.join(spare)} out, or strategy"
                )
        return self


RECIPE = EmbeddingRecipe
