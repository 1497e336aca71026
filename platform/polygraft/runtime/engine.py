"""The engine: graphs + banks + scheduler. Takes rows of any task, returns answers; knows nothing of HTTP.

Rows of every task are encoded together; rows that are translated then go on to the writer's lanes.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import numpy as np

from polygraft.adapter import Adapter, Manifest
from polygraft.backbone import BackboneFiles
from polygraft.errors import InvalidRow, PolygraftError
from polygraft.runtime import passage, prove
from polygraft.runtime.bank import Bank
from polygraft.runtime.graph import Floats, GraphSession, Stack, load_card, mixture
from polygraft.runtime.residents import Held, Resident, Residents
from polygraft.runtime.rows import Answer, Classified, Row, Translated
from polygraft.runtime.scheduler import Scheduler
from polygraft.runtime.search import Hypothesis
from polygraft.runtime.writer import Writer
from polygraft.tasks.classification import Head, ranked
from polygraft.tasks.translation import direction_of
from polygraft.text import Encoded, load_encoder, pad

log = logging.getLogger(__name__)
MAX_CHARACTERS = 20_000
Listener = Callable[[str], None]


class Engine:
    """One backbone and its resident adapters. Every method may be called from any thread."""

    def __init__(
        self, backbone: Path, *, precision: str = "int8", slots: int = 128, batch_tokens: int = 2048,
        threads: int = 0,
    ) -> None:  # fmt: skip
        files = BackboneFiles(backbone)
        self.card = load_card(backbone)
        files.require(files.model(precision))
        self.encoder = load_encoder(backbone)
        self.session = GraphSession(files.model(precision), threads)
        self.bank = Bank(self.card.sites, slots)
        self.bank.require(self.session.inputs, files.model(precision))
        decoder = self.card.decoder
        self.writer = Writer(files, decoder, precision, slots, threads or os.cpu_count() or 1) if decoder else None
        self._residents = Residents(self.bank, self.writer.bank if self.writer else None, self._prove)
        self._scheduler: Scheduler[Floats] = Scheduler(self._run, budget=batch_tokens)

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

    def answer(
        self, rows: Sequence[Row], top_k: int | None = None, listener: Listener | None = None
    ) -> list[Answer | PolygraftError]:
        """Answer rows of any task in the order given; a row that cannot be answered gets its error in its place.

        `top_k`: labels a classified row at most. `listener` hears each sentence's translation as it grows.
        """
        begun: list[_Begun | PolygraftError] = []
        for row in rows:
            try:
                begun.append(self._begin(row))
            except PolygraftError as error:
                begun.append(error)
        good = [b for b in begun if isinstance(b, _Begun)]
        encoded = iter(self.encoder.encode([text for b in good for text in b.texts]))
        queued: list[tuple[object, int]] = []
        for i, one in enumerate(begun):
            if isinstance(one, _Begun):
                mine = [next(encoded) for _ in one.texts]
                if problem := self._too_long(one, mine):
                    self._residents.release(one.held)
                    begun[i] = problem
                else:
                    queued += [((e, one.held.stack, one.direction is not None), len(e)) for e in mine]
        futures = iter(self._scheduler.submit(queued))
        waiting = [self._go_on(b, [next(futures) for _ in b.texts], listener) if isinstance(b, _Begun) else b for b in begun]
        return [self._finish(w, top_k) if isinstance(w, _Begun) else w for w in waiting]

    def vectors(self, texts: Sequence[str]) -> Floats:
        """Unit sentence vectors of the backbone without any adapter, float32 [texts, hidden]; long texts by their beginning."""
        rows = self.encoder.encode(texts)
        pooled: Floats = np.stack([f.result() for f in self._scheduler.submit([((e, [], False), len(e)) for e in rows])])
        pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
        return pooled

    def close(self) -> None:
        self._scheduler.close()
        if self.writer:
            self.writer.close()

    # inside

    def _begin(self, row: Row) -> _Begun:
        """The row's adapters, held, and the texts to encode. Raises the row's error."""
        if not isinstance(row.text, str) or not row.text.strip():
            raise InvalidRow("the text is empty; send at least one character that is not white space")
        held = self._residents.hold(row)
        try:
            directions = held.resident.adapter.manifest.directions
            if len(row.text) > MAX_CHARACTERS and (directions or not row.truncate):
                raise InvalidRow(
                    f"the text has {len(row.text):,} characters, at most {MAX_CHARACTERS:,} are read; "
                    + ("send it in parts" if directions else 'shorten it, or send "truncate": true')
                )
            if not directions:
                if row.target is not None:
                    raise InvalidRow(f"adapter {row.adapter!r} does not translate; leave the target out")
                _head_of(held.resident.adapter, row.head)
                return _Begun(row, held, [row.text[:MAX_CHARACTERS]])
            direction = direction_of(directions, row.language, row.target, row.adapter)
            pieces = passage.split(row.text, direction[0], passage.fits(self.encoder))
            return _Begun(row, held, [p.text for p in pieces if not p.kept], direction, pieces)
        except BaseException:
            self._residents.release(held)
            raise

    def _too_long(self, begun: _Begun, encoded: Sequence[Encoded]) -> InvalidRow | None:
        if begun.row.truncate or not any(e.truncated for e in encoded):
            return None
        return InvalidRow(
            f"the text is longer than the {self.encoder.max_length} tokens that the backbone reads; shorten it, "
            'or send "truncate": true to use its beginning'
        )

    def _go_on(self, begun: _Begun, encoded: list[Future[Floats]], listener: Listener | None) -> _Begun:
        begun.encoded = encoded
        if begun.direction and self.writer:
            stack, search = begun.held.decoder_stack, begun.row.search
            begun.written = [self.writer.write(e, stack, begun.direction[1], search, listener) for e in encoded]
        return begun

    def _finish(self, begun: _Begun, top_k: int | None) -> Answer | PolygraftError:
        adapter = begun.held.resident.adapter
        try:
            if begun.direction is None or self.writer is None:
                head, labels = _head_of(adapter, begun.row.head)
                logits = head.logits(begun.encoded[0].result()[None])[0]
                found = ranked(logits, labels, top_k)
                return Classified(adapter.name, adapter.version, found, begun.held.names)
            return self._translated(begun, [w.result() for w in begun.written], self.writer)
        except Exception:
            log.exception("row for adapter %s failed", adapter.name)
            return PolygraftError("the server failed on this row, its log says why; the other rows are answered")
        finally:
            self._residents.release(begun.held)

    def _translated(self, begun: _Begun, written: list[list[Hypothesis]], writer: Writer) -> Translated:
        assert begun.direction
        texts, scores = [], []
        for rank in range(begun.row.search.n_best):
            chosen = iter([h[min(rank, len(h) - 1)] for h in written])
            picked = [None if p.kept else next(chosen) for p in begun.pieces]
            new = [p.text if h is None else writer.text(h) for p, h in zip(begun.pieces, picked, strict=True)]
            texts.append(passage.join(begun.pieces, new))
            scores.append(float(np.mean([h.score for h in picked if h is not None] or [0.0])))
        adapter, (source, target) = begun.held.resident.adapter, begun.direction
        cut = any(h[0].cut for h in written)
        return Translated(adapter.name, adapter.version, source, target, texts, scores, cut, begun.held.names)

    def _run(self, payloads: list[object]) -> list[Floats]:
        """Payloads are (text, stack, whether its states are wanted); results [hidden], or states [seq, hidden]."""
        rows: list[tuple[Encoded, Stack, bool]] = payloads  # type: ignore[assignment]
        batch = pad([e for e, _, _ in rows], self.encoder.pad_id) | mixture([stack for _, stack, _ in rows])
        if not any(wanted for _, _, wanted in rows):
            return list(self.session.run(batch, self.bank))
        pooled, states = self.session.run_both(batch, self.bank)
        return [s if wanted else p for p, s, (_, _, wanted) in zip(pooled, states, rows, strict=True)]

    def _prove(self, resident: Resident) -> None:
        """By itself, without what it was trained on top of: its own arrays are what is to be proved."""
        manifest, stack = resident.adapter.manifest, Held(resident, [], [1.0]).stack
        if self.writer and manifest.directions:
            prove.targets(manifest, self.writer.pieces.languages)
            goldens, bare = manifest.golden_texts, replace(resident, slots=(0,), decoder_slots=(0,))
            texts, targets = [g.text for g in goldens], [g.target for g in goldens]
            prove.translation(resident, *(self._written_now(one, texts, targets) for one in (resident, bare)))
            return
        texts = [g.text for g in manifest.golden] + [g.text for g in manifest.golden_vectors]
        rows = self.encoder.encode(texts)
        prove.numbers(resident, *(np.stack(self._run([(e, s, False) for e in rows])) for s in (stack, [])))

    def _written_now(self, resident: Resident, texts: list[str], targets: list[str]) -> list[str]:
        assert self.writer
        held, written = Held(resident, [], [1.0]), list[str]()
        for encoded, target in zip(self.encoder.encode(texts), targets, strict=True):  # one by one: in int8 neighbours matter
            done: Future[Floats] = Future()
            done.set_result(self._run([(encoded, held.stack, True)])[0])
            found = self.writer.write(done, held.decoder_stack, target, Row("", "").search).result()
            written.append(self.writer.text(found[0]))
        return written


def _head_of(adapter: Adapter, task: str | None) -> tuple[Head, list[str]]:
    """The head for `task` (None: the adapter's own) and its labels. Raises `InvalidRow`."""
    if task is None or task == adapter.name:
        assert adapter.head is not None
        return adapter.head, adapter.manifest.labels
    if task not in adapter.heads:
        there = ", ".join([adapter.name, *adapter.heads])
        raise InvalidRow(f"adapter {adapter.name!r} has no head {task!r}; it has {there}")
    return adapter.heads[task], adapter.manifest.heads[task]


class _Begun:
    """A row under way: its adapters, the texts that are encoded for it, and what comes of them."""

    def __init__(
        self, row: Row, held: Held, texts: list[str], direction: tuple[str, str] | None = None,
        pieces: list[passage.Piece] | None = None,
    ) -> None:  # fmt: skip
        self.row, self.held, self.texts, self.direction, self.pieces = row, held, texts, direction, pieces or []
        self.encoded: list[Future[Floats]] = []
        self.written: list[Future[list[Hypothesis]]] = []
