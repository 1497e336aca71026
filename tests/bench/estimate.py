"""The quality estimate of translated sentences: calibrated on dev rows of the bundled translators,
and how well it tells bad translations from good ones.

    POLYGRAFT_DATA=... python tests/bench/estimate.py [--rows 250] [--write]

Dev rows of every direction are translated greedily, as they are served, and scored by sentence
chrF++. Weights (least squares) and bound are found on nine tenths of the rows, and looked at on the
tenth that is left, ten times: of the worst fifth of all sentences the share that is flagged, and of
the better half. By direction: the same, each with its own worst fifth and better half. `--write`
fits on all rows and writes `platform/polygraft/tasks/translation/estimate.json`. JSON line last.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polygraft.adapters.format import LAYOUT, load_manifest
from polygraft.adapters.library import BUNDLED
from polygraft.architectures.folder import default_backbone
from polygraft.data.reading import thinned
from polygraft.runtime.engine import Engine
from polygraft.runtime.rows import Row
from polygraft.tasks.recipe import load_recipe
from polygraft.tasks.translation.data import Pair, load_pairs
from polygraft.tasks.translation.estimate import FILE, features
from polygraft.tasks.translation.metrics import chrf_plus_plus
from polygraft.tasks.translation.recipe import TranslationRecipe
from polygraft.tasks.translation.segments import PlainText, fits
from polygraft.tasks.translation.serving import Translated

FLAGGED = 0.085
"""Of the better half of the rows that the bound is found on; less than a tenth is wanted."""
FOLDS = 10
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scored:
    """A sentence's direction, features [12] and chrF++."""

    direction: str
    features: Floats
    chrf: float


def dev_pairs(folder: Path, most: int) -> list[Pair]:
    """Of both directions of an adapter, at most so many each."""
    recipe = load_recipe(folder / LAYOUT.recipe)
    assert isinstance(recipe, TranslationRecipe)
    few = [files.model_copy(update={"limit": 50}) for files in recipe.data.train]  # not needed
    data = recipe.data.model_copy(update={"train": few})
    pairs = load_pairs(recipe.model_copy(update={"data": data}), folder).dev
    every = [*pairs, *(pair.reversed() for pair in pairs)]
    of_direction = ([p for p in every if p.languages == d] for d in recipe.directions)
    return [pair for some in of_direction for pair in thinned(some, most)]


def scored(engine: Engine, name: str, pairs: Sequence[Pair]) -> list[Scored]:
    """The pairs' sources, translated by an adapter."""
    chrf, rows = chrf_plus_plus(), list[Scored]()
    asked = [Row(name, p.source, p.languages[0], target=p.languages[1]) for p in pairs]
    for pair, answer in zip(pairs, engine.answer(asked), strict=True):
        document = PlainText.read(pair.source, pair.languages[0], fits(engine.encoder))
        if not isinstance(answer, Translated) or len(document.texts) != 1:
            continue  # a row's score is the mean log-probability only where it is one sentence
        score = chrf.sentence_score(answer.text, [pair.target]).score
        seen = features(pair.source, answer.text, answer.scores[0], cut=answer.cut)
        rows.append(Scored("-".join(pair.languages), seen, score))
    return rows


def fit(rows: Sequence[Scored]) -> tuple[Floats, float]:
    """Weights, and the bound of the estimate."""
    matrix = np.stack([row.features for row in rows])
    chrf = np.array([row.chrf for row in rows])
    weights = np.linalg.lstsq(matrix, chrf, rcond=None)[0]
    estimates = np.clip(matrix @ weights / 100, 0, 1)
    good = estimates[chrf >= np.median(chrf)]
    return weights, float(np.quantile(good, FLAGGED))


def flagged(chrf: Floats, flags: NDArray[np.bool_]) -> dict[str, float]:
    """Shares of the worst fifth and of the better half that are flagged, in percent."""
    worst, better = chrf <= np.quantile(chrf, 0.2), chrf >= np.median(chrf)
    shares = {"worst fifth": flags[worst].mean(), "better half": flags[better].mean()}
    return {name: round(100 * float(share), 1) for name, share in shares.items()}


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--rows", type=int, default=250, help="a direction")
    options.add_argument("--write", action="store_true")
    chosen = options.parse_args()
    if "POLYGRAFT_DATA" not in os.environ:
        raise SystemExit("POLYGRAFT_DATA is not set; give the folder of the public data")
    engine, rows = Engine(default_backbone()), list[Scored]()
    for card in sorted(BUNDLED.glob(f"*/{LAYOUT.manifest}")):
        manifest = load_manifest(card.parent)
        if manifest.task == "translation":
            engine.add(card.parent)
            rows += scored(engine, manifest.name, dev_pairs(card.parent, chosen.rows))
            print(f"{manifest.name}: {len(rows)} rows so far", flush=True)
    engine.close()

    chrf, estimates = np.array([row.chrf for row in rows]), np.zeros(len(rows))
    flags = np.zeros(len(rows), bool)
    fold_of = np.random.default_rng(0).permutation(len(rows)) % FOLDS
    for fold in range(FOLDS):
        weights, bound = fit([row for row, f in zip(rows, fold_of, strict=True) if f != fold])
        for i in np.flatnonzero(fold_of == fold):
            estimates[i] = np.clip(rows[i].features @ weights / 100, 0, 1)
            flags[i] = estimates[i] < bound
    figures: dict[str, Any] = {
        "rows": len(rows),
        "correlation": round(float(np.corrcoef(estimates, chrf)[0, 1]), 2),
        "flagged": flagged(chrf, flags),
        "by direction": {},
    }
    for direction in sorted({row.direction for row in rows}):
        own = np.array([row.direction == direction for row in rows])
        figures["by direction"][direction] = flagged(chrf[own], flags[own])
    if chosen.write:
        weights, bound = fit(rows)
        content = {
            "backbone": engine.card.backbone,
            "weights": [round(float(weight), 5) for weight in weights],
            "bound": round(bound, 4),
            "figures": figures,
        }
        FILE.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
