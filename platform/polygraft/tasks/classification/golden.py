"""Choose the golden inputs: rows on which the adapter's answer differs most from its head on the
bare backbone.

At load the engine replays them; an adapter that is not really applied answers like the bare
backbone there.
"""

from __future__ import annotations

import numpy as np

from polygraft.architectures.text import TextEncoder
from polygraft.tasks.classification import model
from polygraft.tasks.classification.job import ClassificationJob
from polygraft.tasks.classification.lexical import Lexical
from polygraft.tasks.classification.manifest import GoldenLogits
from polygraft.tasks.classification.parts import Join
from polygraft.training.goldens import CANDIDATES, COUNT, beginnings, rounded


def choose_golden(
    classifier: model.Classifier,
    lexical: Lexical | None,
    join: Join,
    job: ClassificationJob,
    encoder: TextEncoder,
) -> list[GoldenLogits]:
    """Beginnings of dev rows (of training rows too, where those are few), spread over the labels,
    with float32 logits computed by PyTorch and peft."""
    texts = beginnings(job.splits.dev.texts, job.splits.train.texts)
    whole = [
        (text, row)
        for text, row in zip(texts, encoder.encode(texts), strict=True)
        if not row.truncated
    ][:CANDIDATES]
    texts = [text for text, _ in whole]
    batches = [encoder.pad([row for _, row in whole])]  # of `CANDIDATES` short texts at most
    logits = model.logits_of(classifier, batches)
    bare = model.logits_of(classifier, batches, bare=True)
    if np.allclose(bare, logits, atol=1e-4):
        # a head on the frozen backbone: what it gives to no text at all
        bare = np.tile(classifier.head.bias.detach().numpy(), (len(bare), 1))
    gap = np.linalg.norm(logits - bare, axis=1)
    best = logits.argmax(axis=1)
    ranked = [
        list(np.flatnonzero(best == label)[np.argsort(-gap[best == label])])
        for label in range(logits.shape[1])
    ]
    chosen: list[int] = []
    while len(chosen) < min(COUNT, len(texts)):
        chosen += [queue.pop(0) for queue in ranked if queue]
    goldens = list[GoldenLogits]()
    for i in chosen[:COUNT]:
        by_words = lexical.logits(texts[i]) if lexical else None
        goldens.append(
            GoldenLogits(
                text=texts[i],
                logits=rounded(logits[i]),
                bare=rounded(bare[i]),
                lexical=[] if by_words is None else rounded(by_words),
                joined=rounded(join.joined(logits[i], by_words)),
            )
        )
    return goldens
