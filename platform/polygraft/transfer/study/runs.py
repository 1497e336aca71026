"""The runs of one family: each trains or fits something and answers the target's test rows.

What was answered is kept, row by row, in one JSON file, so that every figure can be computed again; a run that is in the file
is not made again.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from polygraft.architectures.folder import encoder_part, fingerprint
from polygraft.data.splits import Splits
from polygraft.tasks.classification import model
from polygraft.tasks.classification.head import fit_head
from polygraft.tasks.classification.job import Job, encoder_of, predict
from polygraft.tasks.classification.recipe import ClassificationRecipe, DataRecipe, SourceRows, TrainingRecipe
from polygraft.tasks.classification.tfidf import majority, tfidf
from polygraft.tasks.classification.training import fit
from polygraft.training.lora import put_under
from polygraft.training.sites import graph_sites
from polygraft.transfer.study.plan import Family, Side, Study
from polygraft.transfer.study.rows import Three, check, read_side

Answers = list[str]
Made = Iterator[tuple[str, Callable[[], Answers]]]


@dataclass
class Runs:
    """`answers["yo/parent/0"]` are the test answers of a run, as positions in `labels`, a digit a row; so is `gold["yo"]`."""

    file: Path
    record: dict[str, Any]

    @classmethod
    def load(cls, file: Path, backbone: str, labels: list[str]) -> Runs:
        """What the file holds, unless it is of another backbone."""
        found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        if found.get("backbone") != backbone or found.get("labels") != labels:
            found = {"backbone": backbone, "labels": labels, "gold": {}, "answers": {}}
        return cls(file, found)

    def save(self) -> None:
        self.file.write_text(json.dumps(self.record, indent=0, sort_keys=True) + "\n", encoding="utf-8")

    def digits(self, answers: Answers) -> str:
        return "".join(str(self.record["labels"].index(a)) for a in answers)


def run_family(study: Study, family: Family, file: Path, backbone: Path, work: Path, say: Console) -> Runs:
    """Make every run of the family that `file.parent/NAME.json` lacks. `work` keeps the source adapters. Raises `DataError`."""
    source = read_side(family, family.source, file.parent)
    targets = {side.language: read_side(family, side, file.parent) for side in family.targets}
    check(family, source, targets)
    labels = sorted(set(source[0].labels))
    runs = Runs.load(file.parent / f"{family.name}.json", encoder_part(fingerprint(backbone)), labels)
    bench = _Bench(study, family, file, backbone, work, labels, source)
    for side in family.targets:
        test = targets[side.language][2]
        assert test
        runs.record["gold"][side.language] = runs.digits(test.labels)
        for name, make in bench.runs_of(side, targets[side.language]):
            key = f"{side.language}/{name}"
            if key not in runs.record["answers"]:
                say.print(f"{family.name} {key}", highlight=False)
                runs.record["answers"][key] = runs.digits(make())
                runs.save()
    return runs


class _Bench:
    """Trains what is asked for; source adapters once a seed, and each text's vector is computed once."""

    def __init__(
        self, study: Study, family: Family, file: Path, backbone: Path, work: Path, labels: list[str], source: Three
    ) -> None:
        self.study, self.family, self.file, self.backbone, self.work = study, family, file, backbone, work
        self.labels, self.source, self.sites = labels, source, graph_sites(backbone)
        self.known: dict[Any, Any] = {}

    def runs_of(self, side: Side, rows: Three) -> Made:
        """Names and makers of the target's runs, cheap ones first."""
        train, _, test = rows
        assert test
        ours, theirs, texts = self._job(rows), self._job((*self.source[:2], test)), test.texts
        yield "majority/0", lambda: majority(train, texts)
        yield "tfidf/0", lambda: tfidf(train, texts)
        yield "tfidf_zero_shot/0", lambda: tfidf(self.source[0], texts)
        yield "head/0", lambda: fit_head(ours, 0).predicted
        yield "head_zero_shot/0", lambda: fit_head(theirs, 0).predicted
        yield "head_mixed/0", lambda: fit_head(self._mixed(ours), 0).predicted
        for seed in self.study.few_seeds:
            few = self._few(rows, seed)
            yield f"few_tfidf/{seed}", lambda few=few: tfidf(few.splits.train, texts)  # type: ignore[misc]
            yield f"few_head/{seed}", lambda few=few: fit_head(few, 0).predicted  # type: ignore[misc]
            yield (
                f"few_head_mixed/{seed}",
                lambda few=few: fit_head(self._mixed(few), 0).predicted,  # type: ignore[misc]
            )
        for seed in self.study.seeds:
            yield f"zero_shot/{seed}", lambda seed=seed: self._answer(self._adapter(seed), texts)  # type: ignore[misc]
            yield f"lora/{seed}", lambda seed=seed: self._train(ours, seed).predicted  # type: ignore[misc]
            yield f"parent/{seed}", lambda seed=seed: self._train(ours, seed, self._adapter(seed)).predicted  # type: ignore[misc]
        if side.stack and self.family.source.stack:
            there, here = self._language(side.stack), self._language(self.family.source.stack)
            for seed in self.study.seeds:
                on_top = lambda seed=seed: self._adapter(seed, here)  # noqa: E731
                yield f"stack/{seed}", lambda top=on_top: self._answer(top(), texts, [(there, 1.0)])  # type: ignore[misc]
                yield f"stack_kept/{seed}", lambda top=on_top: self._answer(top(), texts, [(here, 1.0)])  # type: ignore[misc]
                yield (
                    f"arithmetic/{seed}",
                    lambda seed=seed: self._answer(self._adapter(seed), texts, [(there, 1.0), (here, -1.0)]),  # type: ignore[misc]
                )
        for number, seed in enumerate(self.study.few_seeds):
            few, start = self._few(rows, seed), self.study.seeds[number % len(self.study.seeds)]
            yield (
                f"few_parent/{seed}",
                lambda few=few, seed=seed, start=start: self._train(few, seed, self._adapter(start)).predicted,  # type: ignore[misc]
            )

    def _job(self, rows: Three, epochs: float | None = None) -> Job:
        train, dev, test = rows
        training = TrainingRecipe(epochs=epochs or self.family.epochs, max_length=self.family.max_length)
        recipe = ClassificationRecipe(
            name=self.family.name, languages=[self.family.source.language], data=DataRecipe(train="-", dev="-"),
            lora=self.study.lora, training=training,
        )  # fmt: skip
        splits = Splits(train, dev, test, self.labels, [], {})
        return Job(recipe, self.file, self.backbone, self.sites, splits, None, None, None, known=self.known)

    def _few(self, rows: Three, seed: int) -> Job:
        """Few rows a label, drawn by the seed, and none to choose a checkpoint by: they are chosen by themselves."""
        few = rows[0].few(self.study.shots, seed)
        return self._job((few, few, rows[2]), self.study.few_epochs)

    def _mixed(self, job: Job) -> Job:
        """The same with the source's rows beside the target's."""
        source = SourceRows(adapter=self.family.source.language, by="even")
        return replace(job, recipe=job.recipe.model_copy(update={"source": source}), source_rows=self.source[0])

    def _train(self, job: Job, seed: int, parent: Path | None = None, under: Path | None = None) -> Any:
        job = replace(job, parent=parent, parent_labels=self.labels if parent else None, under=(under,) if under else ())
        with tempfile.TemporaryDirectory(dir=self.work) as folder:
            return fit(job, seed, Path(folder))

    def _adapter(self, seed: int, under: Path | None = None) -> Path:
        """The source's adapter of a seed, on top of a language adapter or by itself; trained when there is none of
        the same rows, recipe and backbone yet."""
        key = replace(self._job(self.source), under=(under,) if under else ()).key
        name = f"{self.family.name}-{self.family.source.language}-{under.name if under else 'bare'}-{seed}-{key}"
        folder = self.work / name
        if not (folder / "done").exists():
            folder.mkdir(parents=True, exist_ok=True)
            model.save(self._train(self._job(self.source), seed, None, under).classifier, folder, self.backbone)
            (folder / "done").touch()
        return folder

    def _answer(self, adapter: Path, texts: Answers, under: list[tuple[Path, float]] | None = None) -> Answers:
        job = self._job(self.source)
        classifier = model.build(job.recipe, self.backbone, self.sites, self.labels, None, adapter, self.labels)
        put_under(classifier.adapted, [p for p, _ in under or []], [w for _, w in under or []])
        return predict(classifier, encoder_of(job), texts, self.labels)

    def _language(self, name: str) -> Path:
        return self.file.resolve().parent.parent / name
