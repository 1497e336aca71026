"""The engine: graphs + banks + scheduler. Takes rows of any task, returns answers; knows nothing of
HTTP.

Rows of every task are encoded together; what is to be decoded then goes on to the writer. What a
row's outputs mean is its task's business (`tasks.serving`).
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from polygraft.adapters.format import Manifest
from polygraft.architectures.conventions import Conventions, Direction
from polygraft.architectures.folder import BackboneFiles
from polygraft.architectures.text import Encoded, TextEncoder, load_encoder, too_many_marks
from polygraft.errors import InvalidOption, InvalidRow, PolygraftError, RowFailed
from polygraft.runtime.admission import Admission, units
from polygraft.runtime.bank import Bank
from polygraft.runtime.cache import AnswerCache
from polygraft.runtime.encoding import EncodeRequest, EncoderQueue
from polygraft.runtime.futures import finished, shared, when_all
from polygraft.runtime.graph import Floats, GraphSession, load_card
from polygraft.runtime.loaded import Lease, LoadedAdapters
from polygraft.runtime.row_work import RowWork
from polygraft.runtime.rows import Answer, Progress, Row, text_problem
from polygraft.runtime.search import Hypothesis, Search
from polygraft.runtime.writer import Writer
from polygraft.tasks import registry
from polygraft.tasks.serving import Output, RowPlan, Writing, Written

log = logging.getLogger(__name__)
FAILED = "the server failed on this row, its log says why; the other rows are answered"
Listener = Callable[[Progress], None]


class Engine:
    """One backbone and its loaded `adapters`. Every method may be called from any thread. `queue`
    bounds the work under way, in the units of `admission`; `niceness` is added to the threads that
    compute; `window` is how many tokens `vectors` reads at once (None: as many as can be);
    `cached` answers are kept for rows that come again."""

    def __init__(
        self,
        backbone: Path,
        *,
        precision: str = "int8",
        slots: int = 128,
        batch_tokens: int = 512,
        threads: int = 0,
        queue: int | None = None,
        niceness: int = 0,
        window: int | None = None,
        cached: int = 0,
    ) -> None:
        files = BackboneFiles(backbone)
        self.card = load_card(backbone)
        files.require(files.model(precision))
        self.encoder = load_encoder(backbone, window=window)
        session = GraphSession(files.model(precision))
        self.bank = Bank(self.card.sites, slots)
        self.bank.require(session.inputs, files.model(precision))
        decoder = self.card.decoder
        workers = threads or os.cpu_count() or 1
        self.writer = (
            Writer(files, decoder, precision, slots, workers, niceness) if decoder else None
        )
        self.adapters = LoadedAdapters(
            self.bank, self.writer.bank if self.writer else None, self._verify
        )
        self.encoding = EncoderQueue(
            self.encoder,
            session,
            self.bank,
            workers=workers,
            budget=batch_tokens,
            niceness=niceness,
        )
        self.admission = Admission(queue)
        self.cache = AnswerCache(cached)

    # adapters

    def add(self, folder: Path) -> Manifest:
        """Load, verify and publish an adapter; one of the same name is replaced.

        Raises `AdapterError` and its kinds, or `BankFull`; the engine goes on with what it had.
        """
        return self.adapters.add(folder, self.card.backbone)

    def remove(self, name: str) -> Manifest:
        """Take an adapter out. Rows already queued for it are still answered by it. Raises
        `UnknownAdapter`."""
        return self.adapters.remove(name)

    def manifests(self) -> list[Manifest]:
        """Of the loaded adapters, by name."""
        return self.adapters.manifests()

    # rows

    def submit(
        self, rows: Sequence[Row], listener: Listener | None = None
    ) -> list[Future[Answer | PolygraftError]]:
        """Queue rows of any task. Each future gives its row's answer or its error and never raises;
        cancel it when nobody waits for it any more. Raises `Overloaded` or `TooLarge`, with nothing
        queued, when there is no room.

        `listener` hears each sentence's translation as it grows, and once it is whole, from another
        thread.
        """
        sizes = [units(row) for row in rows]
        self.admission.take(sum(sizes))
        answers: list[Future[Answer | PolygraftError]] = []
        works: list[RowWork] = []
        for place, row in enumerate(rows):
            work = self._begin(row, place, heard=listener is not None)
            if isinstance(work, RowWork):
                works.append(work)
                answers.append(work.answer)
            else:
                answers.append(finished(work))
        for answer, size in zip(answers, sizes, strict=True):
            answer.add_done_callback(partial(self._give_back, size))
        self._queue(works, listener)
        return answers

    def answer(
        self, rows: Sequence[Row], listener: Listener | None = None
    ) -> list[Answer | PolygraftError]:
        """Answer rows of any task in the order given; a row that cannot be answered gets its error
        in its place. As `submit`, and waits."""
        return [answer.result() for answer in self.submit(rows, listener)]

    def vectors(self, texts: Sequence[str]) -> Floats:
        """Unit sentence vectors of the backbone without any adapter, float32 [texts, hidden]; of a
        text of several windows, the mean of theirs."""
        windows = [self.encoder.windows(text) for text in self.encoder.encode(texts)]
        requests = [EncodeRequest(one, [], Output.VECTOR) for text in windows for one in text]
        results = [future.result() for future in self.encoding.submit(requests)]
        vectors: Floats = np.stack(_means(results, [len(text) for text in windows]))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors

    @property
    def leases(self) -> int:
        """Leases on loaded adapters that rows still hold."""
        return self.adapters.leases

    def close(self) -> None:
        """Stop; rows that are not answered by now are dropped, and their futures are cancelled."""
        self.encoding.close()
        if self.writer:
            self.writer.close()

    # inside

    def _give_back(self, size: int, _: object) -> None:
        self.admission.give_back(size)

    def _begin(self, row: Row, place: int, *, heard: bool) -> RowWork | Answer | PolygraftError:
        """The row with its adapters and its plan, or its answer if that was given before and nobody
        hears how it grows, or its error."""
        try:
            return self._work(row, place, heard=heard)
        except PolygraftError as error:
            return error
        except Exception:
            return _failed(row)

    def _work(self, row: Row, place: int, *, heard: bool) -> RowWork | Answer:
        """The row's adapters, leased, and its task's plan for it, or its answer. Raises the row's
        error."""
        with ExitStack() as undo:
            lease = undo.enter_context(self.adapters.acquire(row))
            row = lease.in_served_codes(row)
            if problem := text_problem(row.text) or too_many_marks(row.text):
                raise InvalidRow(problem)
            key = self.cache.key(row, lease.numbers)
            if key is not None and not heard and (answer := self.cache.get(key)):
                return answer
            adapter = lease.loaded.adapter
            task = registry.served(adapter.manifest.task)
            if row.explain and not task.explains:
                raise InvalidOption(
                    f"adapter {row.adapter!r} is for {adapter.manifest.task}, whose answers cannot "
                    "be explained; leave explain out"
                )
            if (row.dimensions is not None or row.encoding != "float") and not task.embeds:
                raise InvalidOption(
                    f"adapter {row.adapter!r} is for {adapter.manifest.task} and gives no vectors; "
                    "leave dimensions and encoding out"
                )
            if row.glossary and not task.writes:
                raise InvalidOption(
                    f"adapter {row.adapter!r} is for {adapter.manifest.task} and writes no text; "
                    "leave the glossary out"
                )
            plan = task.plan(row, adapter, lease.names, self.encoder)
            work = RowWork(row, place, lease, plan, key)
            undo.pop_all()
        return work

    def _queue(self, works: Sequence[RowWork], listener: Listener | None) -> None:
        """Tokenise the rows' texts together and queue those that can be encoded: once what several
        rows ask, of one text through the same slots."""
        encoded_texts = iter(
            self._encoded([(text, _direction(work)) for work in works for text in work.plan.texts])
        )
        queued: dict[Hashable, EncodeRequest] = {}
        accepted: list[tuple[RowWork, list[list[Hashable]]]] = []  # windows of each of its texts
        for work in works:
            encoded = [next(encoded_texts) for _ in work.plan.texts]
            texts = [text for text in encoded if text is not None]
            if len(texts) < len(encoded):
                work.end(RowFailed(FAILED))
            elif not work.row.truncate and any(t.truncated for t in texts[: work.plan.own]):
                work.end(self._too_long())
            else:
                windows = list[list[Hashable]]()
                stack, output = work.lease.stack, _encoder_output(work.plan)
                for text, given in zip(texts, work.plan.texts, strict=True):
                    windows.append([])
                    whole = isinstance(given, Encoded)
                    cut = [text] if whole else self.encoder.windows(text, work.plan.window)
                    for window in cut:
                        request = EncodeRequest(window, stack, output)
                        key = request.key
                        queued[key] = request
                        windows[-1].append(key)
                accepted.append((work, windows))
        try:
            submitted = self.encoding.submit(list(queued.values()))
            wanted = Counter(key for _, windows in accepted for text in windows for key in text)
            futures = {
                key: iter(shared(future, wanted[key]))
                for key, future in zip(queued, submitted, strict=True)
            }
            for work, windows in accepted:
                parts = [next(futures[key]) for text in windows for key in text]
                self._go_on(work, [len(text) for text in windows], parts, listener)
        except Exception:  # the engine is closing
            for work, _ in accepted:
                work.end(_failed(work.row))

    def _too_long(self) -> InvalidRow:
        return InvalidRow(
            f"the text is longer than the {self.encoder.max_length} tokens that the backbone "
            'reads; shorten it, or send "truncate": true to use its beginning'
        )

    def _encoded(
        self, texts: Sequence[tuple[str | Encoded, Direction | None]]
    ) -> list[Encoded | None]:
        """The texts, which are to be translated or only read, as tokens; None for one that the
        tokenizer fails on."""
        plain = [(text, direction) for text, direction in texts if isinstance(text, str)]
        tokenised = iter(self._tokenised(plain))
        return [next(tokenised) if isinstance(text, str) else text for text, _ in texts]

    def _tokenised(self, texts: list[tuple[str, Direction | None]]) -> list[Encoded | None]:
        try:
            return list(self._encode(texts))
        except Exception:
            if len(texts) == 1:
                log.exception("a text cannot be tokenised")
                return [None]
        return [self._tokenised([text])[0] for text in texts]

    def _encode(self, texts: Sequence[tuple[str, Direction | None]]) -> list[Encoded]:
        """The texts as tokens: what is to be translated with its languages, where the backbone has
        to be told them."""
        read = iter(self.encoder.encode([text for text, direction in texts if direction is None]))
        sources = [(text, direction) for text, direction in texts if direction is not None]
        told = iter(
            self.encoder.encode_sources([text for text, _ in sources], [d for _, d in sources])
        )
        return [next(read) if direction is None else next(told) for _, direction in texts]

    def _go_on(
        self,
        work: RowWork,
        windows: Sequence[int],
        encoded: list[Future[Floats]],
        listener: Listener | None,
    ) -> None:
        """Decode what is to be decoded; answer the row when all of its outputs are there, those of
        so many `windows` of each text."""
        outputs = list[Future[Any]](encoded)
        if isinstance(work.plan.output, Writing):
            outputs = [
                self._write(work, work.plan.output, part, states, listener)
                for part, states in enumerate(encoded)
            ]
        when_all(outputs).add_done_callback(lambda done: self._finish(work, windows, done))
        work.waits_for([*encoded, *outputs])

    def _write(
        self,
        work: RowWork,
        writing: Writing,
        part: int,
        states: Future[Floats],
        listener: Listener | None,
    ) -> Future[list[Hypothesis]]:
        """The hypotheses for one of the row's texts; the listener hears it grow, and then whole."""
        assert self.writer
        writer, stack = self.writer, work.lease.decoder_stack
        if listener is None:
            return writer.write(states, stack, writing.direction[1], writing.search)
        around = [*work.plan.around] or [""] * (len(work.plan.texts) + 1)
        after = around[-1] if part == len(work.plan.texts) - 1 else ""
        progress = Progress(work.place, part, "", around[part], after, final=False)

        def grown(text: str) -> None:
            if work.plan.shown:
                text = work.plan.shown(part, text)
            listener(replace(progress, text=text))

        def ended(written: Future[list[Hypothesis]]) -> None:
            if not written.cancelled() and written.exception() is None:
                text = writer.text(written.result()[0])
                if work.plan.final:
                    text = work.plan.final(part, text)
                listener(replace(progress, text=text, final=True))

        written = writer.write(states, stack, writing.direction[1], writing.search, grown)
        written.add_done_callback(ended)
        return written

    def _finish(self, work: RowWork, windows: Sequence[int], outputs: Future[list[Any]]) -> None:
        """End the row with its answer; with an error when any part of it failed. Nothing is to be
        done for one that has ended; one whose parts the closing engine dropped is cancelled."""
        if work.answer.done():
            return
        if outputs.cancelled():
            work.answer.cancel()
            return
        try:
            results = outputs.result()
            if isinstance(work.plan.output, Writing):
                penalty = work.plan.output.search.length_penalty
                results = [self._written(hypotheses, penalty) for hypotheses in results]
            elif len(results) > len(windows):
                results = _means(results, windows)
            answer = work.plan.answer(results)
            if work.key is not None:
                self.cache.put(work.key, answer)
            work.end(answer)
        except Exception:
            work.end(_failed(work.row))

    def _written(self, hypotheses: Sequence[Hypothesis], length_penalty: float) -> list[Written]:
        assert self.writer
        return [
            Written(self.writer.text(h), h.score, h.log_probability(length_penalty), h.cut)
            for h in hypotheses
        ]

    def _verify(self, lease: Lease) -> None:
        adapter = lease.loaded.adapter
        registry.served(adapter.manifest.task).verify_goldens(adapter, _Replay(self, lease))

    def outputs_now(self, lease: Lease, texts: Sequence[Encoded], output: Output) -> list[Floats]:
        """The output of each text through the slots of the lease's adapters, at once and not
        queued."""
        return self.encoding.run([EncodeRequest(text, lease.stack, output) for text in texts])

    def written_now(
        self, lease: Lease, texts: Sequence[str], directions: Sequence[Direction]
    ) -> list[str]:
        """Greedy translations of each text in its direction by the lease's adapters."""
        assert self.writer
        sources = self.encoder.encode_sources(texts, directions)
        states = self.outputs_now(lease, sources, Output.STATES)
        written = [
            self.writer.write(finished(text_states), lease.decoder_stack, target, Search())
            for text_states, (_, target) in zip(states, directions, strict=True)
        ]
        return [self.writer.text(hypotheses.result()[0]) for hypotheses in written]


