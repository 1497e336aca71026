"""The engine: graph + bank + scheduler. Takes rows, returns results; knows nothing of HTTP.

An adapter becomes visible only after its golden inputs were replayed through the very arrays that will serve it. A row
holds its adapter until it is answered, so removing or replacing an adapter never changes an answer under way.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from polygraft.adapter import Adapter, Manifest, load_adapter
from polygraft.backbone import BackboneFiles
from polygraft.errors import BackboneError, GoldenMismatch, InvalidRow, PolygraftError, UnknownAdapter
from polygraft.runtime.bank import Bank
from polygraft.runtime.graph import GraphSession, load_card
from polygraft.runtime.scheduler import Scheduler
from polygraft.tasks.classification import LabelScore, ranked
from polygraft.text import Encoded, load_encoder, pad

Floats = NDArray[np.float32]
log = logging.getLogger(__name__)
MAX_CHARACTERS = 20_000
GOLDEN_TOLERANCE = 0.3


@dataclass(frozen=True)
class Row:
    """One text for one adapter. `language`, when given, must be one the adapter was made for."""

    adapter: str
    text: str
    language: str | None = None
    truncate: bool = False


@dataclass(frozen=True)
class Classified:
    """A row's answer: `labels` is sorted, likeliest first; `version` is that of the adapter that gave it."""

    adapter: str
    version: str
    labels: list[LabelScore]

    @property
    def label(self) -> str:
        return self.labels[0].label

    @property
    def score(self) -> float:
        return self.labels[0].score


@dataclass(eq=False)
class Resident:
    """An adapter in a slot. `rows` counts the rows in flight; a retired one is cleared when the last is answered."""

    adapter: Adapter
    slot: int
    rows: int = 0
    retired: bool = False


