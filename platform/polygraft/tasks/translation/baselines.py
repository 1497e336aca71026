"""The ladder of a translation adapter, the same rows on every rung: copying the source, a model
from random weights on the same pairs, the bare backbone, the recipe without its parent, the
adapter. chrF++ leads; the gain is paired over sentences."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.progress import track

from polygraft.architectures.loading import load_seq2seq
from polygraft.tasks.translation import metrics
from polygraft.tasks.translation.greedy import translate_passages
from polygraft.tasks.translation.job import TranslationJob
from polygraft.tasks.translation.run import Run

EXAMPLES = 4


def score_baselines(
    job: TranslationJob, ours: Sequence[Run], others: Mapping[str, Sequence[Run]]
) -> dict[str, Any]:
    """Figures of every rung for every direction, on dev and, where there is one, test."""
    bare = load_seq2seq(job.backbone)
    found: dict[str, Any] = {}
    for split in ("dev", "test") if job.pairs.test else ("dev",):
        for direction, pairs in track(
            job.pairs_of(split).items(),
            description=f"scoring {split}",
            console=Console(stderr=True),
        ):
            if not pairs:
                continue
            sources, references = (
                [p.source for p in pairs],
                [unicodedata.normalize("NFC", p.target) for p in pairs],
            )
            models = {
                "bare": [bare],
                **{name: [r.translator.inner for r in runs] for name, runs in others.items()},
            }
            models["adapter"] = [r.translator.inner for r in ours]
            written = {"copy": [sources]} | {
                name: [translate_passages(m, *job.texts, sources, direction) for m in each]
                for name, each in models.items()
            }
            found.setdefault(split, {})["-".join(direction)] = _figures(
                sources, references, written
            )
    return {"directions": found}


def _figures(
    sources: list[str], references: list[str], written: dict[str, list[list[str]]]
) -> dict[str, Any]:
    rungs = {}
    for name, runs in written.items():
        plain = metrics.scores(runs[0], references)
        rungs[name] = {"chrf++": metrics.interval(references, runs).record(), "bleu": plain["bleu"]}
        bared = metrics.scores([_bared(t) for t in runs[0]], [_bared(r) for r in references])
        rungs[name]["chrf++_without_marks"] = bared["chrf++"]
    figures: dict[str, Any] = {
        "rows": len(references),
        "rungs": rungs,
        "signatures": plain["signatures"],
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
    """The best, the worst and two from between, by their own chrF++."""
    metric = metrics.chrf_plus_plus()
    scored = sorted(
        (round(metric.sentence_score(w, [r]).score, 1), s, r, w)
        for s, r, w in zip(sources, references, written, strict=True)
    )
    places = [round(i * (len(scored) - 1) / (EXAMPLES - 1)) for i in range(EXAMPLES)]
    return [
        dict(zip(("chrf++", "source", "reference", "written"), scored[i], strict=True))
        for i in places[::-1]
    ]


def _bared(text: str) -> str:
    """Without combining marks: tone marks and under-dots gone."""
    return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))
