"""The pretraining recipe: what text, how many pieces, how long. Frozen; unknown keys are errors."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from polygraft.errors import RecipeError, problems_of
from polygraft.tasks.recipe import LoraRecipe, RecipePart
from polygraft.tasks.translation.recipe import check_softmax


class Corpus(RecipePart):
    """One parallel corpus in one or more languages."""

    path: str = Field(description="file under the data folder; {lang} stands for the language")
    layout: Literal["pairs", "aligned", "records"]
    languages: list[str]
    weight: float = Field(
        1.0, gt=0, description="sampling weight of a row; general-domain text above scripture"
    )
    english: str = Field("en", description="aligned, records: the English file's {lang}")
    split_file: str | None = Field(None, description="aligned: file of train/dev/... a line")
    split: str = Field("train", description="aligned with a split file: the lines to read")
    reverse: bool = Field(False, description="pairs: the English side is the second column")
    domain: str | None = Field(
        None, description="a domain of `seq2seq.domains`; left out: general text, never tagged"
    )


class Monolingual(RecipePart):
    """Extra text of one language: the vocabulary sees it, and the second stage restores it and
    translates it back."""

    path: str = "mono/{lang}.txt.gz"
    layout: Literal["lines", "articles"] = Field(
        "lines",
        description="lines: a text a line; articles: JSON Lines, `text` is cut into sentences",
    )
    languages: list[str] = Field([])


class Vocabulary(RecipePart):
    pieces: int = Field(22_000, ge=0, description="new word pieces at most")
    exponent: float = Field(
        0.4, gt=0, le=1, description="language sampling exponent when pieces are learnt"
    )
    lines: int = Field(
        300_000, description="about so many lines of 100 characters are read to learn them"
    )
    english_share: float = Field(
        0.2, description="a new piece used more often than this in English is dropped"
    )


class Alignment(RecipePart):
    iterations: int = Field(
        5, ge=0, description="IBM model 1 EM rounds; 0 starts rows from their old spelling only"
    )
    pairs: int = Field(400_000, description="pairs used at most")
    exponent: float = Field(0.6, gt=0, le=1, description="language sampling exponent")


class Distillation(RecipePart):
    draws: int = Field(300_000, description="training rows drawn in all")
    exponent: float = Field(0.4, gt=0, le=1, description="language sampling exponent")
    english_rate: float = Field(
        0.12, ge=0, le=1, description="share of rows in which the student reads the English side"
    )
    tokens: int = Field(3072, description="tokens a batch at most, padding included")
    max_length: int = Field(64, description="tokens a row at most")
    rows_lr: float = Field(1e-3, description="learning rate of the new embedding rows")
    body_lr: float = Field(1e-4, description="learning rate of everything else")
    contrast: float = Field(
        0.5, ge=0, description="weight of the in-batch contrast beside the cosine loss"
    )
    temperature: float = Field(0.05, gt=0)
    warmup: float = Field(0.03, ge=0, lt=1, description="share of steps")
    checkpoint_steps: int = 100


class DecoderRecipe(RecipePart):
    """The decoder and its vocabulary."""

    layers: int = Field(3, ge=1, le=12)
    pieces: int = Field(16_000, ge=600, le=65_535, description="entries, tags and bytes included")
    exponent: float = Field(
        0.4, gt=0, le=1, description="language sampling exponent when pieces are learnt"
    )
    lines: int = Field(
        250_000, description="about so many lines of 100 characters are read to learn them"
    )
    spare_tags: int = Field(32, ge=0, description="tags kept for languages that come later")
    dropout: float = Field(0.1, ge=0, lt=1)


class Objectives(RecipePart):
    """What each batch trains: the four shares are of batches; `distil` and `contrast` weigh terms
    of every batch of pairs."""

    translate: float = Field(
        0.7, ge=0, description="decoder writes the translation, both directions"
    )
    denoise: float = Field(
        0.2,
        ge=0,
        description="decoder restores a sentence with spans cut out (BART, Lewis et al. 2020)",
    )
    masked: float = Field(
        0.1, ge=0, description="encoder restores masked tokens (BERT, Devlin et al. 2019)"
    )
    align: float = Field(
        0.0,
        ge=0,
        description="encoder alone, on pairs: `distil` and `contrast` without a translation",
    )
    distil: float = Field(
        2.0,
        ge=0,
        description="weight of 1 - cosine to the starting encoder's vector of the English side",
    )
    contrast: float = Field(
        1.0, ge=0, description="weight of finding that vector among the batch's, with `distil`"
    )
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    negatives: int = Field(
        0,
        ge=0,
        description="pieces drawn for the decoder's softmax beside the batch's own; 0: all of them",
    )

    @model_validator(mode="after")
    def _smoothing_needs_every_piece(self) -> Objectives:
        check_softmax(self.negatives, self.label_smoothing)
        return self


class Schedule(RecipePart):
    """How long and how fast: warm-up, stable, decay to zero (Hu et al. 2024, MiniCPM, section
    4)."""

    steps: int = Field(20_000, ge=1)
    tokens: int = Field(
        4096, ge=64, description="source plus target tokens a batch at most, padding included"
    )
    decoder_lr: float = Field(1e-3, gt=0, description="decoder and cross-attention")
    encoder_lr: float = Field(
        1e-4, ge=0, description="encoder body; 0: the encoder stays as it is, its embedding too"
    )
    adapter_lr: float = Field(
        1e-3, gt=0, description="LoRA on the encoder, where `seq2seq.adapter` is given"
    )
    rows_lr: float = Field(3e-4, gt=0, description="encoder embedding rows")
    warmup: float = Field(0.03, ge=0, lt=1, description="share of steps")
    decay: float = Field(0.3, ge=0, le=1, description="share of steps, at the end")
    ema: float = Field(0.999, ge=0, lt=1, description="decay of the averaged weights; 0: off")
    first_exponent: float = Field(
        0.7, gt=0, le=1, description="language sampling exponent at the start ..."
    )
    last_exponent: float = Field(
        0.3, gt=0, le=1, description="... and from two thirds on, when small languages count most"
    )
    checkpoint_steps: int = Field(
        200, ge=1, description="a checkpoint and a line of the log every so many steps"
    )
    dev_steps: int = Field(
        500,
        ge=1,
        description="loss on the dev pairs every so many steps, of those that are checkpoints",
    )
    score_steps: int | None = Field(
        2500,
        ge=1,
        description="chrF++ on the dev pairs every so many, of those that have a dev loss, and at "
        "the end; null: never",
    )


class BackTranslation(RecipePart):
    """Monolingual lines with English that the model itself made, as further sources (Sennrich et
    al. 2016, "Improving Neural Machine Translation Models with Monolingual Data", section 3);
    greedy, which suits a model that learnt from little (Edunov et al. 2018, section 5.3)."""

    languages: list[str] = Field(min_length=1)
    lines: int = Field(40_000, ge=1, description="lines of a language at most")
    weight: float = Field(1.0, gt=0, description="sampling weight of such a pair")


class Phase(RecipePart):
    """One training run of the second stage: it starts from what the phase before it left."""

    name: str = Field(
        pattern="[a-z0-9-]+", description="its checkpoints and log lie in WORK/<name>"
    )
    objectives: Objectives = Objectives()
    schedule: Schedule = Schedule()
    languages: list[str] | None = Field(
        None, description="only pairs and lines of these, and English; left out: of all"
    )
    dropout: float | None = Field(
        None, ge=0, lt=1, description="of the decoder and of the adapter; left out: as they are"
    )
    back_translation: BackTranslation | None = Field(
        None, description="before the phase, monolingual lines are translated into English"
    )
    denoise_pairs: bool = Field(
        True, description="denoise sentences of pairs too; false: monolingual lines alone"
    )
    keep: float = Field(
        0.0,
        ge=0,
        lt=1,
        description=(
            "share of the starting encoder in the weights it leaves (Wortsman et al. 2022, WiSE-FT)"
        ),
    )

    @model_validator(mode="after")
    def _objectives_have_something_to_train(self) -> Phase:
        shares = self.objectives
        trains_encoder = shares.masked or shares.align or (shares.translate and shares.distil)
        if self.schedule.encoder_lr == 0 and trains_encoder:
            raise ValueError(
                "objectives masked, align and distil train the encoder, but schedule.encoder_lr is "
                "0: set them to 0"
            )
        return self


class Seq2SeqRecipe(RecipePart):
    """The second stage: a decoder beside the distilled encoder, trained on mixed objectives, phase
    by phase."""

    decoder: DecoderRecipe = DecoderRecipe()
    phases: list[Phase] = Field([Phase(name="mixed")], min_length=1)
    max_length: int = Field(
        64, ge=8, description="tokens a sentence at most, on either side; longer pairs are left out"
    )
    pairs: int | None = Field(700_000, description="pairs packed at most; null: all")
    lines: int | None = Field(150_000, description="monolingual lines packed at most; null: all")
    domains: list[str] = Field(
        [],
        description="domains of text that the decoder tells apart: the n-th one's sentences "
        "are written after the language's "
        "tag and `<spareN>`, so that a text written after the language's tag alone does not sound "
        "like them",
    )
    domain_dropout: float = Field(
        0.3, ge=0, le=1, description="share of those sentences that are written without it"
    )
    adapter: LoraRecipe | None = Field(
        None,
        description="LoRA on the encoder, trained together with the decoder while the encoder "
        "stays as it is; written to FOLDER/mt in PEFT's format",
    )
    dev_rows: int = Field(
        0,
        ge=0,
        description="pairs of each language of `evaluation` that follow the training; 0: none",
    )

    @model_validator(mode="after")
    def _adapter_needs_an_encoder_that_stays(self) -> Seq2SeqRecipe:
        moving = [phase.name for phase in self.phases if phase.schedule.encoder_lr > 0]
        if self.adapter and moving:
            raise ValueError(
                "adapter: it is trained on an encoder that stays as it is, but "
                f"schedule.encoder_lr of {', '.join(moving)} is "
                "above 0: set it to 0"
            )
        return self


class PretrainRecipe(RecipePart):
    """`recipe.yaml` beside the backbone's weights."""

    name: str
    seed: int = 0
    case_feature: float = Field(
        0.1, ge=0, description="norm of a case vector against the token-type vector; 0: off"
    )
    corpora: list[Corpus]
    monolingual: list[Monolingual] = Field([])
    held_out: list[str] = Field(
        [], description="globs under the data folder: text found in these is never trained on"
    )
    evaluation: list[Corpus] = Field([], description="dev pairs that `polygraft measure` uses")
    vocabulary: Vocabulary = Vocabulary()
    alignment: Alignment = Alignment()
    distillation: Distillation = Distillation()
    seq2seq: Seq2SeqRecipe | None = Field(
        None, description="left out: the backbone is an encoder only"
    )

    @model_validator(mode="after")
    def _domains_are_declared(self) -> PretrainRecipe:
        declared = self.seq2seq.domains if self.seq2seq else []
        if unknown := sorted({c.domain for c in self.corpora if c.domain} - set(declared)):
            raise ValueError(
                f"corpora: domain {', '.join(unknown)} is not one of seq2seq.domains "
                f"({', '.join(declared) or 'none'}): "
                "add it there"
            )
        return self

    @classmethod
    def load(cls, path: Path) -> PretrainRecipe:
        """Read and check a recipe. Raises `RecipeError` with every problem."""
        try:
            return cls.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise RecipeError(str(path), [f"cannot be read as YAML: {error}"]) from None
        except ValidationError as error:
            raise RecipeError(str(path), problems_of(error.errors())) from None
