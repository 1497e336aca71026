"""How good `polygraft advise` chooses, on the study's targets: what it says by a target's rows
alone, against what every way gets on the target's test rows.

    POLYGRAFT_DATA=... python tests/bench/advise.py [--draws 5] [--targets topics/yo ...]
        [--work DIR]

The source of each family is trained once as `strategy: head`, and shares its vectors. Of each
target all rows are advised on, and ten a label in several draws, whose rows are dev too: who has
few has none to spare. What the ways get on test are the study's own answers to the same rows, in
`adapters/study/*.json`; LoRA, which advise does not try, is among them. Regret is the best way's
test macro-F1 less that of the way advised first. Where advise says that one way is the best, it is
right when no other has 2 points more on test; where it cannot tell several, when the test rows show
no difference between them either, or less than 2 points. JSON line last.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from polygraft.adapters.library import Library
from polygraft.architectures.folder import default_backbone
from polygraft.data.splits import Splits
from polygraft.reporting.intervals import paired_difference
from polygraft.tasks.classification.job import ClassificationJob
from polygraft.tasks.classification.metrics import counted_f1
from polygraft.tasks.classification.recipe import ClassificationRecipe, DataRecipe, TrainingRecipe
from polygraft.tasks.recipe import load_recipe
from polygraft.training import pipeline
from polygraft.transfer.advise import Findings, Way, advise
from polygraft.transfer.comparing import HEAD, LEXICAL
from polygraft.transfer.study.plan import Study, StudyFamily, load_study
from polygraft.transfer.study.rows import SideRows, read_side

PLAN = Path(__file__).parents[2] / "adapters" / "study" / "plan.yaml"
CLOSE = 2.0  # points of macro-F1
WAYS = {LEXICAL: "tuned_tfidf", HEAD: "hybrid_alone", "source": "hybrid"}
LORA = ("lora", "parent")


def train_source(family: StudyFamily, folder: Path, backbone: Path) -> None:
    """The family's source as an adapter in `folder`, unless it is there."""
    if (folder / "manifest.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    train, dev, _ = read_side(family, family.source, PLAN.parent)
    for name, split in (("train", train), ("dev", dev)):
        rows = [
            {"text": text, "label": label} | ({"id": split.ids[i]} if split.ids else {})
            for i, (text, label) in enumerate(zip(split.texts, split.labels, strict=True))
        ]
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    data = {"train": "train.jsonl", "dev": "dev.jsonl", "on_leak": "drop"}
    recipe = {
        "name": folder.name,
        "languages": [family.source.language],
        "strategy": "head",
        "data": data | ({"id": "id"} if train.ids else {}),
        "training": {"max_length": family.max_length},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    file = folder / "recipe.yaml"
    pipeline.train(pipeline.prepare(load_recipe(file), file, backbone).job, folder)


def job_of(
    family: StudyFamily, rows: SideRows, labels: list[str], work: Path, backbone: Path
) -> ClassificationJob:
    train, dev, test = rows
    recipe = ClassificationRecipe(
        name="target",
        languages=["en"],
        data=DataRecipe(train="-", dev="-", on_leak="drop"),
        training=TrainingRecipe(max_length=family.max_length),
    )
    return ClassificationJob(
        recipe=recipe,
        file=work / "none" / "target" / "recipe.yaml",
        backbone=backbone,
        sites=[],
        splits=Splits(train, dev, test, labels, [], {}),
        parent=None,
        parent_labels=None,
        parent_rows=None,
    )


def digits(answers: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.frombuffer(answers.encode(), np.uint8).astype(np.int64) - ord("0")


def judged(
    findings: Findings, record: dict[str, Any], language: str, draw: int | None
) -> dict[str, Any]:
    """What was advised, against the study's answers to the test rows."""
    gold, metric = digits(record["gold"][language]), counted_f1(len(record["labels"]))
    prefix, seed = ("", 0) if draw is None else ("few_", draw)
    answers = {
        way: digits(record["answers"][f"{language}/{prefix}{method}/{seed}"])
        for way, method in WAYS.items()
    }
    test = {way: metric(gold, run) for way, run in answers.items()}
    for method in LORA:
        key = f"{language}/{prefix}{method}/{seed}"
        if key in record["answers"]:
            test[method] = metric(gold, digits(record["answers"][key]))
    tied = [_key(way) for way in findings.tied]
    chosen = tied[0]
    regret = max(test.values()) - test[chosen]
    if len(tied) == 1:
        others = [value for way, value in test.items() if way in WAYS and way != chosen]
        right = max(others) - test[chosen] <= CLOSE
    else:
        right = all(_same(gold, answers[chosen], answers[way], metric) for way in tied[1:])
    return {
        "chosen": chosen,
        "tied": tied,
        "regret": round(regret, 2),
        "right": bool(right),
        "held_out": {_key(way): way.macro_f1.value for way in findings.ways},
        "test": {way: round(value, 1) for way, value in test.items()},
    }


def _key(way: Way) -> str:
    """Of `WAYS`."""
    return "source" if way.source else way.key


def _same(gold: Any, ours: Any, theirs: Any, metric: Any) -> bool:
    difference = paired_difference(gold, [ours], [theirs], metric)
    return abs(difference.value) <= CLOSE or difference.low <= 0 <= difference.high


def summary(cases: list[dict[str, Any]]) -> dict[str, Any]:
    """Shares in percent, regrets in points."""
    told = [case for case in cases if len(case["tied"]) == 1]
    unsure = [case for case in cases if len(case["tied"]) > 1]

    def share(some: list[bool]) -> float | None:
        return round(100 * statistics.mean(some), 1) if some else None

    always = {
        way: round(statistics.mean(max(c["test"].values()) - c["test"][way] for c in cases), 2)
        for way in WAYS
    }
    return {
        "cases": len(cases),
        "within_2_points": share([case["regret"] <= CLOSE for case in cases]),
        "regret": round(statistics.mean(case["regret"] for case in cases), 2),
        "regret_of_always": always,
        "told": len(told),
        "told_right": share([case["right"] for case in told]),
        "cannot_tell": len(unsure),
        "cannot_tell_right": share([case["right"] for case in unsure]),
        "cpu_seconds": round(statistics.mean(case["cpu_seconds"] for case in cases), 1),
    }


def run(study: Study, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Every case, kept in `cases.jsonl` of the work folder as it is done; those that are there are
    not done again."""
    kept = options.work / "cases.jsonl"
    lines = kept.read_text(encoding="utf-8").splitlines() if kept.exists() else []
    cases: list[dict[str, Any]] = [json.loads(line) for line in lines]
    done = {(case["target"], case["draw"]) for case in cases}
    for family in study.families:
        wanted = [
            side
            for side in family.targets
            if not options.targets or f"{family.name}/{side.language}" in options.targets
        ]
        if not wanted:
            continue
        library = Library(options.work / "sources")
        train_source(family, library.root / f"{family.name}-source", options.backbone)
        record = json.loads((PLAN.parent / f"{family.name}.json").read_text(encoding="utf-8"))
        for side in wanted:
            train, dev, test = read_side(family, side, PLAN.parent)
            target = f"{family.name}/{side.language}"
            for draw in [None, *study.few_seeds[: options.draws]]:
                if (target, draw) in done:
                    continue
                few = train.few(study.shots, draw or 0)
                few_dev = replace(few, ids=[])  # else their translations would be left out
                rows = (train, dev, test) if draw is None else (few, few_dev, test)
                job = job_of(family, rows, record["labels"], options.work, options.backbone)
                started = time.process_time()
                findings = advise(job, library)
                seconds = round(time.process_time() - started, 1)
                case = {"target": target, "draw": draw}
                case |= judged(findings, record, side.language, draw) | {"cpu_seconds": seconds}
                with kept.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(case) + "\n")
                print(case, flush=True)
                cases.append(case)
    return cases


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--backbone", type=Path, default=default_backbone())
    parser.add_argument("--draws", type=int, default=5, help="of ten rows a label")
    parser.add_argument("--targets", nargs="+", default=[])
    parser.add_argument(
        "--work",
        type=Path,
        default=Path(tempfile.mkdtemp()),
        help="source adapters and cases found here are kept",
    )
    options = parser.parse_args()
    study = load_study(PLAN)
    cases = run(study, options)
    groups = {
        "all_rows": [case for case in cases if case["draw"] is None],
        f"{study.shots}_a_label": [case for case in cases if case["draw"] is not None],
    }
    figures = {name: summary(some) for name, some in groups.items() if some}
    print(json.dumps({"bench": "advise", **figures, "cases": cases}))


if __name__ == "__main__":
    main()
