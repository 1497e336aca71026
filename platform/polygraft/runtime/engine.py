"""The engine: graphs + banks + scheduler. Takes rows of any task, returns answers; knows nothing of
HTTP.

Rows of every task are encoded together; what is to be decoded then goes on to the writer. What a
row's outputs mean is its task's business (`tasks.serving`).
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

from polygraft.adapters.format import Manifest
from polygraft.architectures.folder import BackboneFiles
from polygraft.architectures.text import Encoded, load_encoder, not_unicode, too_many_marks
from polygraft.errors import InvalidRow, PolygraftError, RowFailed
from polygraft.runtime.admission import Admission, units
from polygraft.runtime.bank import Bank
from polygraft.runtime.futures import finished, when_all
from polygraft.runtime.graph import Floats, GraphSession, Stack, by_depth, load_card, mixture
from polygraft.runtime.loaded import Lease, LoadedAdapter, LoadedAdapters
from polygraft.runtime.row_work import RowWork
from polygraft.runtime.rows import Answer, Row
from polygraft.runtime.scheduler import Scheduler
from polygraft.runtime.search import Hypothesis, Search
from polygraft.runtime.writer import Writer
from polygraft.tasks import registry
from polygraft.tasks.serving import Output, Writing, Written

log = logging.getLogger(__name__)
FAILED = "the server failed on this row, its log says why; the other rows are answered"
Listener = Callable[[str], None]


class Engine:
    """One backbone and its loaded adapters. Every method may be called from any thread. `queue`
    bounds the work under way, in the units of `admission`; `niceness` is added to the threads that
    compute."""

    def __init__(
        self,
        backbone: Path,
        *,
        precision: str = "int8",
        slots: int = 128,
        batch_tokens: int = 2048,
        threads: int = 0,
        queue: int | None = None,
        niceness: int = 0,
    ) -> None:
        files = BackboneFiles(backbone)
        self.card = load_card(backbone)
        files.require(files.model(precision))
        self.encoder = load_encoder(backbone)
        self.session = GraphSession(files.model(precision), threads, niceness)
        self.bank = Bank(self.card.sites, slots)
        self.bank.require(self.session.inputs, files.model(precision))
        decoder = self.card.decoder
        workers = threads or os.cpu_count() or 1
        self.writer = (
            Writer(files, decoder, precision, slots, workers, niceness) if decoder else None
        )
        self._adapters = LoadedAdapters(
            self.bank, self.writer.bank if self.writer else None, self._verify
        )
        self._scheduler: Scheduler[Floats] = Scheduler(self._run, budget=batch_tokens)
        self.admission = Admission(queue)

    # adapters

    def add(self, folder: Path) -> Manifest:
        """Load, verify and publish an adapter; one of the same name is replaced.

        Raises `AdapterError` and its kinds, or `BankFull`; the engine goes on with what it had.
        """
        return self._adapters.add(folder, self.card.backbone)

    def remove(self, name: str) -> Manifest:
        """Take an adapter out. Rows already queued for it are still answered by it. Raises
        `UnknownAdapter`."""
        return self._adapters.remove(name)

    def manifests(self) -> list[Manifest]:
        """Of the loaded adapters, by name."""
        return self._adapters.manifests()

    # rows

    def submit(
        self, rows: Sequence[Row], listener: Listener | None = None
    ) -> list[Future[Answer | PolygraftError]]:
        """Queue rows of any task. Each future gives its row's answer or its error and never raises;
        cancel it when nobody waits for it any more. Raises `Overloaded` or `TooLarge`, with nothing
        queued, when there is no room.

        `listener` hears each sentence's translation as it grows, from another thread.
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
        self._queue(begun, listener)
        return answers

    def answer(
        self, rows: Sequence[Row], listener: Listener | None = None
    ) -> list[Answer | PolygraftError]:
        """Answer rows of any task in the order given; a row that cannot be answered gets its error
        in its place. As `submit`, and waits."""
        return [answer.result() for answer in self.submit(rows, listener)]

    def vectors(self, texts: Sequence[str]) -> Floats:
        """Unit sentence vectors of the backbone without any adapter, float32 [texts, hidden]; long
        texts by their beginning."""
        rows = self.encoder.encode(texts)
        pooled: Floats = np.stack(
            [f.result() for f in self._scheduler.submit([((e, [], False), len(e)) for e in rows])]
        )
        pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
        return pooled

    @property
    def leases(self) -> int:
        """Leases on loaded adapters that rows still hold."""
        return self._adapters.leases

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
        """The row's adapters, leased, and its task's plan for it. Raises the row's error."""
        if not isinstance(row.text, str) or not row.text.strip():
            raise InvalidRow(
                "the text is empty; send at least one character that is not white space"
            )
        if problem := not_unicode(row.text) or too_many_marks(row.text):
            raise InvalidRow(problem)
        with ExitStack() as undo:
            lease = undo.enter_context(self._adapters.acquire(row))
            adapter = lease.loaded.adapter
            plan = registry.served(adapter.manifest.task).plan(
                row, adapter, lease.names, self.encoder
            )
            work = RowWork(row, lease, plan)
            undo.pop_all()
        return work

    def _queue(self, works: Sequence[RowWork], listener: Listener | None) -> None:
        """Tokenise the rows' texts together and queue what is fit to be encoded."""
        encoded = iter(self._encoded([text for work in works for text in work.plan.texts]))
        queued: list[tuple[object, int]] = []
        fit: list[RowWork] = []
        for work in works:
            mine = [next(encoded) for _ in work.plan.texts]
            if any(e is None for e in mine):
                work.end(RowFailed(FAILED))
            elif not work.row.truncate and any(e.truncated for e in mine if e):
                work.end(
                    InvalidRow(
                        f"the text is longer than the {self.encoder.max_length} tokens that the "
                        "backbone reads; shorten it, "
                        'or send "truncate": true to use its beginning'
                    )
                )
            else:
                fit.append(work)
                queued += [
                    ((e, work.lease.stack, work.plan.output is not Output.VECTOR), len(e))
                    for e in mine
                    if e
                ]
        try:
            futures = iter(self._scheduler.submit(queued))
            for work in fit:
                self._go_on(work, [next(futures) for _ in work.plan.texts], listener)
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

    def _go_on(
        self, work: RowWork, encoded: list[Future[Floats]], listener: Listener | None
    ) -> None:
        """Decode what is to be decoded; answer the row when all of its outputs are there."""
        output, outputs = work.plan.output, list[Future[Any]](encoded)
        if isinstance(output, Writing) and self.writer:
            stack, write = work.lease.decoder_stack, self.writer.write
            outputs = [
                write(states, stack, output.language, output.search, listener) for states in encoded
            ]
        when_all(outputs).add_done_callback(lambda done: self._finish(work, done))
        work.waits_for([*encoded, *outputs])

    def _finish(self, work: RowWork, outputs: Future[list[Any]]) -> None:
        """End the row with its answer; with an error when any part of it failed. Nothing is to be
        done for one that has ended."""
        if work.answer.done():
            return
        try:
            found = outputs.result()
            work.end(
                work.plan.answer(
                    [self._written(one) for one in found]
                    if isinstance(work.plan.output, Writing)
                    else found
                )
            )
        except Exception:
            work.end(_failed(work.row))

    def _written(self, hypotheses: Sequence[Hypothesis]) -> list[Written]:
        assert self.writer
        return [Written(self.writer.text(one), one.score, one.cut) for one in hypotheses]

    def _run(self, payloads: list[object]) -> list[Floats]:
        """Payloads are (text, stack, whether its states are wanted); results [hidden], or states
        [seq, hidden]."""
        rows: list[tuple[Encoded, Stack, bool]] = payloads  # type: ignore[assignment]
        found: dict[int, Floats] = {}
        for places in by_depth([len(stack) for _, stack, _ in rows]):
            found |= zip(places, self._run_together([rows[i] for i in places]), strict=True)
        return [found[i] for i in range(len(rows))]

    def _run_together(self, rows: Sequence[tuple[Encoded, Stack, bool]]) -> list[Floats]:
        batch = self.encoder.pad([e for e, _, _ in rows]) | mixture([stack for _, stack, _ in rows])
        if not any(wanted for _, _, wanted in rows):
            return list(self.session.run(batch, self.bank))
        pooled, states = self.session.run_both(batch, self.bank)
        return [
            s if wanted else p for p, s, (_, _, wanted) in zip(pooled, states, rows, strict=True)
        ]

    def _verify(self, loaded: LoadedAdapter) -> None:
        """By itself, without what it was trained on top of: its own arrays are what is to be
        verified."""
        registry.served(loaded.adapter.manifest.task).verify_goldens(
            loaded.adapter, _Replay(self, loaded)
        )

    def outputs_now(
        self, loaded: LoadedAdapter, texts: Sequence[str], *, states: bool
    ) -> list[Floats]:
        """Encoder outputs of each text through the slots of one adapter, at once and not queued."""
        return self._run(
            [(encoded, Lease(loaded).stack, states) for encoded in self.encoder.encode(texts)]
        )

    def written_now(
        self, loaded: LoadedAdapter, texts: Sequence[str], languages: Sequence[str]
    ) -> list[str]:
        """Greedy translations of each text into its language by one adapter."""
        assert self.writer
        stack, written = Lease(loaded).decoder_stack, list[Future[list[Hypothesis]]]()
        for states, language in zip(
            self.outputs_now(loaded, texts, states=True), languages, strict=True
        ):
            written.append(self.writer.write(finished(states), stack, language, Search()))
        return [self.writer.text(found.result()[0]) for found in written]


class _Replay:
    """See `tasks.serving.Replay`. The bare backbone is slot 0 of the banks."""

    def __init__(self, engine: Engine, loaded: LoadedAdapter) -> None:
        self._engine, self._both = engine, (loaded, replace(loaded, slots=(0,), decoder_slots=(0,)))

    @property
    def languages(self) -> Sequence[str]:
        return self._engine.writer.target_tokenizer.languages if self._engine.writer else []

    def vectors(self, texts: Sequence[str]) -> tuple[Floats, Floats]:
        now, bare = (
            np.stack(self._engine.outputs_now(one, texts, states=False)) for one in self._both
        )
        return now, bare

    def written(
        self, texts: Sequence[str], languages: Sequence[str]
    ) -> tuple[list[str], list[str]]:
        now, bare = (self._engine.written_now(one, texts, languages) for one in self._both)
        return now, bare


def _failed(row: Row) -> RowFailed:
    """For the exception being handled, which goes into the log."""
    log.exception("row for adapter %s failed", row.adapter)
    return RowFailed(FAILED)
