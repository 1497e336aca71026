"""How a translator is made: LoRA on encoder and decoder is trained on sentence pairs, and scored
beside the baselines.

Test pairs are scored once, after the checkpoint was chosen on dev.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from rich.console import Console
from transformers import TrainerCallback

from polygraft.architectures.conventions import Direction
from polygraft.data.reading import thinned
from polygraft.tasks.training import TrainedTask
from polygraft.tasks.translation import model
from polygraft.tasks.translation.baselines import score_baselines
from polygraft.tasks.translation.batches import encode, scoring_batches, training_batches
from polygraft.tasks.translation.card import TranslationCard
from polygraft.tasks.translation.data import Pair
from polygraft.tasks.translation.golden import GOLDENS, choose_goldens
from polygraft.tasks.translation.greedy import translate
from polygraft.tasks.translation.job import TranslationJob
from polygraft.tasks.translation.run import TranslationRun
from polygraft.training.loop import by_steps, run_loop, take_whole_batch
from polygraft.training.lora import save_lora
from polygraft.training.speed import bf16_wanted

SAMPLES = 2  # dev rows a direction that are printed at every evaluation
FROM_SCRATCH_RATE = 1e-3  # the highest learning rate of a model from random weights


class TrainedTranslation(TrainedTask[TranslationJob, TranslationRun]):
    """See `tasks.training.TrainedTask`."""

    card = TranslationCard()

    def complete(self, job: TranslationJob, work: Path, say: Console) -> TranslationJob:
        return _with_back_translations(job, work, say)

    def fit(self, job: TranslationJob, seed: int, work: Path, say: Console) -> TranslationRun:
        return _fit(job, seed, work, "parent" if job.parent else "fresh", say)

    def adopt(self, job: TranslationJob, weights: Path) -> TranslationRun:
        translator = model.build(job, weights).eval()
        options = job.recipe.training
        dev_rows = encode(_dev_pairs(job), *job.tokenizers, options.max_length)
        batches = scoring_batches(dev_rows, 4 * options.tokens, *job.tokenizers)
        with torch.no_grad():
            losses = [float(translator(**batches[i])["loss"]) for i in range(len(batches))]
        return TranslationRun(job.seeds[0], translator, sum(losses) / len(losses))

    def fit_others(
        self, job: TranslationJob, work: Path, say: Console
    ) -> dict[str, list[TranslationRun]]:
        """A model from random weights, and the same recipe without its parent."""
        first, *_ = job.seeds
        others = {"from_scratch": [_fit(job, first, work / f"scratch-{first}", "scratch", say)]}
        if job.parent:
            others["no_parent"] = [
                _fit(job, seed, work / f"alone-{seed}", "fresh", say) for seed in job.seeds
            ]
        return others

    def had_full_ladder(self, metrics: dict[str, Any]) -> bool:
        directions = [
            figures
            for split in metrics.get("directions", {}).values()
            for figures in split.values()
        ]
        return any("from_scratch" in figures["rungs"] for figures in directions)

    def best(self, runs: Sequence[TranslationRun]) -> TranslationRun:
        return min(runs, key=lambda run: run.dev_loss)

    def score(
        self,
        job: TranslationJob,
        runs: Sequence[TranslationRun],
        others: Mapping[str, Sequence[TranslationRun]],
        work: Path,
        *,
        full_ladder: bool,
    ) -> dict[str, Any]:
        metrics = score_baselines(job, runs, others)
        metrics["seeds"] = {str(run.seed): {"dev_loss": round(run.dev_loss, 4)} for run in runs}
        return metrics

    def manifest_fields(self, job: TranslationJob, run: TranslationRun) -> dict[str, Any]:
        bare = model.load_base(job.backbone, job.stack)
        goldens = choose_goldens(run.translator.inner, bare, job.tokenizers, _golden_texts(job))
        return {"directions": job.recipe.directions, "golden_texts": goldens}

    def save(self, run: TranslationRun, folder: Path, backbone: Path) -> None:
        save_lora(run.translator.inner, folder, backbone)


TASK = TrainedTranslation()


def _fit(
    job: TranslationJob,
    seed: int,
    work: Path,
    start: Literal["parent", "fresh", "scratch"],
    say: Console,
) -> TranslationRun:
    """One run, from the parent's LoRA, from fresh LoRA, or from a model of random weights."""
    options = job.recipe.training
    transformers.set_seed(seed)
    learning_rate = options.learning_rate
    if start == "scratch":
        translator = model.from_scratch(job.recipe, job.backbone, seed)
        learning_rate = min(learning_rate, FROM_SCRATCH_RATE)
    else:
        parent = job.parent if start == "parent" else None
        translator = model.build(job, parent, seed)
    train_rows = encode(_both_ways(job, job.pairs.train), *job.tokenizers, options.max_length)
    dev_rows = encode(_dev_pairs(job), *job.tokenizers, options.max_length)
    dev = scoring_batches(dev_rows, 4 * options.tokens, *job.tokenizers)
    few_rows = scoring_batches(dev_rows[:8], 4096, *job.tokenizers)
    state = run_loop(
        translator,
        work,
        title=f"{job.recipe.name} {start} seed {seed}",
        seed=seed,
        bf16=bf16_wanted(options.bf16, lambda: translator(**few_rows[0])),
        train=training_batches(train_rows, options, seed, *job.tokenizers),
        dev=dev,
        collate=take_whole_batch,
        callbacks=[_PrintSamples(job, say)],
        learning_rate=learning_rate,
        weight_decay=options.weight_decay,
        warmup_steps=options.warmup,
        **by_steps(options.steps, options.evaluations),
    )
    return TranslationRun(seed, translator.eval(), float(state.best_metric or 0.0))


