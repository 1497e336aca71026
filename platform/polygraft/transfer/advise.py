"""Which strategy suits a recipe's own data: what can be had in seconds is compared on its rows,
with intervals.

The choice is made by repeated stratified folds over train and dev (see `comparing`); ways whose
intervals cannot tell them from the best are said to tie. How good the choice is on test rows is
measured (docs/results/transfer.md). Without torch: vectors are the serving graph's, which takes a
sixth of the time. Does not: train LoRA (`polygraft train` does, and ends with its verdict), or look
at test rows, but for leaks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np

from polygraft.adapters.format import load_manifest
from polygraft.adapters.library import Library, open_library
from polygraft.data.reading import thinned
from polygraft.data.splits import Split
from polygraft.errors import AdapterError
from polygraft.reporting.intervals import Interval
from polygraft.runtime.engine import Engine
from polygraft.tasks.classification.features import features
from polygraft.tasks.classification.job import ClassificationJob
from polygraft.tasks.classification.recipe import SourceRows
from polygraft.tasks.classification.shared_vectors import SharedVectors
from polygraft.tasks.classification.source_rows import ids_of
from polygraft.tasks.language.manifest import LanguageManifest
from polygraft.training.linear_head import Vectors
from polygraft.training.phases import phase
from polygraft.transfer import parallel
from polygraft.transfer.as_it_is import AsItIs, try_as_it_is
from polygraft.transfer.candidates import Candidates, SourceAdapter, find_candidates
from polygraft.transfer.comparing import HEAD, LEXICAL, Compared, Pool, compare
from polygraft.transfer.mixing import Beside, row_weights, twins
from polygraft.transfer.translations import partners_of_splits
from polygraft.transfer.vectors import read_vectors

SOURCE_ROWS = 300  # encoded of a source that shares no vectors
TRANSLATED_ROWS = 200  # of each split, looked at for translations
FEW = 50  # rows of the rarest label


@dataclass(frozen=True)
class Way:
    """A way to a classifier, and its macro-F1 on held-out rows. `key` is the name of a source,
    whose rows a head is given too, or `HEAD` or `LEXICAL`. `behind` is by how much the best way
    leads it; None for the best itself."""

    key: str
    macro_f1: Interval
    behind: Interval | None

    @property
    def source(self) -> str | None:
        return None if self.key in (HEAD, LEXICAL) else self.key

    @property
    def name(self) -> str:
        """For people."""
        return f"head with {self.source}" if self.source else self.key

    @property
    def ties(self) -> bool:
        """Whether it cannot be told from the best."""
        return self.behind is None or self.behind.low <= 0


@dataclass(frozen=True)
class Findings:
    """What was compared. `ways` are the best first, empty where a label has one row, so that none
    can be held out; `rows` counts those that were held out, `training_rows` those of each label to
    train on. `left_out` tells of adapters of the same task why they were not compared; `others` are
    the labels of all classifiers there are, by name, where none is of the same task."""

    training_rows: dict[str, int]
    rows: int
    ways: list[Way]
    sources: dict[str, SourceAdapter]
    left_out: dict[str, str]
    others: dict[str, list[str]] = field(default_factory=dict)
    as_it_is: list[AsItIs] = field(default_factory=list)
    languages: list[str] = field(default_factory=list)

    @property
    def rarest(self) -> int:
        """Training rows of the rarest label."""
        return min(self.training_rows.values())

    @property
    def tied(self) -> list[Way]:
        """Those that cannot be told from the best, it among them; the one to take first.

        With few rows that is the best with a source: on the study's targets, ten rows a label, this
        costs 0.8 points against the best on test, and taking the best of all 0.9.
        """
        tied = [way for way in self.ways if way.ties]
        if self.rarest < FEW:
            tied.sort(key=lambda way: way.source is None)  # stable: else the order stays
        return tied


def advise(
    job: ClassificationJob, library: Library | None = None, source: SourceRows | None = None
) -> Findings:
    """Compare what takes seconds on the job's rows. `library` is where adapters are looked for,
    beside the recipe's own folder (None: that which is served); `source` is the recipe's, for its
    label map."""
    candidates = find_candidates(job, library, source)
    train = job.drawn_rows(job.seeds[0])
    rows = _together(train, job.splits.dev)
    engine = Engine(job.backbone, slots=64, window=job.recipe.training.max_length)
    with closing(engine):
        reader = _Reader(engine, job, rows, candidates)
        vectors = reader.vectors(rows.texts)
        pool = Pool(
            rows,
            vectors,
            [features(text) for text in rows.texts],
            Counter(train.labels),
            job.recipe.lexical == "auto",
        )
        sources = dict[str, Beside]()
        for candidate in candidates.found:
            shared = reader.shared(candidate)
            if not candidate.shares_ids and (why := _translated(reader, job, candidate, shared)):
                candidates.left_out[candidate.name] = why
                continue
            weights = row_weights("domain", vectors[: len(train)], train.labels, shared)
            sources[candidate.name] = Beside(shared, weights, twins(rows.ids, vectors, shared))
        with phase("comparing", pool.steps(len(sources))) as advance:
            compared = compare(pool, job.splits.labels, sources, advance)
        named = {one.name: one for one in candidates.found if one.name in sources}
        ways = _ways(compared) if compared else []
        as_it_is = []
        if compared:
            best = compared.answers[ways[0].key]
            as_it_is = try_as_it_is(
                engine, pool, job.splits.labels, list(named.values()), sources, best
            )
    return Findings(
        training_rows=dict(Counter(train.labels)),
        rows=len(rows),
        ways=ways,
        sources=named,
        left_out=candidates.left_out,
        others=candidates.others if not named and not candidates.left_out else {},
        as_it_is=as_it_is,
        languages=_language_adapters(job, library),
    )


def _together(train: Split, dev: Split) -> Split:
    """The rows of both; a dev row that is a training row too is there once."""
    seen = set(train.texts)
    new = dev.without({i for i, text in enumerate(dev.texts) if text in seen})
    return Split(train.texts + new.texts, train.labels + new.labels, train.ids + new.ids)


class _Reader:
    """Unit vectors [rows, hidden] of texts, by the serving graph. All that will be asked for are
    read at once, under one bar."""

    def __init__(
        self, engine: Engine, job: ClassificationJob, rows: Split, candidates: Candidates
    ) -> None:
        texts = [*rows.texts]
        if candidates.found:
            for split in (job.splits.train, job.splits.dev, job.splits.test):
                texts += thinned(split.texts, TRANSLATED_ROWS) if split else []
        for candidate in candidates.found:
            texts += _some(candidate.rows).texts if isinstance(candidate.rows, Split) else []
        self.known = read_vectors(engine, texts)

    def vectors(self, texts: Sequence[str]) -> Vectors:
        return np.array([self.known[text] for text in texts])

    def shared(self, candidate: SourceAdapter) -> SharedVectors:
        """What the candidate shares of its rows, or would."""
        rows = candidate.rows
        if isinstance(rows, SharedVectors):
            return rows.scaled(None)
        some = _some(rows)
        return SharedVectors(self.vectors(some.texts), some.labels, ids_of(some))


def _some(rows: Split) -> Split:
    """`SOURCE_ROWS` of the rows, evenly spread."""
    return rows.without(set(range(len(rows))) - set(thinned(range(len(rows)), SOURCE_ROWS)))


def _translated(
    reader: _Reader, job: ClassificationJob, candidate: SourceAdapter, shared: SharedVectors
) -> str | None:
    """Why training would refuse the source: dev or test look translated from its rows."""
    held_out = parallel.held_out_texts(job, TRANSLATED_ROWS)
    theirs = _some(candidate.rows).texts if isinstance(candidate.rows, Split) else None
    one_language = parallel.speak_alike(candidate.manifest.languages, job.recipe.languages)
    found = partners_of_splits(
        shared.vectors,
        reader.vectors(thinned(job.splits.train.texts, TRANSLATED_ROWS)),
        {name: reader.vectors(texts) for name, texts in held_out.items()},
        one_language=one_language,
    )
    for name, partners in found.items():
        if partners.are_translations:
            what = parallel.verdict(partners, held_out[name], theirs, one_language=one_language)
            return f"{name}: {what} that it was trained on"
    return None


def _ways(compared: Compared) -> list[Way]:
    """Best first; of equals the simpler."""
    scores = {name: compared.score(name) for name in (LEXICAL, HEAD, *compared.answers)}
    first, *others = sorted(scores, key=lambda name: -scores[name].value)
    return [
        Way(first, scores[first], None),
        *(Way(name, scores[name], compared.lead(first, name)) for name in others),
    ]


def _language_adapters(job: ClassificationJob, library: Library | None) -> list[str]:
    """Names of language adapters that read the recipe's language."""
    shelf, found = library or open_library(), list[str]()
    for name in shelf.names():
        try:
            manifest = load_manifest(shelf.folder(name))
        except AdapterError:
            continue
        reads = set(manifest.languages) & set(job.recipe.languages)
        if isinstance(manifest, LanguageManifest) and reads:
            found.append(name)
    return found
