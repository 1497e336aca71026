"""The adapters in memory, by name and version: loaded, verified, leased to rows that use them,
cleared when the last is answered.

An adapter becomes visible only after its golden inputs were replayed through the very arrays that
will serve it. Several versions of a name may lie side by side; `point` says which one answers rows
that name none. A row holds a lease on its adapters until it is answered, so removing or replacing
one never changes an answer under way. Does not: read the library, or decide what is to be in memory
(see `rollout`).
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from polygraft.adapters.format import Adapter, Manifest, load_adapter
from polygraft.errors import (
    AdapterError,
    InvalidOption,
    PolygraftError,
    UnknownAdapter,
    UnknownVersion,
)
from polygraft.language_tags import served_code
from polygraft.runtime.bank import Bank
from polygraft.runtime.graph import Stack
from polygraft.runtime.rows import Row, WeightedAdapter

log = logging.getLogger(__name__)


@dataclass(eq=False)
class LoadedAdapter:
    """An adapter in its slots, where its LoRA is and nowhere else: of the encoder's bank, none
    where it moves nothing in it (a head on the frozen backbone), and, when it writes text, of the
    decoder's. `leases` counts the rows in flight; a retired one is cleared when the last is
    answered."""

    adapter: Adapter
    slots: tuple[int, ...]
    decoder_slots: tuple[int, ...] = ()
    leases: int = 0
    retired: bool = False
    used: float = field(default_factory=time.monotonic)
    """When a row took it last."""
    number: int = field(default_factory=itertools.count().__next__)
    """No other has the same, not even one of the same name and version."""

    @cached_property
    def key(self) -> tuple[str, str]:
        """Name and version."""
        return self.adapter.name, self.adapter.version


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
    """Every method may be called from any thread. `verify` raises when the adapter of a lease does
    not answer as it should."""

    def __init__(
        self, bank: Bank, decoder_bank: Bank | None, verify: Callable[[Lease], None]
    ) -> None:
        self.bank, self.decoder_bank, self._verify = bank, decoder_bank, verify
        self._loaded: dict[str, dict[str, LoadedAdapter]] = {}
        self._current: dict[str, str] = {}
        self._lock = threading.Lock()

    def add(self, folder: Path, backbone: str) -> Manifest:
        """Load, verify and publish an adapter; one of the same name is replaced. `backbone` is the
        fingerprint it must fit.

        Raises `AdapterError` and its kinds, or `BankFull`; nothing has changed then.
        """
        manifest = self.place(load_adapter(folder, backbone=backbone))
        self.point(manifest.name, manifest.version)
        with self._lock:
            of_name = self._loaded[manifest.name]
            others = [of_name.pop(v) for v in list(of_name) if v != manifest.version]
        for other in others:
            self._retire(other)
        return manifest

    def place(self, adapter: Adapter, *, proved: bool = False) -> Manifest:
        """Verify and publish a version beside others of its name; it answers rows that name it.
        `proved`: its goldens need not be replayed. Raises as `add` does."""
        loaded = self._place(adapter)
        try:
            if not proved:
                with self._lease_to_verify(loaded) as lease:
                    self._verify(lease)
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
            of_name = self._loaded.setdefault(adapter.name, {})
            old = of_name.get(adapter.version)
            of_name[adapter.version] = loaded
        if old:
            self._retire(old)
        manifest: Manifest = adapter.manifest
        return manifest

    def point(self, name: str, version: str) -> None:
        """From now on rows that name no version of `name` are answered by this one, in memory or
        not."""
        with self._lock:
            self._current[name] = version

    def remove(self, name: str) -> Manifest:
        """Take an adapter out, with all its versions. Rows already queued for it are still answered
        by it. Raises `UnknownAdapter`."""
        with self._lock:
            if name not in self._loaded or self._current.get(name) not in self._loaded[name]:
                raise UnknownAdapter(name, self._current)
            versions, current = self._loaded.pop(name), self._current.pop(name)
        for loaded in versions.values():
            self._retire(loaded)
        manifest: Manifest = versions[current].adapter.manifest
        return manifest

    def forget(self, name: str) -> None:
        """`remove`, of what may be there in part or not at all."""
        with self._lock:
            versions = self._loaded.pop(name, {})
            self._current.pop(name, None)
        for loaded in versions.values():
            self._retire(loaded)

    def evict(self, name: str, version: str) -> bool:
        """Take one version out if no row holds it. Returns whether it is gone."""
        with self._lock:
            loaded = self._loaded.get(name, {}).get(version)
            if loaded is None:
                return True
            if loaded.leases:
                return False
            del self._loaded[name][version]
        self._retire(loaded)
        return True

    def manifests(self) -> list[Manifest]:
        """Of the loaded adapters, by name: those that answer rows which name no version."""
        with self._lock:
            return [
                self._loaded[name][version].adapter.manifest
                for name, version in sorted(self._current.items())
                if version in self._loaded.get(name, {})
            ]

    def resident(self) -> list[LoadedAdapter]:
        """All versions in memory, those that were used longest ago first."""
        with self._lock:
            loaded = [one for of_name in self._loaded.values() for one in of_name.values()]
        return sorted(loaded, key=lambda one: one.used)

    def holds(self, name: str, version: str) -> bool:
        return version in self._loaded.get(name, ())

    @property
    def leases(self) -> int:
        """Leases that have not ended, over the loaded adapters."""
        return sum(one.leases for one in self.resident())

    def acquire(self, row: Row) -> Lease:
        """The row's adapters, kept until the lease ends. Raises `UnknownAdapter`, or
        `InvalidOption` for a stack that makes no sense."""
        with self._lock:
            loaded = self._get(row.adapter, row.version)
            stack = self._trained_on(loaded.adapter.manifest) if row.stack is None else row.stack
            return self._lease(loaded, stack, row.weight)

    def _lease_to_verify(self, loaded: LoadedAdapter) -> Lease:
        """An adapter that is in its slots and not published yet: one that writes on top of what it
        was trained on, others by themselves, as their arrays are what is to be verified. Raises
        `AdapterError` where that is not in memory."""
        manifest = loaded.adapter.manifest
        with self._lock:
            try:
                stack = self._trained_on(manifest) if loaded.adapter.writes else []
            except InvalidOption as error:
                raise AdapterError(str(error)) from None
            return self._lease(loaded, stack)

    def _lease(
        self, loaded: LoadedAdapter, stack: Sequence[WeightedAdapter], weight: float = 1.0
    ) -> Lease:
        """The caller holds the lock."""
        under = [self._get(entry.adapter, entry.version) for entry in stack]
        weights = [*(entry.weight for entry in stack), weight]
        lease, now = Lease(loaded, under, weights, self._end), time.monotonic()
        for one in lease.all:
            one.leases += 1
            one.used = now
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

    def _get(self, name: str, version: str | None) -> LoadedAdapter:
        if name not in self._current and name not in self._loaded:
            raise UnknownAdapter(name, self._current)
        version = version or self._current[name]
        if version not in self._loaded.get(name, {}):
            raise UnknownVersion(name, version, self._loaded.get(name, {}))
        return self._loaded[name][version]

    def _trained_on(self, manifest: Manifest) -> list[WeightedAdapter]:
        """What the adapter was trained on top of, at the same versions: anything else would not be
        its own answer."""
        stack = []
        for named in manifest.stack:
            name, _, version = named.partition("@")
            if not self.holds(name, version):
                served = self._current.get(name)
                state = f"version {served} is served" if served else "it is not served"
                raise InvalidOption(
                    f"adapter {manifest.name!r} was trained on top of {named}, and {state}; add "
                    "that one, or say what is to lie under it: "
                    f'"stack": ["...", "{manifest.name}"]'
                )
            stack.append(WeightedAdapter(name, version=version))
        return stack

    def _place(self, adapter: Adapter) -> LoadedAdapter:
        slots = self.bank.write(adapter.lora, adapter.name)
        loaded = LoadedAdapter(replace(adapter, lora={}, decoder_lora={}), slots)
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
