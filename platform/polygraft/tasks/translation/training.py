"""How a translator is made: LoRA on encoder and decoder from sentence pairs, figures beside the
baselines, goldens, card.

Test pairs are scored once, after the checkpoint was chosen on dev.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import transformers
from rich.console import Console
from transformers import TrainerCallback

from polygraft.architectures.loading import load_seq2seq
from polygraft.data.reading import thinned
from polygraft.tasks.goldens import likeness
from polygraft.tasks.training import TrainedTask
from polygraft.tasks.translation import card, model
from polygraft.tasks.translation.baselines import score_baselines
from polygraft.tasks.translation.batches import encode, scoring_batches, training_batches
from polygraft.tasks.translation.data import Pair
from polygraft.tasks.translation.greedy import translate
from polygraft.tasks.translation.job import TranslationJob, prepare
from polygraft.tasks.translation.manifest import GoldenText, TranslationManifest
from polygraft.tasks.translation.recipe import TranslationRecipe
from polygraft.tasks.translation.run import Run
from polygraft.training.loop import by_steps, only, run_loop
from polygraft.training.lora import save_lora
from polygraft.training.speed import bf16_wanted

GOLDENS, SHOWN, NOISE = 6, 2, 0.03


class TranslationTraining(TrainedTask[TranslationJob, Run]):
    """See `tasks.training.TrainedTask`."""

    pipeline_tag = "translation"
    limits = card.LIMITS

    def prepare(
        self,
        recipe: TranslationRecipe,
        file: Path,
        backbone: Path,
        *,
        allow_leak: str | None = None,
    ) -> TranslationJob:
        return prepare(recipe, file, backbone, allow_leak=allow_leak)

    def complete(self, job: TranslationJob, work: Path, say: Console) -> TranslationJob:
        return _with_back_translations(job, work, say)

    def fit(self, job: TranslationJob, seed: int, work: Path, say: Console) -> Run:
        return _fit(job, seed, work, "parent" if job.parent else "fresh", say)

    def fit_others(self, job: TranslationJob, work: Path, say: Console) -> dict[str, list[Run]]:
        """A model from random weights, and the same recipe without its parent."""
        others = {
            "from_scratch": [
                _fit(job, seed, work / f"scratch-{seed}", "scratch", say) for seed in job.seeds[:1]
            ]
        }
        if job.parent:
            others["no_parent"] = [
                _fit(job, seed, work / f"alone-{seed}", "fresh", say) for seed in job.seeds
            ]
        return others

    def best(self, runs: Sequence[Run]) -> Run:
        return min(runs, key=lambda run: run.dev_loss)

    def score(
        self,
        job: TranslationJob,
        runs: Sequence[Run],
        others: Mapping[str, Sequence[Run]],
        work: Path,
        *,
        full_ladder: bool,
    ) -> dict[str, Any]:
        metrics = score_baselines(job, runs, others)
        metrics["seeds"] = {str(run.seed): {"dev_loss": round(run.dev_loss, 4)} for run in runs}
        return metrics

    def manifest_fields(self, job: TranslationJob, run: Run) -> dict[str, Any]:
        return {"directions": job.recipe.directions, "golden_texts": _goldens(job, run)}

    def save(self, run: Run, folder: Path, backbone: Path) -> None:
        save_lora(run.translator.inner, folder, backbone)

    def introduction(self, manifest: TranslationManifest, recipe: TranslationRecipe) -> str:
        return card.introduction(manifest, recipe)

    def figures(self, metrics: dict[str, Any]) -> str:
        return card.figures_table(metrics)

    def examples(self, metrics: dict[str, Any]) -> str:
        return card.examples(metrics)


TASK = TranslationTraining()


def _fit(job: TranslationJob, seed: int, work: Path, start: str, say: Console) -> Run:
    options = job.recipe.training
    transformers.set_seed(seed)
    if start == "scratch":
        translator = model.from_scratch(job.recipe, job.backbone, seed)
    else:
        translator = model.build(
            job.recipe, job.backbone, job.sites, job.parent if start == "parent" else None, seed
        )
    rows = encode(_both_ways(job, job.pairs.train), *job.texts, options.max_length)
    dev = encode(
        [p for pairs in job.pairs_of("dev").values() for p in pairs], *job.texts, options.max_length
    )
    pad_id = job.texts[0].pad_id
    state = run_loop(
        translator,
        work,
        title=f"{job.recipe.name} {start} seed {seed}",
        seed=seed,
        bf16=bf16_wanted(
            options.bf16, lambda: translator(**scoring_batches(dev[:8], 4096, pad_id)[0])
        ),
        train=training_batches(rows, options, seed, pad_id),
        dev=scoring_batches(dev, 4 * options.tokens, pad_id),
        collate=only,
        callbacks=[_Samples(job, say)],
        learning_rate=min(options.learning_rate, 1e-3)
        if start == "scratch"
        else options.learning_rate,
        weight_decay=options.weight_decay,
        warmup_steps=options.warmup,
        **by_steps(options.steps, options.evaluations),
    )
    return Run(seed, translator.eval(), float(state.best_metric or 0.0))


def _both_ways(job: TranslationJob, pairs: list[Pair]) -> list[Pair]:
    return [*pairs, *(p.turned() for p in pairs)] if job.recipe.both_ways else pairs


class _Samples(TrainerCallback):  # type: ignore[misc]
    """Prints translations of a few dev rows at every evaluation."""

    def __init__(self, job: TranslationJob, say: Console) -> None:
        self.rows = [p for pairs in job.pairs_of("dev").values() for p in thinned(pairs, SHOWN)]
        self.texts, self.say = job.texts, say

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
        for pair in self.rows:
            (written,) = translate(model.inner, *self.texts, [pair.source], pair.languages[1])
            self.say.print(
                f"  {pair.source}\n  [bold]{written}[/]\n  [dim]{pair.target}[/]", highlight=False
            )
        model.train()


def _with_back_translations(job: TranslationJob, work: Path, say: Console) -> TranslationJob:
    """The job with pairs made from target-language text, by the model the training starts from;
    kept in `work`."""
    wanted, there, lines = job.recipe.back_translation, job.recipe.back_direction, job.monolingual
    if wanted is None or there is None:
        return job
    file = work / "back-translations.json"
    if not file.exists():
        say.print(f"back-translating {len(lines)} lines of {wanted.language} to {there[1]}")
        translator = model.build(job.recipe, job.backbone, job.sites, job.parent)
        written = translate(translator.inner.eval(), *job.texts, lines, there[1])
        partial = file.with_suffix(".partial")
        partial.write_text(json.dumps([w.replace("\n", " ") for w in written]), encoding="utf-8")
        partial.replace(file)
    made = json.loads(file.read_text(encoding="utf-8"))
    pairs = [
        Pair(m, line, (there[1], there[0]), wanted.weight)
        for m, line in zip(made, lines, strict=True)
        if m.strip()
    ]
    return replace(job, pairs=replace(job.pairs, train=[*job.pairs.train, *pairs]))


def _golden_pairs(job: TranslationJob) -> dict[tuple[str, str], list[Pair]]:
    """Dev rows by direction; training rows after them where a direction has few."""
    found = {}
    for direction, pairs in job.pairs_of("dev").items():
        train = (
            [p for p in job.pairs.train if p.languages == direction] if len(pairs) < GOLDENS else []
        )
        found[direction] = [*pairs, *train]
    return found


def _goldens(job: TranslationJob, run: Run) -> list[GoldenText]:
    """Short dev rows whose translation the adapter changes much and int8 little; noise on the
    weights stands in for int8."""
    adapted = run.translator.inner
    models, found = (
        (adapted, load_seq2seq(job.backbone), _shaken(adapted)),
        list[tuple[float, GoldenText]](),
    )
    for (_, target), pairs in _golden_pairs(job).items():
        texts = [p.source for p in pairs if len(p.source) <= 120][:40]
        for text, written, bare, near in zip(
            texts, *(translate(m, *job.texts, texts, target) for m in models), strict=True
        ):
            if written:
                golden = GoldenText(text=text, target=target, written=written, bare=bare)
                found.append((likeness(near, written) - likeness(bare, written), golden))
    return [golden for _, golden in sorted(found, key=lambda one: -one[0])[:GOLDENS]]


@torch.no_grad()
def _shaken(model: torch.nn.Module) -> Any:
    """A copy whose weights are off by about as much as int8 makes them."""
    copied, generator = copy.deepcopy(model), torch.Generator().manual_seed(0)
    for layer in copied.modules():
        if isinstance(layer, torch.nn.Linear):
            layer.weight += (
                NOISE * layer.weight.std() * torch.randn(layer.weight.shape, generator=generator)
            )
    return copied
