"""The bank: LoRA arrays of every loaded adapter, stacked by slot, read by the ONNX graph where
they lie.

For each site A is [slots, inputs, rank] and B [slots, rank, outputs], float32, alpha/r folded into
B. Every slot has the same rank; an adapter of a higher one takes several, and the graph puts the
ranks of a row's slots side by side (the pages of S-LoRA, Sheng et al. 2023, section 5): a wide
adapter costs the rows that use it, and the others nothing. Sites that read the same tensor keep
their A side by side in one array, so that one matrix product serves them (16 columns cost what 8
do). Slot 0 stays zero: the bare backbone. Writing a slot changes the numpy memory that the graph's
OrtValues wrap, so adding an adapter rebuilds nothing. Does not know names, heads or requests (see
`engine`).
"""

from __future__ import annotations

import threading
from collections.abc import Container, Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from polygraft.adapters.arrays import Floats, Lora, moves
from polygraft.errors import AdapterError, BackboneError, BankFull
from polygraft.runtime.graph import Site, groups, value


class Bank:
    """`capacity` slots of `rank` beside slot 0. `changes` counts the adapters written so far."""

    def __init__(self, sites: Sequence[Site], capacity: int = 128, rank: int = 8) -> None:
        self.sites = {site.name: site for site in sites}
        self._groups = groups(sites)
        self.capacity = capacity
        self.rank = rank
        self._free = list(range(capacity, 0, -1))
        self.changes = 0
        self._beyond_core = np.zeros(capacity + 1, bool)
        self._lock = threading.Lock()
        self._arrays: dict[str, Floats] = {}
        for first, members in self._groups.items():
            self._arrays[f"{first}.A"] = np.zeros(
                (capacity + 1, members[0].inputs, len(members) * rank), np.float32
            )
            for site in members:
                self._arrays[f"{site.name}.B"] = np.zeros(
                    (capacity + 1, rank, site.outputs), np.float32
                )
        self.values = {
            name: ort.OrtValue.ortvalue_from_numpy(array) for name, array in self._arrays.items()
        }

    def feeds(self, slots: NDArray[np.int64]) -> dict[str, ort.OrtValue]:
        """The graph's further inputs for a batch that uses `slots`."""
        return {"all_sites": ort.OrtValue.ortvalue_from_numpy(np.array(self.beyond_core(slots)))}

    def beyond_core(self, slots: NDArray[np.int64] | Sequence[int]) -> bool:
        """Whether one of the slots uses a site beyond the core."""
        return bool(self._beyond_core[slots].any())

    def side_by_side(self, slots: Sequence[int]) -> dict[str, ort.OrtValue]:
        """The decoder graphs' inputs for `slots`: of every site A [in, members * slots * rank], B
        [slots * rank, out]."""
        count, inputs = len(slots), dict[str, Floats]()
        with self._lock:
            for first, members in self._groups.items():
                a = self._arrays[f"{first}.A"][slots].reshape(count, -1, len(members), self.rank)
                inputs[f"{first}.A"] = a.transpose(1, 2, 0, 3).reshape(a.shape[1], -1)
                for site in members:
                    b = self._arrays[f"{site.name}.B"][slots]
                    inputs[f"{site.name}.B"] = b.reshape(count * self.rank, -1)
        return {name: value(array) for name, array in inputs.items()}

    def require(self, inputs: Container[str], model: Path) -> None:
        """Raises `BackboneError` when a graph with these inputs, in the file `model`, does not take
        every array."""
        missing = [name for name in self.values if name not in inputs]
        if missing:
            raise BackboneError(f"{model} lacks bank inputs {sorted(missing)[:3]}...; export again")

    @property
    def free(self) -> int:
        return len(self._free)

    @property
    def bytes(self) -> int:
        """Memory of all slots."""
        return sum(array.nbytes for array in self._arrays.values())

    def needed(self, lora: Lora) -> int:
        """How many slots an adapter's arrays take."""
        return -(-_rank(lora) // self.rank) if moves(lora) else 0

    def write(self, lora: Lora, name: str) -> tuple[int, ...]:
        """Put an adapter's arrays into free slots and return them: none for arrays that move
        nothing, those of a head on the frozen backbone.

        Raises `BankFull`, or `AdapterError` for a site the graph does not carry or a shape that
        does not fit it.
        """
        for site, (a, b) in lora.items():
            known = self.sites.get(site)
            if known is None:
                raise AdapterError(
                    f"adapter {name!r} has LoRA on {site}, a site this graph does not carry; "
                    "export the backbone with that site, or train on the sites it has"
                )
            if a.shape[0] != known.inputs or b.shape[1] != known.outputs:
                raise AdapterError(
                    f"adapter {name!r}: {site} maps {a.shape[0]} to {b.shape[1]}, the graph's "
                    f"{known.inputs} to {known.outputs}"
                )
        if not moves(lora):
            return ()
        with self._lock:
            rank, needed = _rank(lora), self.needed(lora)
            if needed > len(self._free):
                raise BankFull(
                    f"adapter {name!r} of rank {rank} takes {needed} of {self.capacity} slots of "
                    f"rank {self.rank}, and {len(self._free)} are free; remove an adapter or start "
                    "with more slots"
                )
            slots = tuple(self._free.pop() for _ in range(needed))
            for site, (a, b) in lora.items():
                self._write_site(self.sites[site], a, b, slots)
            self.changes += 1
            self._beyond_core[list(slots)] = not all(self.sites[site].core for site in lora)
            return slots

    def _write_site(self, site: Site, a: Floats, b: Floats, slots: Sequence[int]) -> None:
        """Spread A [in, rank] and B [rank, out] over `slots`, `self.rank` ranks each; A into the
        columns that the site has in the array it shares. The caller holds the lock."""
        start = self._groups[site.reads].index(site) * self.rank
        shared_a, own_b = self._arrays[f"{site.reads}.A"], self._arrays[f"{site.name}.B"]
        for i, slot in enumerate(slots):
            ranks = slice(i * self.rank, (i + 1) * self.rank)
            columns, rows = a[:, ranks], b[ranks]
            shared_a[slot, :, start : start + columns.shape[1]] = columns
            own_b[slot, : len(rows)] = rows

    def clear(self, slots: Sequence[int]) -> None:
        """Zero slots and give them back. The caller makes sure that no row in flight uses them."""
        with self._lock:
            for array in self._arrays.values():
                array[list(slots)] = 0
            self._beyond_core[list(slots)] = False
            self._free += slots


def _rank(lora: Lora) -> int:
    return max((a.shape[1] for a, _ in lora.values()), default=1)