def _both_ways(job: TranslationJob, pairs: list[Pair]) -> list[Pair]:
    return [*pairs, *(pair.reversed() for pair in pairs)] if job.recipe.both_ways else pairs


def _dev_pairs(job: TranslationJob, most: int | None = None) -> list[Pair]:
    """The dev pairs of all directions, at most `most` of each."""
    return [pair for pairs in job.pairs_of("dev").values() for pair in thinned(pairs, most)]


class _PrintSamples(TrainerCallback):  # type: ignore[misc]
    """Prints translations of a few dev rows at every evaluation."""

    def __init__(self, job: TranslationJob, say: Console) -> None:
        self.pairs = _dev_pairs(job, SAMPLES)
        self.tokenizers, self.say = job.tokenizers, say

    def on_evaluate(
        self,
        args: object,
        state: Any,
        control: object,
        model: model.Translator,
        metrics: Any,
        **_: object,
    ) -> None:
        self.say.print(
            f"step {state.global_step}: dev loss {metrics['eval_loss']:.3f}", highlight=False
        )
        model.eval()
        for pair in self.pairs:
            (written,) = translate(model.inner, *self.tokenizers, [pair.source], pair.languages)
            self.say.print(
                f"  {pair.source}\n  [bold]{written}[/]\n  [dim]{pair.target}[/]", highlight=False
            )
        model.train()


def _with_back_translations(job: TranslationJob, work: Path, say: Console) -> TranslationJob:
    """The job with further training pairs: its monolingual text as targets, and as sources what the
    model that training starts from makes of it. The translations are kept in `work`."""
    options, direction = job.recipe.back_translation, job.recipe.back_direction
    if options is None or direction is None:
        return job
    language, source_language = direction
    lines = job.monolingual
    file = work / "back-translations.json"
    if not file.exists():
        say.print(f"back-translating {len(lines)} lines of {language} to {source_language}")
        translator = model.build(job, job.parent)
        written = translate(
            translator.inner.eval(), *job.tokenizers, lines, (language, source_language)
        )
        partial = file.with_suffix(".partial")
        partial.write_text(json.dumps([w.replace("\n", " ") for w in written]), encoding="utf-8")
        partial.replace(file)
    sources = json.loads(file.read_text(encoding="utf-8"))
    pairs = [
        Pair(source, line, (source_language, language), options.weight)
        for source, line in zip(sources, lines, strict=True)
        if source.strip()
    ]
    return replace(job, pairs=replace(job.pairs, train=[*job.pairs.train, *pairs]))


def _golden_texts(job: TranslationJob) -> dict[Direction, list[str]]:
    """Sources of dev pairs by direction, then of training pairs where a direction has few."""
    by_direction = dict[Direction, list[str]]()
    for direction, pairs in job.pairs_of("dev").items():
        few = len(pairs) < GOLDENS
        more = [p for p in job.pairs.train if few and p.languages == direction]
        by_direction[direction] = [pair.source for pair in (*pairs, *more)]
    return by_direction
