"""The adapters in memory: loaded, verified, leased to rows that use them, cleared when the
last is answered.

An adapter becomes visible only after its golden inputs were replayed through the very arrays that
will serve it. A row holds a lease on its adapters until it is answered, so removing or replacing
one never changes an answer under way.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from polygraft.adapters.format import Adapter, Manifest, load_adapter
from polygraft.errors import AdapterError, InvalidOption, PolygraftError, UnknownAdapter
from polygraft.language_tags import served_code
from polygraft.runtime.bank import Bank
from polygraft.runtime.graph import Stack
from polygraft.runtime.rows import Row, WeightedAdapter

log = logging.getLogger(__name__)


@dataclass(eq=False)
class LoadedAdapter:
    """An adapter in its slots: of the encoder's bank, none where it moves nothing in it (a head on
    the frozen backbone), and, when it writes text, of the decoder's.
    `leases` counts the rows in flight; a retired one is cleared when the last is answered."""

    adapter: Adapter
    slots: tuple[int, ...]
    decoder_slots: tuple[int, ...] = ()
    leases: int = 0
    retired: bool = False
    number: int = field(default_factory=itertools.count().__next__)
    """No other has the same, not even one of the same name and version."""


@dataclass(eq=False)
class Lease:
    """The adapters of one row, which stay in their slots until it ends: the one that answers, those
    under it, and each with its weight. A context manager; `release` may be called again, from any
    thread."""

    loaded: LoadedAdapter
    under: list[LoadedAdapter] = field(default_factory=list)
    weights: list[float] = field(default_factory=lambda: [1.0])
    _give_back: Callable[[Lease], None] | None = None

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """End it. The caller has no answer to give by these adapters any more."""
        if self._give_back is not None:
            self._give_back(self)

    @property
    def all(self) -> list[LoadedAdapter]:
        return [*self.under, self.loaded]

    @property
    def stack(self) -> Stack:
        """Slots of the encoder's bank."""
        return [
            (slot, weight)
            for loaded, weight in zip(self.all, self.weights, strict=True)
            for slot in loaded.slots
        ]

    @property
    def decoder_stack(self) -> Stack:
        """Slots of the decoder's bank."""
        return [
            (slot, weight)
            for loaded, weight in zip(self.all, self.weights, strict=True)
            for slot in loaded.decoder_slots
        ]

    def in_served_codes(self, row: Row) -> Row:
        """The row with its languages in the adapters' own codes. Raises `InvalidOption` for a
        language that none of them was made for; a target is the task's to refuse."""
        language, target = row.language, row.target
        if language is None and target is None:
            return row
        languages = sorted({x for one in self.all for x in one.adapter.manifest.languages})
        if language is not None and (language := served_code(language, languages)) is None:
            raise InvalidOption(
                f"adapter {row.adapter!r} was made for {', '.join(languages)}, not for "
                f"{row.language!r}; leave the language out to use it all the same"
            )
        if target is not None:
            target = served_code(target, languages) or target
        return replace(row, language=language, target=target)

    @property
    def numbers(self) -> tuple[int, ...]:
        """What tells these adapters from any others (their weights are the row's)."""
        return tuple(one.number for one in self.all)

    @property
    def names(self) -> list[str]:
        """`name@version` of those under the one that answers."""
        return [loaded.adapter.manifest.named for loaded in self.under]


