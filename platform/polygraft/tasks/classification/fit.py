"""One training run of a classifier: the lexical part, the neural part, and the weights that join
them.

The weights are found on rows that neither part was trained on: the dev rows, and, for a head on the
frozen backbone, which is fitted in seconds, folds of the target's training rows too (LoRA would
have to be trained once a fold). A zero-shot classifier has no row of its target. Its lexical part
is the source's words, which may mean nothing there: it counts as much as it does on a file of rows
that is held out whole, so not at all where there are fewer than three files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import transformers

from polygraft.data.splits import Split
from polygraft.tasks.classification import model
from polygraft.tasks.classification.encoding import encoder_of, likeliest, neural_logits, vectors_of
from polygraft.tasks.classification.fine_tuning import fine_tune
from polygraft.tasks.classification.head import fit_head
from polygraft.tasks.classification.job import ClassificationJob
from polygraft.tasks.classification.joining import (
    UNMEASURED,
    Fold,
    Held,
    domains_of,
    find_join,
    folds_of,
    places,
    together,
)
from polygraft.tasks.classification.lexical_training import LexicalFit, fit_lexical
from polygraft.tasks.classification.metrics import macro_f1
from polygraft.tasks.classification.parts import Join, Parts
from polygraft.tasks.classification.run import ClassificationRun
from polygraft.tasks.serving import Floats
from polygraft.training.linear_head import unit
from polygraft.training.lora import set_stack
from polygraft.transfer.mixing import out_of_fold


def fit(job: ClassificationJob, seed: int, work: Path) -> ClassificationRun:
    """One run of the recipe; its checkpoints lie in `work`, from where it goes on."""
    transformers.set_seed(seed)
    labels, rows = job.splits.labels, job.train_rows(seed)
    zero_shot = job.recipe.strategy == "zero-shot"
    folds = domains_of(rows) if zero_shot else folds_of(rows)
    lexical = None
    if job.recipe.lexical == "auto" and (folds or not zero_shot):
        lexical = fit_lexical(rows, labels, folds)
    if job.recipe.strategy == "head":
        beside = lexical.out_of_fold if lexical else None
        head = fit_head(job, rows, folds, beside)
        classifier, epochs, source_weight = head.classifier, 0.0, head.source_weight
        by_fold = Held(places(rows.labels, labels), Parts(head.out_of_fold, beside), rows.texts)
        by_fold = by_fold.first(len(rows.originals))  # altered copies are no news
        tuning = [by_fold] if folds else []
    else:
        tuned = fine_tune(job, rows, seed, work)
        classifier, epochs, source_weight = tuned.classifier, tuned.epochs, tuned.source_weight
        tuning = []
    dev, (_, held_out) = job.splits.dev, job.held_out

    def parts(texts: Sequence[str]) -> Parts:
        return Parts(_neural(job, classifier, texts), lexical.logits(texts) if lexical else None)

    on_dev = parts(dev.texts)
    if not set(dev.texts) & set(rows.texts):  # none of them was trained on
        known = Parts(on_dev.neural) if zero_shot else on_dev
        tuning.append(Held(places(dev.labels, labels), known, dev.texts))
    tuning_rows = together(tuning) if tuning else None
    join = find_join(tuning_rows) if tuning_rows else UNMEASURED
    if zero_shot and lexical:
        join = Join(join.neural, join.neural * _lexical_share(job, rows, folds, lexical))

    def answers(scored: Parts) -> list[str]:
        return likeliest(scored.joined(join), labels)

    scored = parts(held_out.texts)
    swapped: list[str] = []
    if job.swapped_stack:
        set_stack(classifier.adapted, job.swapped_stack)
        swapped = answers(parts(held_out.texts))
        set_stack(classifier.adapted, job.stack)
    return ClassificationRun(
        seed=seed,
        classifier=classifier,
        lexical=lexical.part if lexical else None,
        join=join,
        tuning=tuning_rows,
        dev_score=macro_f1(np.array(dev.labels), np.array(answers(on_dev))),
        held_out=scored,
        predicted=answers(scored),
        epochs=epochs,
        predicted_swapped=swapped,
        source_weight=source_weight,
    )


def _neural(job: ClassificationJob, classifier: model.Classifier, texts: Sequence[str]) -> Floats:
    """Logits [len(texts), labels]. A head's vectors are those it was fitted on, and kept."""
    if job.recipe.strategy != "head":
        return neural_logits(classifier, encoder_of(job), texts)
    weight, bias = (p.detach().numpy() for p in (classifier.head.weight, classifier.head.bias))
    logits: Floats = vectors_of(job, texts, classifier.adapted) @ weight.T + bias
    return logits


def _lexical_share(
    job: ClassificationJob, rows: Split, folds: Sequence[Fold], lexical: LexicalFit
) -> float:
    """What the lexical part counts on files that are held out whole, where a head on the frozen
    backbone counts 1."""
    labels = job.splits.labels
    neural = out_of_fold(unit(vectors_of(job, rows.texts)), rows.labels, labels, folds)
    join = find_join(Held(places(rows.labels, labels), Parts(neural, lexical.out_of_fold)))
    return join.lexical / join.neural if join.neural > 0 else 0.0
