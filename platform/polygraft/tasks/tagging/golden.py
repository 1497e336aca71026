"""The goldens of a tagger: short texts with the emissions that their words got."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from polygraft.architectures.text import load_encoder
from polygraft.tasks.serving import Floats
from polygraft.tasks.tagging.job import TaggingJob
from polygraft.tasks.tagging.manifest import GoldenTags
from polygraft.tasks.tagging.rows import TaggedRow
from polygraft.tasks.tagging.run import TaggingRun
from polygraft.tasks.tagging.states import states_of
from polygraft.training.goldens import CANDIDATES, beginnings, rounded

COUNT = 4


def choose_golden(job: TaggingJob, run: TaggingRun) -> list[GoldenTags]:
    """Beginnings of dev texts (of training texts too, where those are few) whose emissions the
    adapter moves most, a word."""
    encoder = load_encoder(job.backbone)
    texts = beginnings(*([row.text for row in rows] for rows in (job.splits.dev, job.splits.train)))
    rows = [TaggedRow.of([text], ["O"]) for text in texts[:CANDIDATES]]
    adapted, longest = run.adapted.eval(), job.recipe.training.max_length

    def neural() -> list[Floats]:
        return [run.head.neural(states) for states in states_of(adapted, encoder, rows, longest)]

    now = neural()
    with adapted.disable_adapter():
        bare = neural()
    if not job.recipe.trains_lora:  # what the head gives to no state at all
        bare = [np.tile(run.head.bias, (len(one), 1)) for one in now]
    moved = [float(np.abs(a - b).mean()) for a, b in zip(now, bare, strict=True)]
    return [
        GoldenTags(
            text=rows[place].text,
            neural=rounded(now[place].ravel()),
            bare=rounded(bare[place].ravel()),
            lexical=_lexical(run, rows[place].words),
        )
        for place in np.argsort(moved)[::-1][:COUNT]
    ]


def _lexical(run: TaggingRun, words: Sequence[str]) -> list[float]:
    return rounded(run.head.lexical.emissions(words).ravel()) if run.head.lexical else []
