"""How good `polygraft sources` guesses: its regret on NusaX sentiment, where every source was
tried on every target.

    POLYGRAFT_DATA=... python tests/bench/sources.py [--sources en id jv su ace ban]
        [--targets ...] [--work DIR]

Each source is trained on its 500 rows, then tried on each other language as `polygraft sources
--every` does: two epochs on the target's rows, one seed, scored on its dev and test rows
together (500). Regret is the best source's macro-F1 less that of the source a rule takes first
(for English itself, "English" takes the closest). Half an hour on one core for seven targets.
JSON line last.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import yaml

from polygraft.adapters.library import Library
from polygraft.architectures.folder import default_backbone
from polygraft.tasks.classification.job import ClassificationJob, prepare
from polygraft.tasks.classification.recipe import ClassificationRecipe
from polygraft.training.pipeline import train
from polygraft.transfer import sources
from polygraft.transfer.sources import Candidate

EVERY = ["ace", "ban", "bbc", "bjn", "bug", "en", "id", "jv", "mad", "nij", "su"]
RULES: dict[str, Callable[[Candidate], float]] = {
    "closeness": lambda c: c.closeness or 0.0,
    "evidence": lambda c: c.evidence or 0.0,
    "English": lambda c: float(c.languages == ["en"]),
}


def job_of(folder: Path, language: str, backbone: Path, *, target: bool) -> ClassificationJob:
    """The recipe of a language, in `folder`, made ready."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        s: f"${{POLYGRAFT_DATA}}/nusax_senti/{language}.{s}.jsonl.gz"
        for s in ("train", "dev", "test")
    }
    data = {
        "train": files["train"],
        "dev": [files["dev"], files["test"]] if target else files["dev"],
        "id": "id",
    }
    recipe = {
        "name": folder.name,
        "languages": [language],
        "data": data | {"on_leak": "drop"},
        "lora": {"sites": ["value"], "r": 16, "alpha": 32},
        "training": {"epochs": 4, "seeds": [0]},
    }
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(recipe))
    return prepare(ClassificationRecipe.model_validate(recipe), file, backbone)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--backbone", type=Path, default=default_backbone())
    parser.add_argument("--sources", nargs="+", default=["en", "id", "jv", "su", "ace", "ban"])
    parser.add_argument("--targets", nargs="+", default=EVERY)
    parser.add_argument(
        "--work",
        type=Path,
        default=Path(tempfile.mkdtemp()),
        help="source adapters found here are kept",
    )
    options = parser.parse_args()
    library = Library(options.work / "sources")
    for language in options.sources:
        folder = library.root / f"senti-{language}"
        if not (folder / "manifest.json").exists():
            train(job_of(folder, language, options.backbone, target=False), folder)
    regrets, every = dict[str, dict[str, float]](), dict[str, dict[str | None, float]]()
    for language in options.targets:
        job = job_of(
            options.work / "targets" / f"senti-{language}", language, options.backbone, target=True
        )
        ranked = sources.rank(job, library)
        tried = sources.attempt(job, library, ranked, every=True)
        scores = {c.name: c.dev_score or 0.0 for c in tried}
        alone = scores.pop(None)
        best = max(scores.values())
        lost = {
            name: sources.regret(tried, sorted(ranked, key=rule, reverse=True)) or 0.0
            for name, rule in RULES.items()
        }
        lost |= {"any, on average": best - statistics.mean(scores.values()), "none": best - alone}
        regrets[language], every[language] = lost, scores | {"none": alone}
        print(language, lost, every[language], flush=True)
    mean = {
        rule: round(statistics.mean(lost[rule] for lost in regrets.values()), 2) for rule in lost
    }
    print(json.dumps({"bench": "sources", "mean_regret": mean, "regret": regrets, "tried": every}))


if __name__ == "__main__":
    main()