class LoadedAdapters:
    """Every method may be called from any thread. `verify` raises when an adapter in its slots does
    not answer as it should."""

    def __init__(
        self, bank: Bank, decoder_bank: Bank | None, verify: Callable[[LoadedAdapter], None]
    ) -> None:
        self.bank, self.decoder_bank, self._verify = bank, decoder_bank, verify
        self._loaded: dict[str, LoadedAdapter] = {}
        self._lock = threading.Lock()

    def add(self, folder: Path, backbone: str) -> Manifest:
        """Load, verify and publish an adapter; one of the same name is replaced. `backbone` is the
        fingerprint it must fit.

        Raises `AdapterError` and its kinds, or `BankFull`; nothing has changed then.
        """
        adapter = load_adapter(folder, backbone=backbone)
        loaded = self._place(adapter)
        try:
            self._verify(loaded)
        except PolygraftError:
            self._clear(loaded)
            raise
        except Exception as error:
            self._clear(loaded)
            log.exception("adapter %s could not be verified", adapter.name)
            raise AdapterError(
                f"adapter {adapter.name!r} cannot be run on this backbone "
                f"({type(error).__name__}); its files do not belong together or were changed: "
                "train it again, or copy it whole"
            ) from error
        with self._lock:
            old = self._loaded.get(adapter.name)
            self._loaded[adapter.name] = loaded
        if old:
            self._retire(old)
        manifest: Manifest = adapter.manifest
        return manifest

    def remove(self, name: str) -> Manifest:
        """Take an adapter out. Rows already queued for it are still answered by it. Raises
        `UnknownAdapter`."""
        with self._lock:
            if name not in self._loaded:
                raise UnknownAdapter(name, self._loaded)
            loaded = self._loaded.pop(name)
        self._retire(loaded)
        manifest: Manifest = loaded.adapter.manifest
        return manifest

    def manifests(self) -> list[Manifest]:
        """Of the loaded adapters, by name."""
        with self._lock:
            return [self._loaded[name].adapter.manifest for name in sorted(self._loaded)]

    @property
    def leases(self) -> int:
        """Leases that have not ended, over the loaded adapters."""
        with self._lock:
            return sum(one.leases for one in self._loaded.values())

    def acquire(self, row: Row) -> Lease:
        """The row's adapters, kept until the lease ends. Raises `UnknownAdapter`, or
        `InvalidOption` for a stack that makes no sense."""
        with self._lock:
            loaded = self._get(row.adapter)
            stack = self._trained_on(loaded.adapter.manifest) if row.stack is None else row.stack
            under = [self._get(entry.adapter) for entry in stack]
            weights = [*(entry.weight for entry in stack), row.weight]
            lease = Lease(loaded, under, weights, self._end)
            for one in lease.all:
                one.leases += 1
            return lease

    def _end(self, lease: Lease) -> None:
        with self._lock:
            if lease._give_back is None:
                return
            lease._give_back = None
            for one in lease.all:
                one.leases -= 1
            unused = [one for one in lease.all if one.retired and one.leases == 0]
        for one in dict.fromkeys(unused):
            self._clear(one)

    def _get(self, name: str) -> LoadedAdapter:
        if name not in self._loaded:
            raise UnknownAdapter(name, self._loaded)
        return self._loaded[name]

    def _trained_on(self, manifest: Manifest) -> list[WeightedAdapter]:
        """What the adapter was trained on top of, at the same versions: anything else would not be
        its own answer."""
        stack = []
        for named in manifest.stack:
            name = named.split("@")[0]
            served = self._loaded.get(name)
            if served is None or served.adapter.manifest.named != named:
                state = (
                    f"version {served.adapter.version} is served" if served else "it is not served"
                )
                raise InvalidOption(
                    f"adapter {manifest.name!r} was trained on top of {named}, and {state}; add "
                    "that one, or say what is to lie under it: "
                    f'"stack": ["...", "{manifest.name}"]'
                )
            stack.append(WeightedAdapter(name))
        return stack

    def _place(self, adapter: Adapter) -> LoadedAdapter:
        slots = self.bank.write(adapter.lora, adapter.name)
        loaded = LoadedAdapter(adapter, slots)
        try:
            if adapter.writes:
                if self.decoder_bank is None:
                    raise AdapterError(
                        f"adapter {adapter.name!r} writes text, and this backbone has no decoder; "
                        "export one that has"
                    )
                loaded.decoder_slots = self.decoder_bank.write(adapter.decoder_lora, adapter.name)
        except Exception:
            self._clear(loaded)
            raise
        return loaded

    def _retire(self, loaded: LoadedAdapter) -> None:
        with self._lock:
            loaded.retired = True
            unused = loaded.leases == 0
        if unused:
            self._clear(loaded)

    def _clear(self, loaded: LoadedAdapter) -> None:
        self.bank.clear(loaded.slots)
        if loaded.decoder_slots and self.decoder_bank:
            self.decoder_bank.clear(loaded.decoder_slots)
