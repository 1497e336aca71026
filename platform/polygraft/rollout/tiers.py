"""Where a version is: registered (in the library), warm (packed in memory), resident (in its
slots); and how it comes from one to the next.

A version is loaded when a row needs it. One load at a time for each; what it takes the place of is
the version that was used longest ago, held by no row and not pinned. Its goldens are replayed at
its first load on this graph and machine (see `proofs`). Does not: decide which version a row gets
(see `names`).
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from polygraft.adapters.format import Adapter, Manifest, load_adapter, load_manifest
from polygraft.adapters.library import check_name
from polygraft.errors import AdapterError, BankFull, UnknownAdapter, UnknownVersion
from polygraft.rollout.names import stack_of
from polygraft.rollout.packed import Key, Packed, size_of
from polygraft.rollout.proofs import Proofs
from polygraft.runtime.engine import Engine
from polygraft.transfer import guard

PATIENCE = 30.0
"""Seconds for which a load waits until rows have left the slots that it needs."""
PAUSE = 0.002


class Tiers:
    """Loads versions into `engine`. `folder_of(name, version)` is where one lies; `resident` and
    `warm` bound the bytes that adapters take beside the slots; `pins` are names that stay."""

    def __init__(
        self,
        engine: Engine,
        folder_of: Callable[[str, str], Path],
        *,
        warm: int = 512 * 2**20,
        resident: int = 1024 * 2**20,
        proofs: Proofs | None = None,
        pins: Collection[str] = (),
    ) -> None:
        self.engine, self._folder_of, self._proofs = engine, folder_of, proofs
        self.packed = Packed(warm)
        self.pins = set(pins)
        self._bound = resident
        self._sizes: dict[Key, int] = {}
        self._protected: Counter[Key] = Counter()
        self._loading: dict[Key, threading.Event] = {}
        self._lock = threading.Lock()
        self.loads = 0

    def holds(self, key: Key) -> bool:
        return self.engine.adapters.holds(*key)

    def load(self, key: Key, *, evicting: bool = True) -> None:
        """See to it that a version is resident. Who asks for one that is being loaded waits for
        that. Raises `AdapterError` and its kinds, or `BankFull`; with `evicting` false as soon as
        there is no room."""
        while not self.holds(key):
            with self._lock:
                running = self._loading.get(key)
                if running is None:
                    self._loading[key] = threading.Event()
            if running is not None:
                running.wait()
                continue
            try:
                self._load(key, evicting=evicting)
                return
            finally:
                with self._lock:
                    self._loading.pop(key).set()

    def add(self, adapter: Adapter) -> Manifest:
        """Make a version resident that was read already. Raises as `load` does."""
        manifest = self._place(adapter, evicting=True)
        self.packed.put(adapter)
        return manifest

    def manifest(self, key: Key) -> Manifest | None:
        """Of a resident version."""
        for loaded in self.engine.adapters.resident():
            if loaded.key == key:
                manifest: Manifest = loaded.adapter.manifest
                return manifest
        return None

    @contextmanager
    def protected(self, keys: Collection[Key]) -> Iterator[None]:
        """Keep these versions where they are for a moment: they are about to be used together."""
        with self._lock:
            self._protected.update(keys)
        try:
            yield
        finally:
            with self._lock:
                self._protected.subtract(keys)

    def drop(self, name: str) -> None:
        """Forget all versions of a name; rows under way are still answered."""
        self.engine.adapters.forget(name)
        self.packed.drop(name)

    def _load(self, key: Key, *, evicting: bool) -> None:
        adapter = self.packed.get(key)
        if adapter is not None:
            self._place(adapter, evicting=evicting, proved=True)
        else:
            name, folder = key[0], self._folder_of(*key)
            adapter = load_adapter(folder, backbone=self.engine.card.backbone)
            check_name(name, folder, adapter.manifest)
            guard.check(adapter.manifest)
            self._place(adapter, evicting=evicting)
            self.packed.put(adapter)
        self.loads += 1

    def _place(self, adapter: Adapter, *, evicting: bool, proved: bool = False) -> Manifest:
        """`proved`: it was here before. Else its proof may be remembered from another start."""
        if not proved and self._proofs is not None:
            proved = self._proofs.has(adapter.manifest)
        under = stack_of(adapter.manifest) if adapter.writes and not proved else []
        with self.protected(under):
            for key in under:
                self._load_under(adapter, key, evicting=evicting)
            manifest = self._place_in_slots(adapter, evicting=evicting, proved=proved)
        if self._proofs and not proved:
            self._proofs.add(manifest)
        key = (adapter.name, adapter.version)
        self._sizes[key] = size_of(adapter.head)
        with self.protected([key]):
            while self._resident_bytes() > self._bound and self._evict_one():
                pass
        return manifest

    def _load_under(self, adapter: Adapter, key: Key, *, evicting: bool) -> None:
        """Load what an adapter that writes was trained on top of, which its goldens are replayed
        with. Nothing lies under that again. Raises `AdapterError` and its kinds, or `BankFull`."""
        named = "@".join(key)
        try:
            deeper = load_manifest(self._folder_of(*key)).stack
        except (UnknownAdapter, UnknownVersion):
            raise AdapterError(
                f"adapter {adapter.name!r} was trained on top of {named}, which is not in the "
                "library; add that first"
            ) from None
        if deeper:
            raise AdapterError(
                f"adapter {adapter.name!r} was trained on top of {named}, and that on top of "
                f"{', '.join(deeper)}; what lies under another has no stack of its own: train it "
                "on that"
            )
        self.load(key, evicting=evicting)

    def _place_in_slots(self, adapter: Adapter, *, evicting: bool, proved: bool) -> Manifest:
        """In free slots, or in those of what was used longest ago."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return self.engine.adapters.place(adapter, proved=proved)
            except BankFull:
                if not evicting or not self._can_ever_fit(adapter):
                    raise
                if not self._evict_one():
                    if time.monotonic() > until:
                        raise
                    time.sleep(PAUSE)

    def _can_ever_fit(self, adapter: Adapter) -> bool:
        engine = self.engine
        fits = engine.bank.needed(adapter.lora) <= engine.bank.capacity
        if adapter.writes and engine.writer:
            bank = engine.writer.bank
            fits = fits and bank.needed(adapter.decoder_lora) <= bank.capacity
        return fits

    def _resident_bytes(self) -> int:
        return sum(self._sizes.get(one.key, 0) for one in self.engine.adapters.resident())

    def _evict_one(self) -> bool:
        """Take out what was used longest ago. Returns whether there was something to take out."""
        for loaded in self.engine.adapters.resident():
            if loaded.key[0] in self.pins or self._protected[loaded.key] or loaded.leases:
                continue
            if self.engine.adapters.evict(*loaded.key):
                return True
        return False
