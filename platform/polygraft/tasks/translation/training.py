"""`polygraft train` for a translation recipe: pairs -> LoRA on encoder and decoder -> adapter folder with figures and card.

transformers' `Trainer` does the loop, peft the LoRA. Test pairs are scored once, after the checkpoint was chosen on dev.
"""

from __future__ import annotations

import copy
import datetime
import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import transformers
from rich.console import Console
from transformers import Trainer, TrainerCallback, TrainingArguments

from polygraft.adapters.format import LAYOUT, Manifest, load_manifest, sha256
from polygraft.architectures.folder import fingerprint
from polygraft.architectures.loading import load_seq2seq
from polygraft.data.reading import thinned
from polygraft.tasks.translation import baselines as ladder
from polygraft.tasks.translation import model
from polygraft.tasks.translation.batches import Tensors, encode, scoring_batches, training_batches
from polygraft.tasks.translation.card import write_card
from polygraft.tasks.translation.data import Pair
from polygraft.tasks.translation.greedy import translate
from polygraft.tasks.translation.job import TranslationJob
from polygraft.tasks.translation.manifest import GoldenText
from polygraft.tasks.translation.run import Run
from polygraft.training.finish import finish, made_with
from polygraft.training.lora import save_lora
from polygraft.training.progress import RichProgress
from polygraft.training.speed import bf16_wanted

GOLDENS, SHOWN, NOISE = 6, 2, 0.03
FILES = (LAYOUT.peft_config, LAYOUT.weights)


def train(job: TranslationJob, output: Path, *, full_ladder: bool = False, say: Console | None = None) -> Manifest:
    """Train every seed, keep the one with the lowest dev loss, and publish it to `output`. Returns its manifest.

    A killed run is taken up again from its last checkpoint, kept in `output/.training` until the end. `full_ladder` also trains
    the same recipe without its parent, for the gain from transfer, and a model from random weights.
    """
    say = say or Console(stderr=True)
    started = time.monotonic()
    work = output / ".training" / job.key
    work.mkdir(parents=True, exist_ok=True)
    job = _with_back_translations(job, work, say)
    seeds = job.recipe.training.seeds
    runs = [_run(job, seed, work / f"seed-{seed}", "parent" if job.parent else "fresh", say) for seed in seeds]
    others: dict[str, list[Run]] = {}
    if full_ladder:
        others["from_scratch"] = [_run(job, seed, work / f"scratch-{seed}", "scratch", say) for seed in seeds[:1]]
        if job.parent:
            others["no_parent"] = [_run(job, seed, work / f"alone-{seed}", "fresh", say) for seed in seeds]
    say.print("scoring")
    metrics = ladder.climb(job, runs, others)
    best = min(runs, key=lambda run: run.dev_loss)
    metrics["seeds"] = {str(run.seed): {"dev_loss": round(run.dev_loss, 4)} for run in runs}
    metrics["leaks"] = job.pairs.leaks
    metrics["made_with"] = made_with(started)
    golden = _goldens(job, best)
    manifest = finish(
        output, job.file, lambda folder: save_lora(best.translator.inner, folder, job.backbone),
        lambda folder: _manifest(job, folder, metrics, golden), lambda made, file: write_card(made, job.recipe, file),
    )  # fmt: skip
    shutil.rmtree(work.parent)
    return manifest


