"""The runs of one family: each trains or fits something and answers the target's test rows.

What was answered is kept, row by row, in one JSON file, so that every figure can be computed again;
a run that is in the file is not made again.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from polygraft.architectures.folder import encoder_part, fingerprint
from polygraft.data.splits import Splits
from polygraft.tasks.classification import model
from polygraft.tasks.classification.encoding import encoder_of, likeliest, predict
from polygraft.tasks.classification.fit import fit
from polygraft.tasks.classification.job import ClassificationJob
from polygraft.tasks.classification.lexical_training import fit_lexical
from polygraft.tasks.classification.recipe import (
    ClassificationRecipe,
    DataRecipe,
    SourceRows,
    TrainingRecipe,
)
from polygraft.tasks.classification.run import ClassificationRun
from polygraft.tasks.classification.tfidf import majority, tfidf, tuned_tfidf
from polygraft.training.lora import set_stack
from polygraft.training.sites import graph_sites
from polygraft.transfer.study.plan import Side, Study, StudyFamily
from polygraft.transfer.study.rows import SideRows, check, read_side

Answers = list[str]
NamedRuns = Iterator[tuple[str, Callable[[], Answers]]]
"""The name of each run, `method/seed`, and the function that makes it."""


@dataclass
class FamilyRecord:
    """What the runs of a family answered, and the JSON file that keeps it.

    `record["answers"]["yo/parent/0"]` are the test answers of a run, as positions in
    `record["labels"]`, a digit a row; so are the true labels, `record["gold"]["yo"]`.
    """

    file: Path
    record: dict[str, Any]

    @classmethod
    def load(cls, file: Path, backbone: str, labels: list[str]) -> FamilyRecord:
        """The record in the file, or an empty one where it is of another backbone or other
        labels."""
        record = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        if record.get("backbone") != backbone or record.get("labels") != labels:
            record = {"backbone": backbone, "labels": labels, "gold": {}, "answers": {}}
        return cls(file, record)

    def save(self) -> None:
        self.file.write_text(
            json.dumps(self.record, indent=0, sort_keys=True) + "\n", encoding="utf-8"
        )

    def digits(self, answers: Answers) -> str:
        """The labels as the record keeps them."""
        return "".join(str(self.record["labels"].index(label)) for label in answers)


def run_family(
    study: Study, family: StudyFamily, file: Path, backbone: Path, work: Path, say: Console
) -> FamilyRecord:
    """Make every run of the family that `file.parent/NAME.json` lacks. `work` keeps the source
    adapters. Raises `DataError`."""
    source = read_side(family, family.source, file.parent)
    targets = {side.language: read_side(family, side, file.parent) for side in family.targets}
    check(family, source, targets)
    labels = sorted(set(source[0].labels))
    kept = FamilyRecord.load(
        file.parent / f"{family.name}.json", encoder_part(fingerprint(backbone)), labels
    )
    trainer = _FamilyTrainer(study, family, file, backbone, work, labels, source)
    for side in family.targets:
        test = targets[side.language][2]
        assert test
        kept.record["gold"][side.language] = kept.digits(test.labels)
        for name, run in trainer.runs_of(side, targets[side.language]):
            key = f"{side.language}/{name}"
            if key not in kept.record["answers"]:
                say.print(f"{family.name} {key}", highlight=False)
                kept.record["answers"][key] = kept.digits(run())
                kept.save()
    return kept


class _FamilyTrainer:
    """Trains the methods of one family. Source adapters are trained once a seed, and each text's
    vector is computed once."""

    def __init__(
        self,
        study: Study,
        family: StudyFamily,
        file: Path,
        backbone: Path,
        work: Path,
        labels: list[str],
        source: SideRows,
    ) -> None:
        self.study, self.family, self.labels, self.source = study, family, labels, source
        self.file, self.backbone, self.work = file, backbone, work
        self.sites = graph_sites(backbone)
        self.vector_cache: dict[Any, Any] = {}

    def runs_of(self, side: Side, rows: SideRows) -> NamedRuns:
        """The runs of a target, cheap ones first."""
        train, _, test = rows
        assert test
        source_train, source_dev, _ = self.source
        on_target, on_source = self._job(rows), self._job((source_train, source_dev, test))
        texts = test.texts
        yield "majority/0", partial(majority, train, texts)
        yield "tfidf/0", partial(tfidf, train, texts)
        yield "tfidf_zero_shot/0", partial(tfidf, source_train, texts)
        yield "head/0", partial(self._head, on_target)
        yield "head_zero_shot/0", partial(self._head, on_source)
        yield "head_mixed/0", partial(self._head, self._mixed(on_target))
        yield "tuned_tfidf/0", partial(tuned_tfidf, train, texts)
        yield "lexical/0", partial(self._lexical, on_target)
        yield "hybrid_alone/0", partial(self._hybrid, on_target)
        yield "hybrid/0", partial(self._hybrid, self._mixed(on_target))
        for seed in self.study.few_seeds:
            few = self._few(rows, seed)
            yield f"few_tfidf/{seed}", partial(tfidf, few.splits.train, texts)
            yield f"few_head/{seed}", partial(self._head, few)
            yield f"few_head_mixed/{seed}", partial(self._head, self._mixed(few))
            yield f"few_tuned_tfidf/{seed}", partial(tuned_tfidf, few.splits.train, texts)
            yield f"few_lexical/{seed}", partial(self._lexical, few)
            yield f"few_hybrid_alone/{seed}", partial(self._hybrid, few)
            yield f"few_hybrid/{seed}", partial(self._hybrid, self._mixed(few))
        for seed in self.study.seeds:
            yield f"zero_shot/{seed}", partial(self._zero_shot, seed, texts)
            yield f"lora/{seed}", partial(self._lora, on_target, seed)
            yield f"parent/{seed}", partial(self._lora, on_target, seed, parent_seed=seed)
        yield from self._stacked(side, texts)
        for number, seed in enumerate(self.study.few_seeds):
            start = self.study.seeds[number % len(self.study.seeds)]
            few = self._few(rows, seed)
            yield f"few_parent/{seed}", partial(self._lora, few, seed, parent_seed=start)

    def _stacked(self, side: Side, texts: Answers) -> NamedRuns:
        """Runs of the source's adapters with language adapters, where both sides have one."""
        if not (side.stack and self.family.source.stack):
            return
        target, source = self._language(side.stack), self._language(self.family.source.stack)
        for seed in self.study.seeds:
            stacked = partial(self._zero_shot, seed, texts, trained_on=source)
            yield f"stack/{seed}", partial(stacked, stack=[(target, 1.0)])
            yield f"stack_kept/{seed}", partial(stacked, stack=[(source, 1.0)])
            sum_of_both = [(target, 1.0), (source, -1.0)]
            yield f"arithmetic/{seed}", partial(self._zero_shot, seed, texts, stack=sum_of_both)

    def _head(self, job: ClassificationJob) -> Answers:
        """A linear head on the frozen backbone."""
        return self._fit(job, "none").predicted

    def _hybrid(self, job: ClassificationJob) -> Answers:
        """The same beside a lexical part."""
        return self._fit(job, "auto").predicted

    def _lexical(self, job: ClassificationJob) -> Answers:
        """The lexical part alone."""
        train, texts = job.splits.train, job.held_out[1].texts
        fitted = fit_lexical(train, self.labels, [])
        return likeliest(fitted.logits(texts), self.labels) if fitted else majority(train, texts)

    def _fit(self, job: ClassificationJob, lexical: str) -> ClassificationRun:
        recipe = job.recipe.model_copy(update={"strategy": "head", "lexical": lexical})
        return fit(replace(job, recipe=recipe), 0, self.work)

    def _lora(self, job: ClassificationJob, seed: int, parent_seed: int | None = None) -> Answers:
        """LoRA on the job's rows, started from the source's adapter of `parent_seed` if given."""
        parent = None if parent_seed is None else self._adapter(parent_seed)
        return list(self._train(job, seed, parent).predicted)

    def _zero_shot(
        self,
        seed: int,
        texts: Answers,
        trained_on: Path | None = None,
        stack: Sequence[tuple[Path, float]] = (),
    ) -> Answers:
        """The source's adapter, trained on top of a language adapter or by itself, on target
        texts with `stack` under it."""
        job = self._job(self.source)
        adapter = self._adapter(seed, trained_on)
        classifier = model.build(
            job.recipe, self.backbone, self.sites, self.labels, None, adapter, self.labels
        )
        set_stack(classifier.adapted, [path for path, _ in stack], [weight for _, weight in stack])
        return predict(classifier, encoder_of(job), texts, self.labels)

    def _job(self, rows: SideRows, epochs: float | None = None) -> ClassificationJob:
        """A recipe of the family's settings on these rows, made ready."""
        train, dev, test = rows
        training = TrainingRecipe(
            epochs=epochs or self.family.epochs, max_length=self.family.max_length
        )
        recipe = ClassificationRecipe(
            name=self.family.name,
            languages=[self.family.source.language],
            data=DataRecipe(train="-", dev="-"),
            lora=self.study.lora,
            lexical="none",
            training=training,
        )
        return ClassificationJob(
            recipe=recipe,
            file=self.file,
            backbone=self.backbone,
            sites=self.sites,
            splits=Splits(train, dev, test, self.labels, [], {}),
            parent=None,
            parent_labels=None,
            parent_rows=None,
            vector_cache=self.vector_cache,
        )

    def _few(self, rows: SideRows, seed: int) -> ClassificationJob:
        """A job on few rows a label, drawn by the seed. The same rows choose the checkpoint: who
        has few has none to spare for dev."""
        train, _, test = rows
        few = train.few(self.study.shots, seed)
        return self._job((few, few, test), self.study.few_epochs)

    def _mixed(self, job: ClassificationJob) -> ClassificationJob:
        """The job with the source's training rows beside its own."""
        source = SourceRows(adapter=self.family.source.language, by="even")
        source_train, _, _ = self.source
        return replace(
            job, recipe=job.recipe.model_copy(update={"source": source}), source_rows=source_train
        )

    def _train(
        self,
        job: ClassificationJob,
        seed: int,
        parent: Path | None = None,
        language_adapter: Path | None = None,
    ) -> ClassificationRun:
        """Train the job from the adapter `parent`, on top of `language_adapter`, where given."""
        job = replace(
            job,
            parent=parent,
            parent_labels=self.labels if parent else None,
            stack=(language_adapter,) if language_adapter else (),
        )
        with tempfile.TemporaryDirectory(dir=self.work) as folder:
            return fit(job, seed, Path(folder))

    def _adapter(self, seed: int, language_adapter: Path | None = None) -> Path:
        """The source's adapter of a seed, on top of a language adapter or by itself; trained when
        there is none of the same rows, recipe and backbone yet."""
        job = self._job(self.source)
        stack = (language_adapter,) if language_adapter else ()
        key = replace(job, stack=stack).key
        base = language_adapter.name if language_adapter else "bare"
        name = f"{self.family.name}-{self.family.source.language}-{base}-{seed}-{key}"
        folder = self.work / name
        if not (folder / "done").exists():
            folder.mkdir(parents=True, exist_ok=True)
            run = self._train(job, seed, language_adapter=language_adapter)
            model.save(run.classifier, folder, self.backbone)
            (folder / "done").touch()
        return folder

    def _language(self, name: str) -> Path:
        """The folder of a language adapter: beside the plan's."""
        return self.file.resolve().parent.parent / name
