"""What each pretraining objective buys: the second stage at a small equal budget, with objectives
left out in turn.

    python tests/bench/objectives.py --packed WORK/packed.npz --data DATA
        [--backbone DIR] [--steps 200]

Every variant starts from the backbone's encoder and an untrained decoder, the last one from
random weights throughout, and gets the same steps, data order, schedule and seed. Measured on
the recipe's evaluation pairs and SIB-200 (English vectors to other languages). JSON line last.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import torch

from polygraft.architectures.folder import BackboneFiles, default_backbone
from polygraft.architectures.loading import load_backbone, untrained_seq2seq
from polygraft.pretrain.corpus import TrainingText
from polygraft.pretrain.measure import evaluation_sets, measure_retrieval, measure_translation
from polygraft.pretrain.pretrain import write_backbone
from polygraft.pretrain.probe import probe_sib200
from polygraft.pretrain.recipe import Objectives, Phase, PretrainRecipe
from polygraft.pretrain.second_stage import add_decoder

SIB = ("eng_Latn", "yor_Latn", "hau_Latn", "swh_Latn", "mri_Latn", "snd_Arab", "urd_Arab")
WRITTEN = ("fr", "yo", "sw")
COMMON = {"label_smoothing": 0.0, "negatives": 1024}
RANDOM = "without distillation, from random weights"
VARIANTS: dict[str, dict[str, float]] = {
    "all": {},
    "without distillation": {"distil": 0.0},
    "without denoising": {"denoise": 0.0},
    "without masked tokens": {"masked": 0.0},
    "no translation: distillation alone": {
        "translate": 0.0,
        "denoise": 0.0,
        "masked": 0.0,
        "align": 1.0,
    },
    "translation alone": {"distil": 0.0, "denoise": 0.0, "masked": 0.0},
    RANDOM: {"distil": 0.0},
}


def no_text() -> TrainingText:
    raise AssertionError("the packed file is there: no text is read")


def run(
    options: argparse.Namespace, recipe: PretrainRecipe, start: Path, name: str
) -> dict[str, object]:
    """Train one variant in a fresh folder and measure it."""
    assert recipe.seq2seq
    schedule = recipe.seq2seq.phases[-1].schedule
    rates = (
        {"encoder_lr": 2e-4}
        if name != RANDOM
        else dict.fromkeys(("encoder_lr", "rows_lr"), schedule.decoder_lr)
    )
    budget = {"steps": options.steps, "checkpoint_steps": options.steps} | rates
    objectives = Objectives().model_copy(update=COMMON | VARIANTS[name])
    phase = Phase(name="bench", objectives=objectives, schedule=schedule.model_copy(update=budget))
    changed = recipe.seq2seq.model_copy(update={"phases": [phase]})
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        shutil.copy(BackboneFiles(options.backbone).decoder_tokenizer, folder)
        (folder / "packed.npz").symlink_to(options.packed.resolve())
        started = time.monotonic()
        model = add_decoder(
            changed,
            folder,
            start,
            no_text,
            folder,
            seed=recipe.seed,
            device="cpu",
            hours=None,
            bf16=None,
        )
        seconds = time.monotonic() - started
        (log,) = [
            json.loads(line) for line in (folder / "bench" / "log.jsonl").read_text().splitlines()
        ]
        shutil.rmtree(folder / "bench")
        write_backbone(model, folder)
        return {
            "tokens": log["tokens"],
            "seconds": round(seconds),
            **measure(folder, options.data, recipe),
        }


def starts(backbone: Path, folder: Path) -> tuple[Path, Path]:
    """The backbone's encoder alone, and the whole with random weights, as folders."""
    encoder, whole = folder / "encoder", folder / "random"
    for one in (encoder, whole):
        one.mkdir()
        BackboneFiles(backbone).copy_tokenizers(one)
    for file in (BackboneFiles(encoder).decoder_tokenizer, BackboneFiles(encoder).record):
        file.unlink()
    write_backbone(load_backbone(backbone), encoder)
    torch.manual_seed(0)
    write_backbone(untrained_seq2seq(backbone), whole)
    return encoder, whole


def measure(folder: Path, data: Path, recipe: PretrainRecipe, rows: int = 60) -> dict[str, object]:
    """SIB-200, retrieval into English and chrF++ both ways, each the mean over languages."""
    sib = probe_sib200(folder, data / "sib200", SIB)
    sets = evaluation_sets(recipe, data, rows)
    retrieval = measure_retrieval(folder, sets)
    found = {
        "sib_english": sib["eng_Latn"]["folds"],
        "sib_low_resource": round(statistics.mean(sib[k]["folds"] for k in SIB[1:]), 1),
        "retrieval": round(statistics.mean(v["to_english"] for v in retrieval.values()), 1),
    }
    if BackboneFiles(folder).decoder_tokenizer.is_file():
        pairs = measure_translation(folder, {k: sets[k] for k in WRITTEN})
        for way, start in (("from English", True), ("into English", False)):
            chosen = [
                v["backbone"]["chrf++"] for k, v in pairs.items() if k.startswith("en-") == start
            ]
            found[f"chrf++ {way}"] = round(statistics.mean(chosen), 1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ("packed", "data"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--backbone", type=Path, default=default_backbone())
    parser.add_argument("--steps", type=int, default=200)
    options = parser.parse_args()
    recipe = PretrainRecipe.load(options.backbone / "recipe.yaml")
    with tempfile.TemporaryDirectory() as folder:
        encoder, random = starts(options.backbone, Path(folder))
        results = {"start": measure(encoder, options.data, recipe)}
        print("start", results["start"], flush=True)
        for name in VARIANTS:
            results[name] = run(options, recipe, random if name == RANDOM else encoder, name)
            print(name, results[name], flush=True)
    print(
        json.dumps(
            {
                "bench": "objectives",
                "steps": options.steps,
                "results": results,
                "torch": torch.__version__,
            }
        )
    )


if __name__ == "__main__":
    main()