class _Replay:
    """See `tasks.serving.Replay`. In place of the adapter, slot 0 of the banks moves nothing."""

    def __init__(self, engine: Engine, lease: Lease) -> None:
        bare = replace(lease.loaded, slots=(0,), decoder_slots=(0,))
        self._engine, self._both = engine, (lease, Lease(bare, lease.under, lease.weights))

    @property
    def conventions(self) -> Conventions:
        assert self._engine.writer
        return self._engine.writer.target_tokenizer.conventions

    @property
    def encoder(self) -> TextEncoder:
        return self._engine.encoder

    def vectors(self, texts: Sequence[str]) -> tuple[Floats, Floats]:
        encoded = self._engine.encoder.encode(texts)
        now, bare = (
            np.stack(self._engine.outputs_now(one, encoded, Output.VECTOR)) for one in self._both
        )
        return now, bare

    def states(self, texts: Sequence[Encoded]) -> tuple[list[Floats], list[Floats]]:
        now, bare = (self._engine.outputs_now(one, texts, Output.STATES) for one in self._both)
        return now, bare

    def written(
        self, texts: Sequence[str], directions: Sequence[Direction]
    ) -> tuple[list[str], list[str]]:
        now, bare = (self._engine.written_now(one, texts, directions) for one in self._both)
        return now, bare


def _means(vectors: Sequence[Floats], windows: Sequence[int]) -> list[Floats]:
    """Of the vectors of so many windows of each text, the mean a text."""
    of_windows = iter(vectors)
    return [np.mean(list(islice(of_windows, count)), axis=0) for count in windows]


def _direction(work: RowWork) -> Direction | None:
    """That in which the row is to be translated; None where it is only read."""
    output = work.plan.output
    return output.direction if isinstance(output, Writing) else None


def _encoder_output(plan: RowPlan) -> Output:
    """What the encoder has to give: the decoder reads token states."""
    return Output.STATES if isinstance(plan.output, Writing) else plan.output


def _failed(row: Row) -> RowFailed:
    """For the exception being handled, which goes into the log."""
    log.exception("row for adapter %s failed", row.adapter)
    return RowFailed(FAILED)
