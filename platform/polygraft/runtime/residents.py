"""The adapters in memory: loaded, proved, held while rows use them, cleared when the last is answered.

An adapter becomes visible only after its golden inputs were replayed through the very arrays that will serve it. A row
holds its adapter until it is answered, so removing or replacing an adapter never changes an answer under way.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from polygraft.adapter import Adapter, Manifest, load_adapter
from polygraft.errors import AdapterError, InvalidRow, PolygraftError, UnknownAdapter
from polygraft.runtime.bank import Bank
from polygraft.runtime.rows import Row


@dataclass(eq=False)
class Resident:
    """An adapter in its slots: of the encoder's bank and, when it writes text, of the decoder's (else 0). `rows` counts the
    rows in flight; a retired one is cleared when the last is answered."""

    adapter: Adapter
    slot: int
    decoder_slot: int = 0
    rows: int = 0
    retired: bool = False


class Residents:
    """Every method may be called from any thread. `prove` raises when an adapter in its slots does not answer as it should."""

    def __init__(self, bank: Bank, decoder_bank: Bank | None, prove: Callable[[Resident], None]) -> None:
        self.bank, self.decoder_bank, self._prove = bank, decoder_bank, prove
        self._residents: dict[str, Resident] = {}
        self._lock = threading.Lock()

    def add(self, folder: Path, backbone: str) -> Manifest:
        """Load, prove and publish an adapter; one of the same name is replaced. `backbone` is the fingerprint it must fit.

        Raises `AdapterError` and its kinds, or `BankFull`; nothing has changed then.
        """
        adapter = load_adapter(folder, backbone=backbone)
        resident = self._place(adapter)
        try:
            self._prove(resident)
        except PolygraftError:
            self._clear(resident)
            raise
        with self._lock:
            old = self._residents.get(adapter.name)
            self._residents[adapter.name] = resident
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

    def hold(self, row: Row) -> Resident:
        """The row's adapter, kept until `release`. Raises `UnknownAdapter`, or `InvalidRow` for a language it does not know."""
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

    def release(self, resident: Resident) -> None:
        with self._lock:
            resident.rows -= 1
            done = resident.retired and resident.rows == 0
        if done:
            self._clear(resident)

    def _place(self, adapter: Adapter) -> Resident:
        slot = self.bank.write(adapter.lora, adapter.name)
        resident = Resident(adapter, slot)
        try:
            if adapter.manifest.directions:
                if self.decoder_bank is None:
                    raise AdapterError(
                        f"adapter {adapter.name!r} writes text, and this backbone has no decoder; export one that has"
                    )
                resident.decoder_slot = self.decoder_bank.write(adapter.decoder_lora, adapter.name)
        except PolygraftError:
            self.bank.clear(slot)
            raise
        return resident

    def _retire(self, resident: Resident) -> None:
        with self._lock:
            resident.retired = True
            done = resident.rows == 0
        if done:
            self._clear(resident)

    def _clear(self, resident: Resident) -> None:
        self.bank.clear(resident.slot)
        if resident.decoder_slot and self.decoder_bank:
            self.decoder_bank.clear(resident.decoder_slot)
