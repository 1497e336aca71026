"""One training run of a tagger: rows as windows with their features, the loop, and the tags of the
held-out rows.

Both parts of the head are trained together, under one chain. On dev of MasakhaNER 2 (Swahili,
Yoruba; entity F1, one seed), the states of the frozen backbone: a linear head that knows nothing of
its neighbours 57.3 and 26.4, the same with the backbone's case feature off 47.4, under a chain 66.3
and 33.4; letters, shapes and neighbours alone 86.1 and 78.7, under a chain 90.1 and 82.6; both
90.6 and 82.1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from transformers import EarlyStoppingCallback, EvalPrediction, PreTrainedModel

from polygraft.adapters.format import load_adapter
from polygraft.architectures.loading import load_backbone
from polygraft.architectures.text import Encoded, TextEncoder, load_encoder
from polygraft.tasks.serving import Floats
from polygraft.tasks.tagging import model
from polygraft.tasks.tagging.features import Numbers, features
from polygraft.tasks.tagging.head import Head
from polygraft.tasks.tagging.job import TaggingJob
from polygraft.tasks.tagging.lexical import places_of
from polygraft.tasks.tagging.metrics import score
from polygraft.tasks.tagging.rows import TaggedRow, TagSet
from polygraft.tasks.tagging.run import TaggingRun
from polygraft.tasks.tagging.states import states_of
from polygraft.tasks.tagging.windows import windows_of
from polygraft.training.batches import tensors
from polygraft.training.loop import run_loop
from polygraft.training.softmax import IGNORED
from polygraft.training.speed import bf16_wanted

SEEN, KEPT = 2, 2**16
"""A feature is kept that training saw so often; of more, the commonest."""
FROZEN_RATE = 1.5
"""By what the learning rate is higher where nothing but the head is trained."""


@dataclass(frozen=True)
class Item:
    """What is tagged together: a row, or a window of a long one. `tokens` are the places of its
    words' first tokens in `encoded`, `labels` the words' tags, `features` the places of their known
    features, counted from 1; `states` [words, hidden], where they are known already."""

    encoded: Encoded
    tokens: NDArray[np.int64]
    labels: NDArray[np.int64]
    features: NDArray[np.int64] | None
    states: NDArray[np.float16] | None


class Items(torch.utils.data.Dataset[Item]):
    """A list of them, as the Trainer takes it."""

    def __init__(self, items: Sequence[Item]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, place: int) -> Item:
        return self.items[place]


def fit(job: TaggingJob, seed: int, work: Path) -> TaggingRun:
    """One run of the recipe; its checkpoints lie in `work`, from where it goes on."""
    transformers.set_seed(seed)
    recipe, tag_set, rows = job.recipe, job.splits.tag_set, job.train_rows(seed)
    known = known_features(rows) if recipe.lexical == "auto" else None
    adapted = model.adapted_backbone(recipe, job.backbone, job.sites, job.parent)
    start = load_adapter(job.parent).head if job.parent and same_tags(job.parent, tag_set) else None
    head = model.ChainHead(adapted.config.hidden_size, tag_set, known, start)
    encoder = load_encoder(job.backbone)
    trained: model.Tagger | model.FrozenTagger
    states: tuple[list[Floats] | None, list[Floats] | None] = (None, None)
    if recipe.trains_lora:
        trained = model.Tagger(adapted, head)
    else:
        trained = model.FrozenTagger(head)
        states = bare_states(job, rows), bare_states(job, job.splits.dev)
    epochs = train_head(job, trained, rows, states, encoder, seed, work)
    adapted.eval()
    served = head.eval().as_served()
    answers = tag_rows(job, served, adapted if recipe.trains_lora else None, encoder)
    gold = [row.tags for row in job.splits.dev]
    return TaggingRun(
        seed=seed,
        adapted=adapted,
        head=served,
        dev_score=score(gold, answers(job.splits.dev), tag_set.scheme),
        epochs=epochs,
        predicted=answers(job.held_out[1]),
    )


def train_head(
    job: TaggingJob,
    trained: model.Tagger | model.FrozenTagger,
    rows: Sequence[TaggedRow],
    states: tuple[Sequence[Floats] | None, Sequence[Floats] | None],
    encoder: TextEncoder,
    seed: int,
    work: Path,
) -> float:
    """Train on `rows`, the checkpoint chosen on dev; `states` are those of rows and of dev, where
    they are known. Returns how many epochs it took."""
    options, tag_set = job.recipe.training, job.splits.tag_set
    head = trained.head
    train, dev = (
        items_of(some, known_states, tag_set, head.known, encoder, options.max_length)
        for some, known_states in zip((rows, job.splits.dev), states, strict=True)
    )
    frozen = isinstance(trained, model.FrozenTagger)
    sample = collate(train[: options.batch_size], encoder)
    state = run_loop(
        trained,
        work,
        title=f"{job.recipe.name} seed {seed}",
        seed=seed,
        bf16=not frozen and bf16_wanted(options.bf16, lambda: trained(**sample)),
        train=Items(train),
        dev=Items(dev),
        collate=lambda items: collate(items, encoder),
        compute_metrics=lambda p: {"score": window_score(p, head, tag_set)},
        callbacks=[EarlyStoppingCallback(options.patience)],
        num_train_epochs=job.recipe.epochs,
        per_device_train_batch_size=options.batch_size,
        per_device_eval_batch_size=2 * options.batch_size,
        learning_rate=options.learning_rate * (FROZEN_RATE if frozen else 1),
        weight_decay=options.weight_decay,
        warmup_steps=options.warmup,
        eval_strategy="epoch",
        save_strategy="epoch",
        logging_strategy="epoch",
        metric_for_best_model="score",
        report_to=options.report_to or "none",
    )
    return round(state.epoch or 0, 2)


def known_features(rows: Sequence[TaggedRow]) -> Numbers:
    """The features that training rows have often enough, ascending."""
    numbers, counts = np.unique(
        np.concatenate([features(row.words).ravel() for row in rows]), return_counts=True
    )
    often = counts >= min(SEEN, counts.max())
    numbers, counts = numbers[often], counts[often]
    return np.sort(numbers[np.argsort(-counts, kind="stable")[:KEPT]])


def items_of(
    rows: Sequence[TaggedRow],
    states: Sequence[Floats] | None,
    tag_set: TagSet,
    known: Numbers | None,
    encoder: TextEncoder,
    longest: int,
) -> list[Item]:
    """The rows as what is tagged together; words without a token are left out."""
    number = {tag: place for place, tag in enumerate(tag_set.tags)}
    items = list[Item]()
    for place, (row, encoded) in enumerate(
        zip(rows, encoder.encode_words([row.words for row in rows]), strict=True)
    ):
        labels = np.array([number[tag] for tag in row.word_tags(tag_set.scheme)], np.int64)
        of_words = places_of(features(row.words), known) + 1 if known is not None else None
        for window in windows_of(encoder, encoded, longest):
            items.append(
                Item(
                    window.encoded,
                    window.tokens,
                    labels[window.words],
                    of_words[window.words] if of_words is not None else None,
                    states[place][window.words].astype(np.float16) if states else None,
                )
            )
    return items


def collate(items: Sequence[Item], encoder: TextEncoder) -> dict[str, torch.Tensor]:
    """A batch as `Tagger` or, where states are known, `FrozenTagger` reads it."""
    longest = max(len(item.labels) for item in items)

    def padded(arrays: Sequence[NDArray[Any]], fill: int) -> torch.Tensor:
        first = arrays[0]
        batch = np.full((len(arrays), longest, *first.shape[1:]), fill, first.dtype)
        for row, array in enumerate(arrays):
            batch[row, : len(array)] = array
        return torch.from_numpy(batch)

    batch = {"labels": padded([item.labels for item in items], IGNORED)}
    if items[0].features is not None:
        batch["features"] = padded([i.features for i in items if i.features is not None], 0)
    if items[0].states is not None:
        states = padded([i.states for i in items if i.states is not None], 0)
        return batch | {"states": states.float()}
    batch["tokens"] = padded([item.tokens for item in items], 0)
    return batch | tensors(encoder.pad([item.encoded for item in items]))


def window_score(predicted: EvalPrediction, head: model.ChainHead, tag_set: TagSet) -> float:
    """The score of emissions [items, words, tags], by the chain as it is now."""
    chain, tags = head.chain(), tag_set.tags
    gold, answered = list[list[str]](), list[list[str]]()
    for emissions, labels in zip(predicted.predictions, predicted.label_ids, strict=True):
        inside = labels != IGNORED
        gold.append([tags[i] for i in labels[inside]])
        answered.append([tags[i] for i in chain.best(emissions[inside])])
    return score(gold, answered, tag_set.scheme)


def tag_rows(
    job: TaggingJob, head: Head, adapted: PreTrainedModel | None, encoder: TextEncoder
) -> Callable[[Sequence[TaggedRow]], list[list[str]]]:
    """What tags the tokens of rows, by the states of `adapted`; None: of the bare backbone, which
    are kept."""
    tag_set = job.splits.tag_set

    def answers(rows: Sequence[TaggedRow]) -> list[list[str]]:
        if head.weight is None:
            states = [np.zeros((len(row.words), 0), np.float32) for row in rows]
        elif adapted is None:
            states = bare_states(job, rows)
        else:
            states = states_of(adapted, encoder, rows, job.recipe.training.max_length)
        return [
            row.token_tags(
                [tag_set.tags[i] for i in head.chain.best(head.emissions(of_row, row.words))],
                tag_set.scheme,
            )
            for row, of_row in zip(rows, states, strict=True)
        ]

    return answers


def bare_states(job: TaggingJob, rows: Sequence[TaggedRow]) -> list[Floats]:
    """States of the rows' words by the bare backbone, computed once for all jobs that share
    `job.state_cache`."""
    new = [row for row in rows if row.text not in job.state_cache]
    if new:
        backbone = load_backbone(job.backbone)
        encoder = load_encoder(job.backbone)
        states = states_of(backbone, encoder, new, job.recipe.training.max_length)
        job.state_cache.update(
            (row.text, of_row.astype(np.float16)) for row, of_row in zip(new, states, strict=True)
        )
    return [job.state_cache[row.text].astype(np.float32) for row in rows]


def same_tags(parent: Path, tag_set: TagSet) -> bool:
    """Whether the adapter in a folder answers with the same tags, in the same order."""
    manifest = load_adapter(parent).manifest
    return (manifest.labels, manifest.scheme) == (tag_set.labels, tag_set.scheme)
