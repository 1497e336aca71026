"""Which sites should carry LoRA: dev macro-F1 of the same training on several choices. Test rows
are not read.

    POLYGRAFT_DATA=... python tests/bench/sites.py [--seeds 2] [--tasks spam-hi news-yo]
        [--choices "all r8"] [--backbone DIR]

Each task is trained alone (no parent), with the recipe's defaults but for what the table names.
JSON line last.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from polygraft.architectures.folder import default_backbone
from polygraft.tasks.classification.job import ClassificationJob, prepare
from polygraft.tasks.classification.recipe import ClassificationRecipe
from polygraft.tasks.classification.training import fit

CHOICES = {
    "query+value r8": {"sites": ["query", "value"], "r": 8},
    "value r16": {"sites": ["value"], "r": 16, "alpha": 32},
    "all r8": {"sites": "all", "r": 8},
}
TASKS = {
    "spam-en": ("spam/en", "train", {"epochs": 2}),
    "spam-hi": ("spam/hi", "train", {"epochs": 3}),
    "spam-es-mx": ("spam/es_mx", "train", {"epochs": 4}),
    "news-yo": ("masakhanews/yo", "train", {"epochs": 5, "max_length": 64}),
    "sib-yo": ("sib200_jsonl/yo", "train", {"epochs": 6}),
}


def job_of(
    folder: Path, backbone: Path, task: str, lora: dict[str, Any], seeds: int
) -> ClassificationJob:
    """The job of one task and one choice; dev stands in for test."""
    stem, split, training = TASKS[task]
    data = {
        k: f"${{POLYGRAFT_DATA}}/{stem}.{s}.jsonl.gz" for k, s in (("train", split), ("dev", "dev"))
    }
    recipe = {
        "name": task,
        "languages": ["en"],
        "data": data | {"on_leak": "drop"},
        "lora": lora,
        "training": training | {"seeds": list(range(seeds))},
    }
    return prepare(ClassificationRecipe.model_validate(recipe), folder / "recipe.yaml", backbone)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--backbone", type=Path, default=default_backbone())
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--choices", nargs="+", choices=list(CHOICES), default=list(CHOICES))
    options = parser.parse_args()
    results: dict[str, dict[str, dict[str, object]]] = {}
    for task in options.tasks:
        for name in options.choices:
            lora = CHOICES[name]
            with tempfile.TemporaryDirectory() as folder:
                job = job_of(Path(folder), options.backbone, task, lora, options.seeds)
                started = time.monotonic()
                scores = [
                    fit(job, s, Path(folder) / str(s)).dev_score for s in job.recipe.training.seeds
                ]
            seconds = round((time.monotonic() - started) / options.seeds)
            found = {"dev_macro_f1": [round(s, 1) for s in scores], "seconds_a_seed": seconds}
            results.setdefault(task, {})[name] = found
            print(f"{task:12s} {name:16s} {statistics.mean(scores):5.1f}  {found}", flush=True)
    print(
        json.dumps(
            {"bench": "sites", "results": results, "torch": torch.__version__, "epochs": TASKS}
        )
    )


if __name__ == "__main__":
    main()
