"""Adapters of the same task as they are, without one of the recipe's rows: what they answer to
some of these rows. Without torch. Does not: train anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from polygraft.data.reading import thinned
from polygraft.errors import PolygraftError
from polygraft.reporting.intervals import Interval, bootstrap, paired_difference
from polygraft.runtime.engine import Engine
from polygraft.runtime.rows import Row
from polygraft.tasks.classification.joining import places
from polygraft.tasks.classification.label_map import own_names
from polygraft.tasks.classification.metrics import counted_f1
from polygraft.tasks.classification.serving import Classified
from polygraft.training.phases import phase
from polygraft.transfer.candidates import SourceAdapter
from polygraft.transfer.comparing import Answers, Pool
from polygraft.transfer.mixing import Beside

ROWS, ADAPTERS = 200, 3
SEEN = 0.2  # of the recipe's rows; of an adapter that was trained on more, nothing can be said


@dataclass(frozen=True)
class AsItIs:
    """An adapter's macro-F1 on some of the recipe's rows, and by how much the best way that is
    given rows leads it on the same ones."""

    name: str
    rows: int
    macro_f1: Interval
    behind: Interval


def try_as_it_is(
    engine: Engine,
    pool: Pool,
    labels: Sequence[str],
    adapters: Sequence[SourceAdapter],
    sources: Mapping[str, Beside],
    best: Answers,
) -> list[AsItIs]:
    """Of at most `ADAPTERS`. Left out is one that was trained on rows like the recipe's, on top of
    others, or that cannot be loaded. `best` [repeats, rows] is what the best way answers."""
    unseen = [
        one
        for one in adapters
        if not one.manifest.stack and _seen(sources[one.name], len(pool.rows)) < SEEN
    ][:ADAPTERS]
    numbers = np.array(thinned(range(len(pool.rows)), ROWS))
    gold, metric = places(pool.rows.labels, labels)[numbers], counted_f1(len(labels))
    figures = list[AsItIs]()
    if not unseen:
        return figures
    with phase("adapters as they are", len(unseen)) as advance:
        for one in unseen:
            texts = [pool.rows.texts[i] for i in numbers]
            if (answers := _answers(engine, one, texts, labels)) is not None:
                runs = [run[numbers] for run in best]
                behind = paired_difference(gold, runs, [answers], metric)
                score = bootstrap(gold, [answers], metric)
                figures.append(AsItIs(one.name, len(numbers), score, behind))
            advance(1)
    return figures


def _seen(source: Beside, rows: int) -> float:
    """The share of the recipe's rows that are among the source's, or nearly."""
    return sum(len(places) > 0 for places in source.held_out_with) / rows


def _answers(
    engine: Engine, adapter: SourceAdapter, texts: Sequence[str], labels: Sequence[str]
) -> Answers | None:
    """Places among `labels` of what the adapter finds likeliest; None where it cannot be asked."""
    names = own_names(labels, adapter.renamed)
    try:
        name = engine.add(adapter.folder).name
        count = len(adapter.manifest.labels)
        answers = engine.answer([Row(name, text, truncate=True, top_k=count) for text in texts])
        engine.remove(name)
    except PolygraftError:
        return None
    likeliest = list[str]()
    for answer in answers:
        if not isinstance(answer, Classified):
            return None
        likeliest.append(next(names[one.label] for one in answer.labels if one.label in names))
    return places(likeliest, labels)
