"""The engine: graphs + banks + scheduler. Takes rows of any task, returns answers; knows nothing of HTTP.

Rows of every task are encoded together; rows that are translated then go on to the writer's lanes.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from polygraft.adapters.format import Adapter, Manifest
from polygraft.architectures.folder import BackboneFiles
from polygraft.architectures.text import Encoded, load_encoder, not_unicode, pad, too_many_marks
from polygraft.errors import AdapterError, InvalidRow, PolygraftError, RowFailed, shortened
from polygraft.runtime import passage, prove
from polygraft.runtime.admission import Admission, units
from polygraft.runtime.bank import Bank
from polygraft.runtime.futures import finished, when_all
from polygraft.runtime.graph import Floats, GraphSession, Stack, by_depth, load_card, mixture
from polygraft.runtime.residents import Lease, Resident, Residents
from polygraft.runtime.row_work import RowWork
from polygraft.runtime.rows import Answer, Classified, Row, Translated
from polygraft.runtime.scheduler import Scheduler
from polygraft.runtime.search import Hypothesis, Search
from polygraft.runtime.writer import Writer
from polygraft.tasks.classification.serving import Head, ranked
from polygraft.tasks.translation.serving import direction_of

log = logging.getLogger(__name__)
MAX_CHARACTERS = 20_000
FAILED = "the server failed on this row, its log says why; the other rows are answered"
Listener = Callable[[str], None]


class Engine:
    """One backbone and its resident adapters. Every method may be called from any thread. `queue` bounds the work under way,
    in the units of `admission`; `niceness` is added to the threads that compute."""

    def __init__(
        self, backbone: Path, *, precision: str = "int8", slots: int = 128, batch_tokens: int = 2048,
        threads: int = 0, queue: int | None = None, niceness: int = 0,
    ) -> None:  # fmt: skip
        files = BackboneFiles(backbone)
        self.card = load_card(backbone)
        files.require(files.model(precision))
        self.encoder = load_encoder(backbone)
        self.session = GraphSession(files.model(precision), threads, niceness)
        self.bank = Bank(self.card.sites, slots)
        self.bank.require(self.session.inputs, files.model(precision))
        decoder = self.card.decoder
        lanes = threads or os.cpu_count() or 1
        self.writer = Writer(files, decoder, precision, slots, lanes, niceness) if decoder else None
        self._residents = Residents(self.bank, self.writer.bank if self.writer else None, self._prove)
        self._scheduler: Scheduler[Floats] = Scheduler(self._run, budget=batch_tokens)
        self.admission = Admission(queue)

    # adapters

    def add(self, folder: Path) -> Manifest:
        """Load, prove and publish an adapter; one of the same name is replaced.

        Raises `AdapterError` and its kinds, or `BankFull`; the engine goes on with what it had.
        """
        return self._residents.add(folder, self.card.backbone)

    def remove(self, name: str) -> Manifest:
        """Take an adapter out. Rows already queued for it are still answered by it. Raises `UnknownAdapter`."""
        return self._residents.remove(name)

    def manifests(self) -> list[Manifest]:
        """Of the resident adapters, by name."""
        return self._residents.manifests()

    # rows

    def submit(
        self, rows: Sequence[Row], top_k: int | None = None, listener: Listener | None = None
    ) -> list[Future[Answer | PolygraftError]]:
        """Queue rows of any task. Each future gives its row's answer or its error and never raises; cancel it when nobody
        waits for it any more. Raises `Overloaded` or `TooLarge`, with nothing queued, when there is no room.

        `top_k`: labels a classified row at most. `listener` hears each sentence's translation as it grows, from another thread.
        """
        sizes = [units(row) for row in rows]
        self.admission.take(sum(sizes))
        answers: list[Future[Answer | PolygraftError]] = []
        begun: list[RowWork] = []
        for row in rows:
            one = self._begun(row)
            answers.append(one.answer if isinstance(one, RowWork) else finished(one))
            begun += [one] if isinstance(one, RowWork) else []
        for answer, size in zip(answers, sizes, strict=True):
            answer.add_done_callback(partial(self._give_back, size))
        self._queue(begun, top_k, listener)
        return answers

    def answer(
        self, rows: Sequence[Row], top_k: int | None = None, listener: Listener | None = None
    ) -> list[Answer | PolygraftError]:
        """Answer rows of any task in the order given; a row that cannot be answered gets its error in its place. As `submit`,
        and waits."""
        return [answer.result() for answer in self.submit(rows, top_k, listener)]

    def vectors(self, texts: Sequence[str]) -> Floats:
        """Unit sentence vectors of the backbone without any adapter, float32 [texts, hidden]; long texts by their beginning."""
        rows = self.encoder.encode(texts)
        pooled: Floats = np.stack([f.result() for f in self._scheduler.submit([((e, [], False), len(e)) for e in rows])])
        pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
        return pooled

    @property
    def leases(self) -> int:
        """Leases on resident adapters that rows still hold."""
        return self._residents.leases

    def close(self) -> None:
        """Stop; rows that are not answered by now are dropped, and their futures are cancelled."""
        self._scheduler.close()
        if self.writer:
            self.writer.close()

    # inside

    def _give_back(self, size: int, _: object) -> None:
        self.admission.give_back(size)

    def _begun(self, row: Row) -> RowWork | PolygraftError:
        try:
            return self._begin(row)
        except PolygraftError as error:
            return error
        except Exception:
            return _failed(row)

    def _begin(self, row: Row) -> RowWork:
        """The row's adapters, leased, and the texts to encode. Raises the row's error."""
        if not isinstance(row.text, str) or not row.text.strip():
            raise InvalidRow("the text is empty; send at least one character that is not white space")
        if problem := not_unicode(row.text) or too_many_marks(row.text):
            raise InvalidRow(problem)
        with ExitStack() as undo:
            lease = undo.enter_context(self._residents.acquire(row))
            directions = lease.resident.adapter.manifest.directions
            if len(row.text) > MAX_CHARACTERS and (directions or not row.truncate):
                raise InvalidRow(
                    f"the text has {len(row.text):,} characters, at most {MAX_CHARACTERS:,} are read; "
                    + ("send it in parts" if directions else 'shorten it, or send "truncate": true')
                )
            if directions:
                direction = direction_of(directions, row.language, row.target, row.adapter)
                pieces = passage.split(row.text, direction[0], passage.fits(self.encoder))
                work = RowWork(row, lease, [p.text for p in pieces if not p.kept], direction, pieces)
            else:
                if row.target is not None:
                    raise InvalidRow(
                        f"adapter {row.adapter!r} does not translate, it has labels; classify with it, or leave the target out"
                    )
                _head_of(lease.resident.adapter, row.head)
                work = RowWork(row, lease, [row.text[:MAX_CHARACTERS]])
            undo.pop_all()
        return work

    def _queue(self, works: Sequence[RowWork], top_k: int | None, listener: Listener | None) -> None:
        """Tokenise the rows' texts together and queue what is fit to be encoded."""
        encoded = iter(self._encoded([text for work in works for text in work.texts]))
        queued: list[tuple[object, int]] = []
        fit: list[RowWork] = []
        for work in works:
            mine = [next(encoded) for _ in work.texts]
            if any(e is None for e in mine):
                work.end(RowFailed(FAILED))
            elif not work.row.truncate and any(e.truncated for e in mine if e):
                work.end(
                    InvalidRow(
                        f"the text is longer than the {self.encoder.max_length} tokens that the backbone reads; shorten it, "
                        'or send "truncate": true to use its beginning'
                    )
                )
            else:
                fit.append(work)
                queued += [((e, work.lease.stack, work.direction is not None), len(e)) for e in mine if e]
        try:
            futures = iter(self._scheduler.submit(queued))
            for work in fit:
                self._go_on(work, [next(futures) for _ in work.texts], top_k, listener)
        except Exception:  # the engine is closing
            for work in fit:
                work.end(_failed(work.row))

    def _encoded(self, texts: list[str]) -> list[Encoded | None]:
        """The texts as tokens, None for one that the tokenizer fails on."""
        try:
            return list(self.encoder.encode(texts))
        except Exception:
            if len(texts) == 1:
                log.exception("a text cannot be tokenised")
                return [None]
        return [one for text in texts for one in self._encoded([text])]

    def _go_on(self, work: RowWork, encoded: list[Future[Floats]], top_k: int | None, listener: Listener | None) -> None:
        parts: list[Future[Any]] = [*encoded]
        if work.direction is not None and self.writer:
            stack, (_, target), search = work.lease.decoder_stack, work.direction, work.row.search
            written = [self.writer.write(e, stack, target, search, listener) for e in encoded]
            parts += written
            when_all(written).add_done_callback(lambda d: self._finish(work, lambda: self._translated(work, d.result())))
        else:
            encoded[0].add_done_callback(lambda d: self._finish(work, lambda: self._classified(work, d.result(), top_k)))
        work.waits_for(parts)

    def _finish(self, work: RowWork, answer: Callable[[], Answer]) -> None:
        """End the row with its answer; with an error when any part of it failed. Nothing is to be done for one that has
        ended."""
        if work.answer.done():
            return
        try:
            work.end(answer())
        except Exception:
            work.end(_failed(work.row))

    def _classified(self, work: RowWork, pooled: Floats, top_k: int | None) -> Classified:
        adapter = work.lease.resident.adapter
        head, labels = _head_of(adapter, work.row.head)
        found = ranked(head.logits(pooled[None])[0], labels, top_k)
        return Classified(adapter.name, adapter.version, found, work.lease.names)

    def _translated(self, work: RowWork, written: list[list[Hypothesis]]) -> Translated:
        assert work.direction
        assert self.writer
        texts, scores = [], []
        for rank in range(work.row.search.n_best):
            chosen = iter([h[min(rank, len(h) - 1)] for h in written])
            picked = [None if p.kept else next(chosen) for p in work.pieces]
            new = [p.text if h is None else self.writer.text(h) for p, h in zip(work.pieces, picked, strict=True)]
            texts.append(passage.join(work.pieces, new))
            scores.append(float(np.mean([h.score for h in picked if h is not None] or [0.0])))
        adapter, (source, target) = work.lease.resident.adapter, work.direction
        cut = any(h[0].cut for h in written)
        return Translated(adapter.name, adapter.version, source, target, texts, scores, cut, work.lease.names)

    def _run(self, payloads: list[object]) -> list[Floats]:
        """Payloads are (text, stack, whether its states are wanted); results [hidden], or states [seq, hidden]."""
        rows: list[tuple[Encoded, Stack, bool]] = payloads  # type: ignore[assignment]
        found: dict[int, Floats] = {}
        for places in by_depth([len(stack) for _, stack, _ in rows]):
            found |= zip(places, self._run_together([rows[i] for i in places]), strict=True)
        return [found[i] for i in range(len(rows))]

    def _run_together(self, rows: Sequence[tuple[Encoded, Stack, bool]]) -> list[Floats]:
        batch = pad([e for e, _, _ in rows], self.encoder.pad_id) | mixture([stack for _, stack, _ in rows])
        if not any(wanted for _, _, wanted in rows):
            return list(self.session.run(batch, self.bank))
        pooled, states = self.session.run_both(batch, self.bank)
        return [s if wanted else p for p, s, (_, _, wanted) in zip(pooled, states, rows, strict=True)]

    def _prove(self, resident: Resident) -> None:
        """By itself, without what it was trained on top of: its own arrays are what is to be proved."""
        manifest, stack = resident.adapter.manifest, Lease(resident).stack
        if manifest.directions:
            self._check_targets(manifest)
            goldens, bare = manifest.golden_texts, replace(resident, slots=(0,), decoder_slots=(0,))
            texts, targets = [g.text for g in goldens], [g.target for g in goldens]
            prove.translation(resident, *(self._written_now(one, texts, targets) for one in (resident, bare)))
            return
        texts = [g.text for g in manifest.golden] + [g.text for g in manifest.golden_vectors]
        rows = self.encoder.encode(texts)
        prove.numbers(resident, *(np.stack(self._run([(e, s, False) for e in rows])) for s in (stack, [])))

    def _check_targets(self, manifest: Manifest) -> None:
        languages = self.writer.pieces.languages if self.writer else []
        targets = {target for _, target in manifest.directions} | {golden.target for golden in manifest.golden_texts}
        if unknown := sorted(targets - set(languages)):
            raise AdapterError(
                f"adapter {manifest.name!r} writes {', '.join(map(shortened, unknown[:3]))}, and the decoder of this backbone "
                f"has no tag for that; it writes {', '.join(languages)}"
            )

    def _written_now(self, resident: Resident, texts: list[str], targets: list[str]) -> list[str]:
        assert self.writer
        lease, greedy, written = Lease(resident), Search(), list[Future[list[Hypothesis]]]()
        states = self._run([(encoded, lease.stack, True) for encoded in self.encoder.encode(texts)])
        for one, target in zip(states, targets, strict=True):
            written.append(self.writer.write(finished(one), lease.decoder_stack, target, greedy))
        return [self.writer.text(found.result()[0]) for found in written]


def _head_of(adapter: Adapter, task: str | None) -> tuple[Head, list[str]]:
    """The head for `task` (None: the adapter's own) and its labels. Raises `InvalidRow`."""
    if task is None or task == adapter.name:
        assert adapter.head is not None
        return adapter.head, adapter.manifest.labels
    if task not in adapter.heads:
        there = ", ".join([adapter.name, *adapter.heads])
        raise InvalidRow(f"adapter {adapter.name!r} has no head {task!r}; it has {there}")
    return adapter.heads[task], adapter.manifest.heads[task]


def _failed(row: Row) -> RowFailed:
    """For the exception being handled, which goes into the log."""
    log.exception("row for adapter %s failed", row.adapter)
    return RowFailed(FAILED)
