"""The pretraining recipe: what text, how many pieces, how long. Frozen; unknown keys are errors."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Corpus(_Frozen):
    """One parallel corpus in one or more languages."""

    path: str = Field(description="file under the data folder; {lang} stands for the language")
    layout: Literal["pairs", "aligned"]
    languages: list[str]
    weight: float = Field(1.0, gt=0, description="sampling weight of a row; general-domain text above scripture")
    english: str = Field("en", description="aligned: the English file's {lang}")
    split_file: str | None = Field(None, description="aligned: file of train/dev/... a line; only train is read")
    reverse: bool = Field(False, description="pairs: the English side is the second column")


class Monolingual(_Frozen):
    """Extra text that only the vocabulary sees."""

    path: str = "mono/{lang}.txt.gz"
    languages: list[str] = []


class Vocabulary(_Frozen):
    pieces: int = Field(22_000, ge=0, description="new word pieces at most")
    exponent: float = Field(0.4, gt=0, le=1, description="language sampling exponent when pieces are learnt")
    english_share: float = Field(0.2, description="a new piece used more often than this in English is dropped")


class Alignment(_Frozen):
    iterations: int = Field(5, ge=0, description="IBM model 1 EM rounds; 0 starts rows from their old spelling only")
    pairs: int = Field(400_000, description="pairs used at most")
    exponent: float = Field(0.6, gt=0, le=1, description="language sampling exponent")


class Distillation(_Frozen):
    draws: int = Field(300_000, description="training rows drawn in all")
    exponent: float = Field(0.4, gt=0, le=1, description="language sampling exponent")
    english_rate: float = Field(0.12, ge=0, le=1, description="share of rows in which the student reads the English side")
    tokens: int = Field(3072, description="tokens a batch at most, padding included")
    max_length: int = Field(64, description="tokens a row at most")
    rows_lr: float = Field(1e-3, description="learning rate of the new embedding rows")
    body_lr: float = Field(1e-4, description="learning rate of everything else")
    contrast: float = Field(0.5, ge=0, description="weight of the in-batch contrast beside the cosine loss")
    temperature: float = Field(0.05, gt=0)
    warmup: float = Field(0.03, ge=0, lt=1, description="share of steps")
    checkpoint_steps: int = 100


class PretrainRecipe(_Frozen):
    """`recipe.yaml` beside the backbone's weights."""

    name: str
    seed: int = 0
    case_feature: float = Field(0.1, ge=0, description="norm of a case vector against the token-type vector; 0: off")
    corpora: list[Corpus]
    monolingual: Monolingual = Monolingual()
    vocabulary: Vocabulary = Vocabulary()
    alignment: Alignment = Alignment()
    distillation: Distillation = Distillation()

    @classmethod
    def load(cls, path: Path) -> PretrainRecipe:
        return cls.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
