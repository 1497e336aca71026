"""What each pretraining objective buys: the second stage at a small equal budget, with objectives left out in turn.

    python tests/bench/objectives.py --packed WORK/packed.npz --recipe FOLDER --start BACKBONE --data DATA [--steps 250]

`FOLDER` holds `recipe.yaml` and `decoder_tokenizer.json`. Every variant gets the same steps, data order, schedule and seed.
Measured on the recipe's evaluation pairs and SIB-200 (English vectors to other languages). JSON line last.
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

from polygraft.backbone import BackboneFiles
from polygraft.pretrain.corpus import Text
from polygraft.pretrain.measure import evaluation_sets, measure_retrieval, measure_translation
from polygraft.pretrain.pretrain import write_backbone
from polygraft.pretrain.probe import probe_sib200
from polygraft.pretrain.recipe import Objectives, Phase, PretrainRecipe
from polygraft.pretrain.second_stage import add_decoder

SIB = ("eng_Latn", "yor_Latn", "hau_Latn", "swh_Latn", "mri_Latn", "snd_Arab", "urd_Arab")
WRITTEN = ("fr", "es", "yo", "sw", "mi")
VARIANTS: dict[str, dict[str, float]] = {
    "all": {},
    "without distillation": {"distil": 0.0},
    "without denoising": {"denoise": 0.0},
    "without masked tokens": {"masked": 0.0},
    "no translation: distillation alone": {"translate": 0.0, "denoise": 0.0, "masked": 0.0, "align": 1.0},
    "translation alone": {"distil": 0.0, "denoise": 0.0, "masked": 0.0},
}


def no_text() -> Text:
    raise AssertionError("the packed file is there: no text is read")


def run(options: argparse.Namespace, recipe: PretrainRecipe, changes: dict[str, float]) -> dict[str, object]:
    """Train one variant in a fresh folder and measure it."""
    assert recipe.seq2seq
    schedule = recipe.seq2seq.phases[-1].schedule
    budget = {"steps": options.steps, "checkpoint_steps": options.steps, "encoder_lr": 2e-4}
    phase = Phase(name="bench", objectives=Objectives().model_copy(update=changes), schedule=schedule.model_copy(update=budget))
    changed = recipe.seq2seq.model_copy(update={"phases": [phase]})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(options.recipe / "decoder_tokenizer.json", folder)
        (folder / "packed.npz").symlink_to(options.packed.resolve())
        started = time.monotonic()
        model = add_decoder(
            changed, folder, options.start, no_text, folder, seed=recipe.seed, device="cpu", hours=None, bf16=None
        )
        seconds = time.monotonic() - started
        (log,) = [json.loads(line) for line in (folder / "bench" / "log.jsonl").read_text().splitlines()]
        shutil.rmtree(folder / "bench")
        write_backbone(model, folder)
        return {"tokens": log["tokens"], "seconds": round(seconds), **measure(folder, options.data, recipe)}


def measure(folder: Path, data: Path, recipe: PretrainRecipe, rows: int = 100) -> dict[str, object]:
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
            chosen = [v["backbone"]["chrf++"] for k, v in pairs.items() if k.startswith("en-") == start]
            found[f"chrf++ {way}"] = round(statistics.mean(chosen), 1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ("packed", "recipe", "start", "data"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=250)
    options = parser.parse_args()
    recipe = PretrainRecipe.load(options.recipe / "recipe.yaml")
    results = {"start": measure(options.start, options.data, recipe)}
    print("start", results["start"], flush=True)
    for name, changes in VARIANTS.items():
        results[name] = run(options, recipe, changes)
        print(name, results[name], flush=True)
    print(json.dumps({"bench": "objectives", "steps": options.steps, "results": results, "torch": torch.__version__}))


if __name__ == "__main__":
    main()
