"""The ladder of baselines of a translator, all on the same rows: copying the source, a model from
random weights on the same pairs, the bare backbone, the recipe without its parent, the adapter.
chrF++ leads; the gain is paired over sentences."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.progress import track

from polygraft.tasks.translation import metrics
from polygraft.tasks.translation.greedy import translate_passages
from polygraft.tasks.translation.job import TranslationJob
from polygraft.tasks.translation.model import load_base
from polygraft.tasks.translation.run import TranslationRun

EXAMPLES = 4


def score_baselines(
    job: TranslationJob,
    runs: Sequence[TranslationRun],
    others: Mapping[str, Sequence[TranslationRun]],
) -> dict[str, Any]:
    """Figures of every baseline and of the adapter (`runs`) for every direction, on dev and, where
    there is one, test. `others` are the runs of the baselines that were trained, by name.

    "bare" is what lies under the adapter: the backbone, with the job's stack on it."""
    models = {"bare": [load_base(job.backbone, job.stack)]}
    for name, trained in (*others.items(), ("adapter", runs)):
        models[name] = [run.translator.inner for run in trained]
    figures: dict[str, Any] = {}
    for split in ("dev", "test") if job.pairs.test else ("dev",):
        for direction, pairs in track(
            job.pairs_of(split).items(),
            description=f"scoring {split}",
            console=Console(stderr=True),
        ):
            if not pairs:
                continue
            sources = [pair.source for pair in pairs]
            references = [unicodedata.normalize("NFC", pair.target) for pair in pairs]
            written = {"copy": [sources]}
            for name, seeds in models.items():
                written[name] = [
                    translate_passages(model, *job.tokenizers, sources, direction)
                    for model in seeds
                ]
            by_direction = figures.setdefault(split, {})
            by_direction["-".join(direction)] = _figures(sources, references, written)
    return {"directions": figures}


def _figures(
    sources: list[str], references: list[str], written: dict[str, list[list[str]]]
) -> dict[str, Any]:
    """Figures of one direction. `written` has the translations of every seed by baseline."""
    without_marks = [_without_marks(reference) for reference in references]
    baselines = {}
    for name, runs in written.items():
        first = metrics.scores(runs[0], references)
        first_without_marks = metrics.scores([_without_marks(t) for t in runs[0]], without_marks)
        baselines[name] = {
            "chrf++": metrics.interval(references, runs).record(),
            "bleu": first["bleu"],
            "chrf++_without_marks": first_without_marks["chrf++"],
        }
        signatures = first["signatures"]
    figures: dict[str, Any] = {
        "rows": len(references),
        "rungs": baselines,
        "signatures": signatures,
    }
    if "no_parent" in written:
        gain = metrics.paired_difference(references, written["adapter"], written["no_parent"])
        figures["gain_from_parent"] = gain.record() | {"verdict": gain.verdict}
    over = metrics.paired_difference(references, written["adapter"], written["bare"])
    figures["over_bare"] = over.record() | {"verdict": over.verdict}
    figures["examples"] = _examples(sources, references, written["adapter"][0])
    return figures


def _examples(
    sources: list[str], references: list[str], written: list[str]
) -> list[dict[str, Any]]:
    """The best, two from between and the worst, by their own chrF++."""
    metric = metrics.chrf_plus_plus()
    scored = sorted(
        (
            round(metric.sentence_score(translation, [reference]).score, 1),
            source,
            reference,
            translation,
        )
        for source, reference, translation in zip(sources, references, written, strict=True)
    )
    places = [round(i * (len(scored) - 1) / (EXAMPLES - 1)) for i in range(EXAMPLES)]
    names = ("chrf++", "source", "reference", "written")
    return [dict(zip(names, scored[place], strict=True)) for place in places[::-1]]


def _without_marks(text: str) -> str:
    """`text` without its combining marks: tone marks and under-dots are gone."""
    return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))