def _run(job: TranslationJob, seed: int, work: Path, start: str, say: Console) -> Run:
    options = job.recipe.training
    transformers.set_seed(seed)
    if start == "scratch":
        translator = model.from_scratch(job.recipe, job.backbone, seed)
    else:
        translator = model.build(job.recipe, job.backbone, job.sites, job.parent if start == "parent" else None, seed)
    rows = encode(_both_ways(job, job.pairs.train), *job.texts, options.max_length)
    dev = encode([p for pairs in job.rows("dev").values() for p in pairs], *job.texts, options.max_length)
    pad_id = job.texts[0].pad_id
    steps = max(1, options.steps // options.evaluations)
    bf16 = bf16_wanted(options.bf16, lambda: translator(**scoring_batches(dev[:8], 4096, pad_id)[0]))
    arguments = TrainingArguments(
        output_dir=str(work), max_steps=options.steps, per_device_train_batch_size=1, per_device_eval_batch_size=1,
        learning_rate=min(options.learning_rate, 1e-3) if start == "scratch" else options.learning_rate,
        weight_decay=options.weight_decay, warmup_steps=options.warmup, lr_scheduler_type="cosine",
        eval_strategy="steps", eval_steps=steps, save_strategy="steps", save_steps=steps, save_total_limit=2,
        load_best_model_at_end=True, metric_for_best_model="eval_loss", greater_is_better=False, prediction_loss_only=True,
        train_sampling_strategy="sequential", remove_unused_columns=False, bf16=bf16, use_cpu=not torch.cuda.is_available(),
        seed=seed, data_seed=seed,
        report_to="none", disable_tqdm=True, logging_steps=steps, dataloader_pin_memory=False,
    )  # fmt: skip
    trainer = Trainer(
        model=translator, args=arguments, train_dataset=training_batches(rows, options, seed, pad_id),
        eval_dataset=scoring_batches(dev, 4 * options.tokens, pad_id), data_collator=_only,
        callbacks=[RichProgress(f"{job.recipe.name} {start} seed {seed}"), _Samples(job, say)],
    )  # fmt: skip
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train(resume_from_checkpoint=True if any(work.glob("checkpoint-*")) else None)
    return Run(seed, translator.cpu().eval(), float(trainer.state.best_metric or 0.0))


def _only(batches: list[Tensors]) -> Tensors:
    """Steps come as whole batches already."""
    return batches[0]


def _both_ways(job: TranslationJob, pairs: list[Pair]) -> list[Pair]:
    return [*pairs, *(p.turned() for p in pairs)] if job.recipe.both_ways else pairs


class _Samples(TrainerCallback):  # type: ignore[misc]
    """Prints translations of a few dev rows at every evaluation."""

    def __init__(self, job: TranslationJob, say: Console) -> None:
        self.rows = [p for pairs in job.rows("dev").values() for p in thinned(pairs, SHOWN)]
        self.texts, self.say = job.texts, say

    def on_evaluate(
        self, args: object, state: Any, control: object, model: model.Translator, metrics: Any, **_: object
    ) -> None:
        self.say.print(f"step {state.global_step}: dev loss {metrics['eval_loss']:.3f}", highlight=False)
        model.eval()
        for pair in self.rows:
            (written,) = translate(model.inner, *self.texts, [pair.source], pair.languages[1])
            self.say.print(f"  {pair.source}\n  [bold]{written}[/]\n  [dim]{pair.target}[/]", highlight=False)
        model.train()


def _with_back_translations(job: TranslationJob, work: Path, say: Console) -> TranslationJob:
    """The job with pairs made from target-language text, by the model the training starts from; kept in `work`."""
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
    pairs = [Pair(m, line, (there[1], there[0]), wanted.weight) for m, line in zip(made, lines, strict=True) if m.strip()]
    return replace(job, pairs=replace(job.pairs, train=[*job.pairs.train, *pairs]))


def _golden_pairs(job: TranslationJob) -> dict[tuple[str, str], list[Pair]]:
    """Dev rows by direction; training rows after them where a direction has few."""
    found = {}
    for direction, pairs in job.rows("dev").items():
        train = [p for p in job.pairs.train if p.languages == direction] if len(pairs) < GOLDENS else []
        found[direction] = [*pairs, *train]
    return found


def _goldens(job: TranslationJob, run: Run) -> list[GoldenText]:
    """Short dev rows whose translation the adapter changes much and int8 little; noise on the weights stands in for int8."""
    from polygraft.runtime.prove import likeness

    adapted = run.translator.inner
    models, found = (adapted, load_seq2seq(job.backbone), _shaken(adapted)), list[tuple[float, GoldenText]]()
    for (_, target), pairs in _golden_pairs(job).items():
        texts = [p.source for p in pairs if len(p.source) <= 120][:40]
        for text, written, bare, near in zip(texts, *(translate(m, *job.texts, texts, target) for m in models), strict=True):
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
            layer.weight += NOISE * layer.weight.std() * torch.randn(layer.weight.shape, generator=generator)
    return copied


def _manifest(job: TranslationJob, staging: Path, metrics: dict[str, Any], golden: list[GoldenText]) -> Manifest:
    parent = load_manifest(job.parent) if job.parent else None
    return Manifest(
        format=1,
        name=job.recipe.name,
        task="translation",
        backbone=fingerprint(job.backbone),
        languages=job.recipe.languages,
        directions=job.recipe.directions,
        description=job.recipe.description,
        parent=parent.named if parent else None,
        created=datetime.datetime.now(datetime.UTC).date().isoformat(),
        data=job.pairs.sources,
        metrics=metrics,
        golden_texts=golden,
        files={name: sha256(staging / name) for name in FILES},
    )