class Engine:
    """One backbone and its resident adapters. Every method may be called from any thread."""

    def __init__(
        self, backbone: Path, *, precision: str = "int8", slots: int = 64, batch_tokens: int = 2048,
        threads: int = 0,
    ) -> None:  # fmt: skip
        files = BackboneFiles(backbone)
        self.card = load_card(backbone)
        files.require(files.model(precision))
        self.encoder = load_encoder(backbone)
        self.session = GraphSession(files.model(precision), threads)
        self.bank = Bank(self.card.sites, slots)
        missing = set(self.bank.values) - self.session.inputs
        if missing:
            raise BackboneError(f"{files.model(precision)} lacks bank inputs {sorted(missing)[:3]}...; export again")
        self._residents: dict[str, Resident] = {}
        self._lock = threading.Lock()
        self._scheduler: Scheduler[Floats] = Scheduler(self._run, budget=batch_tokens)

    # adapters

    def add(self, folder: Path) -> Manifest:
        """Load, prove and publish an adapter; one of the same name is replaced.

        Raises `AdapterError` and its kinds, or `BankFull`; the engine goes on with what it had.
        """
        adapter = load_adapter(folder, backbone=self.card.backbone)
        slot = self.bank.write(adapter.lora, adapter.name)
        try:
            self._replay_golden(adapter, slot)
        except PolygraftError:
            self.bank.clear(slot)
            raise
        with self._lock:
            old = self._residents.get(adapter.name)
            self._residents[adapter.name] = Resident(adapter, slot)
        if old:
            self._retire(old)
        return adapter.manifest

    def remove(self, name: str) -> Manifest:
        """Take an adapter out. Rows already queued for it are still answered by it. Raises `UnknownAdapter`."""
        with self._lock:
            if name not in self._residents:
                raise UnknownAdapter(name, self._residents)
            resident = self._residents.pop(name)
        self._retire(resident)
        return resident.adapter.manifest

    def manifests(self) -> list[Manifest]:
        """Of the resident adapters, by name."""
        with self._lock:
            return [self._residents[name].adapter.manifest for name in sorted(self._residents)]

    # rows

    def classify(self, rows: Sequence[Row], top_k: int | None = None) -> list[Classified | PolygraftError]:
        """Answer rows in the order given; a row that cannot be answered gets its error in its place."""
        answers: list[Classified | PolygraftError | None] = [None] * len(rows)
        encoded = self._encode(rows, answers)
        held: list[tuple[int, Resident]] = []
        for i, row in enumerate(rows):
            if answers[i] is None:
                try:
                    held.append((i, self._hold(row)))
                except PolygraftError as error:
                    answers[i] = error
        futures = self._scheduler.submit([((encoded[i], r.slot), len(encoded[i])) for i, r in held])
        for (i, resident), future in zip(held, futures, strict=True):
            try:
                logits = resident.adapter.head.logits(future.result()[None])[0]
                labels = ranked(logits, resident.adapter.manifest.labels, top_k)
                answers[i] = Classified(resident.adapter.name, resident.adapter.version, labels)
            except Exception:
                log.exception("row for adapter %s failed", resident.adapter.name)
                answers[i] = PolygraftError("the server failed on this row, its log says why; the other rows are answered")
            finally:
                self._release(resident)
        return [a for a in answers if a is not None]

    def close(self) -> None:
        self._scheduler.close()

    # inside

    def _encode(self, rows: Sequence[Row], answers: list[Classified | PolygraftError | None]) -> dict[int, Encoded]:
        """Tokenize the rows that can be; the others' errors go into `answers`."""
        usable = []
        for i, row in enumerate(rows):
            if not isinstance(row.text, str) or not row.text.strip():
                answers[i] = InvalidRow("the text is empty; send at least one character that is not white space")
            elif len(row.text) > MAX_CHARACTERS and not row.truncate:
                answers[i] = InvalidRow(
                    f"the text has {len(row.text):,} characters, at most {MAX_CHARACTERS:,} are read; shorten it, or send "
                    '"truncate": true'
                )
            else:
                usable.append(i)
        encoded = dict(zip(usable, self.encoder.encode([rows[i].text[:MAX_CHARACTERS] for i in usable]), strict=True))
        for i, e in encoded.items():
            if e.truncated and not rows[i].truncate:
                answers[i] = InvalidRow(
                    f"the text is longer than the {self.encoder.max_length} tokens that the backbone reads; shorten it, "
                    'or send "truncate": true to use its beginning'
                )
        return encoded

    def _hold(self, row: Row) -> Resident:
        with self._lock:
            resident = self._residents.get(row.adapter)
            if resident is None:
                raise UnknownAdapter(row.adapter, self._residents)
            languages = resident.adapter.manifest.languages
            if row.language is not None and row.language not in languages:
                raise InvalidRow(
                    f"adapter {row.adapter!r} was made for {', '.join(languages)}, not for {row.language!r}; "
                    "leave the language out to use it all the same"
                )
            resident.rows += 1
            return resident

    def _release(self, resident: Resident) -> None:
        with self._lock:
            resident.rows -= 1
            done = resident.retired and resident.rows == 0
        if done:
            self.bank.clear(resident.slot)

    def _retire(self, resident: Resident) -> None:
        with self._lock:
            resident.retired = True
            done = resident.rows == 0
        if done:
            self.bank.clear(resident.slot)

    def _run(self, payloads: list[object]) -> list[Floats]:
        rows: list[tuple[Encoded, int]] = payloads  # type: ignore[assignment]
        return list(self._pooled([e for e, _ in rows], [slot for _, slot in rows]))

    def _pooled(self, rows: list[Encoded], slots: list[int]) -> Floats:
        batch = pad(rows, self.encoder.pad_id) | {"slots": np.asarray(slots, np.int64)}
        return self.session.run(batch, self.bank)

    def _replay_golden(self, adapter: Adapter, slot: int) -> None:
        golden = adapter.manifest.golden
        rows = self.encoder.encode([g.text for g in golden])
        now = adapter.head.logits(self._pooled(rows, [slot] * len(rows)))
        then, bare = np.array([g.logits for g in golden]), np.array([g.bare for g in golden])
        drift, gap = float(np.linalg.norm(now - then)), float(np.linalg.norm(bare - then))
        if not drift <= GOLDEN_TOLERANCE * gap:
            raise GoldenMismatch(
                f"adapter {adapter.name!r} does not give the outputs it gave when it was trained (distance {drift:.3f}, "
                f"allowed {GOLDEN_TOLERANCE * gap:.3f}); its files or the backbone's graph changed: train or export again"
            )
