"""Which strategy suits a recipe's own data: cheap figures on its dev rows, and rules of thumb that
name the figures they went by.

The thresholds are rules of thumb. What the study (`adapters/study/README.md`) says: with hundreds
of rows TF-IDF is hard to beat; with ten a label, and a backbone that knows the language, a head
that is given a source's rows too gains 6 to 24 points over it. Does not: train LoRA (`polygraft
train --full-ladder` does, and decides).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from polygraft.adapters.format import LAYOUT, load_manifest
from polygraft.adapters.library import Library
from polygraft.errors import RecipeError
from polygraft.tasks.classification import model
from polygraft.tasks.classification.data import check_parent, read_split
from polygraft.tasks.classification.encoding import encoder_of, likeliest, predict
from polygraft.tasks.classification.fit import fit
from polygraft.tasks.classification.job import ClassificationJob
from polygraft.tasks.classification.manifest import ClassificationManifest
from polygraft.tasks.classification.metrics import macro_f1
from polygraft.tasks.classification.recipe import SourceRows
from polygraft.tasks.classification.run import ClassificationRun
from polygraft.tasks.classification.tfidf import majority
from polygraft.tasks.language.manifest import LanguageManifest
from polygraft.transfer import sources

FEW, MANY = 50, 200  # rows of the rarest label
TRIED = 3  # sources


@dataclass(frozen=True)
class Advice:
    """A strategy and why."""

    strategy: str
    why: str


def advise(job: ClassificationJob, library: Library) -> dict[str, Any]:
    """`rows` by label, `sources` as `polygraft sources` ranks them, macro-F1 on `dev` of what takes
    seconds, and `advice`, the best first. Raises `DataError` for a source that saw translations of
    the dev or test rows."""
    counts = Counter(job.splits.train.labels)
    try:
        ranked = sources.rank(job, library)
    except RecipeError:
        ranked = []
    dev, labels = job.splits.dev, job.splits.labels
    gold = np.array(dev.labels)

    def score(predicted: list[str]) -> float:
        return round(macro_f1(gold, np.array(predicted)), 1)

    own = _head(job)
    lexical, head = score(_lexical_alone(own, job)), round(own.dev_score, 1)
    zero_shot, with_source = dict[str, float](), dict[str, float]()
    for candidate in ranked[:TRIED]:
        name = candidate.name
        if name is None:
            continue
        rows = read_split(library.folder(name) / LAYOUT.recipe, "train")
        check_parent(job.recipe, name, rows, job.splits)
        zero_shot[name] = score(_zero_shot(job, library.folder(name), labels))
        source = SourceRows(adapter=name, by="even")
        mixed = replace(
            job, recipe=job.recipe.model_copy(update={"source": source}), source_rows=rows
        )
        with_source[name] = round(_head(mixed).dev_score, 1)
    languages = [
        name for name in library.names() if _reads(library.folder(name), job.recipe.languages)
    ]
    advice = rules(min(counts.values()), lexical, head, zero_shot, with_source, languages)
    return {
        "rows": dict(counts),
        "sources": [asdict(candidate) for candidate in ranked],
        "dev": {"tfidf": lexical, "head": head}
        | {f"zero-shot {name}": value for name, value in zero_shot.items()}
        | {f"head, rows of {name} too": value for name, value in with_source.items()},
        "advice": [asdict(one) for one in advice],
    }


def rules(
    rarest: int,
    tfidf: float,
    head: float,
    zero_shot: dict[str, float],
    with_source: dict[str, float],
    languages: list[str],
) -> list[Advice]:
    """The advice of every rule that applies, the strongest first.

    `rarest` counts the rows of the rarest label; the others are macro-F1 on dev: of TF-IDF and of a
    linear head on the target's rows, by name of adapters as they are (`zero_shot`) and of a head
    that is given their rows too (`with_source`). `languages` names the language adapters that fit.
    """
    source = max(zero_shot, key=zero_shot.__getitem__, default="")
    row_source = max(with_source, key=with_source.__getitem__, default="")
    without = (
        f"the best that learnt from yours alone, {'TF-IDF' if tfidf >= head else 'a head'}, "
        f"{max(tfidf, head)}"
    )
    beats = bool(source) and zero_shot[source] >= max(tfidf, head)
    rules = [  # whether it applies, strategy, why
        (
            tfidf > max([head, *zero_shot.values(), *with_source.values()]),
            "TF-IDF",
            f"scores {tfidf} on dev, more than all else that takes seconds; if the full ladder "
            "agrees, use it and no adapter",
        ),
        (
            bool(row_source) and with_source[row_source] >= max([tfidf, head, *zero_shot.values()]),
            "head",
            f"with `source: {{adapter: {row_source}}}`: on its rows and yours it scores "
            f"{with_source.get(row_source)} on dev; {without}",
        ),
        (
            beats,
            "parent",
            f"{source}, without any of your rows, scores {zero_shot.get(source)} on dev; {without}",
        ),
        (
            bool(source) and not beats and rarest < MANY,
            "parent",
            f"{rarest} rows of the rarest label are few, and {source} knows these labels: "
            f"{zero_shot.get(source)} on dev before it "
            "has seen one of your rows",
        ),
        (
            bool(source) and rarest < FEW,
            "mixed",
            f"with fewer than {FEW} rows of a label, the rows of {source} beside yours keep the "
            "head from fitting noise",
        ),
        (
            not source and rarest < FEW,
            "head",
            f"no adapter here has these labels, and {rarest} rows of the rarest are too few for "
            "LoRA; a linear head scores "
            f"{head} on dev in seconds",
        ),
        (
            rarest >= FEW,
            "lora",
            f"{rarest} rows of the rarest label can train LoRA from the bare backbone; it has to "
            f"beat {max(tfidf, head)}",
        ),
        (
            bool(languages),
            "stack",
            f"{', '.join(languages)} reads this language; whether it helps, the full ladder tells",
        ),
    ]
    return [Advice(strategy, why) for applies, strategy, why in rules if applies]


def _head(job: ClassificationJob) -> ClassificationRun:
    """Strategy `head`, with a lexical part; what it would be scored on are the dev rows."""
    recipe = job.recipe.model_copy(update={"strategy": "head", "lexical": "auto"})
    splits = replace(job.splits, test=None)
    return fit(replace(job, recipe=recipe, splits=splits), 0, Path())


def _lexical_alone(run: ClassificationRun, job: ClassificationJob) -> list[str]:
    lexical = run.held_out.lexical
    if lexical is None:
        return majority(job.splits.train, job.splits.dev.texts)
    return likeliest(lexical, job.splits.labels)


def _zero_shot(job: ClassificationJob, adapter: Path, labels: list[str]) -> list[str]:
    classifier = model.build(
        job.recipe,
        job.backbone,
        job.sites,
        labels,
        None,
        adapter,
        load_manifest(adapter, ClassificationManifest).labels,
    )
    return predict(classifier, encoder_of(job), job.splits.dev.texts, labels)


def _reads(folder: Path, languages: list[str]) -> bool:
    manifest = load_manifest(folder)
    of_language = isinstance(manifest, LanguageManifest)
    return of_language and bool(set(manifest.languages) & set(languages))
