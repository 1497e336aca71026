"""Adapters as they wait in memory: LoRA as float16 where nothing is lost by it, else as it is,
since what an adapter answers must not depend on where it has been. The ones used last stay, up to a
bound in bytes.
"""

from __future__ import annotations

import dataclasses
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polygraft.adapters.arrays import Lora
from polygraft.adapters.format import Adapter

Key = tuple[str, str]
"""Name and version."""


class Packed:
    """`capacity` bytes of adapters. Thread-safe."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.bytes = 0
        self._kept: OrderedDict[Key, tuple[Adapter, int]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Key) -> Adapter | None:
        """As it was put, unpacked."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is None:
                return None
            self._kept.move_to_end(key)
        adapter, _ = kept
        return replace(
            adapter, lora=unpacked(adapter.lora), decoder_lora=unpacked(adapter.decoder_lora)
        )

    def put(self, adapter: Adapter) -> None:
        """Keep it in place of those used longest ago; one larger than all there is room for is not
        kept."""
        small = replace(
            adapter, lora=packed(adapter.lora), decoder_lora=packed(adapter.decoder_lora)
        )
        size, key = size_of(small), (adapter.name, adapter.version)
        with self._lock:
            self._drop(key)
            self._kept[key] = (small, size)
            self.bytes += size
            while self.bytes > self.capacity:
                self._drop(next(iter(self._kept)))

    def drop(self, name: str) -> None:
        """All versions of a name."""
        with self._lock:
            for key in [key for key in self._kept if key[0] == name]:
                self._drop(key)

    def _drop(self, key: Key) -> None:
        _, size = self._kept.pop(key, (None, 0))
        self.bytes -= size


def packed(lora: Lora) -> Any:
    """Float16 where each value is one."""
    return {site: (_smallest(a), _smallest(b)) for site, (a, b) in lora.items()}


def unpacked(lora: Mapping[str, tuple[NDArray[Any], NDArray[Any]]]) -> Lora:
    return {
        site: (a.astype(np.float32, copy=False), b.astype(np.float32, copy=False))
        for site, (a, b) in lora.items()
    }


def _smallest(array: NDArray[np.float32]) -> NDArray[Any]:
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    return half if np.array_equal(half.astype(np.float32), array) else array


def size_of(value: object) -> int:
    """Bytes of the arrays in an adapter."""
    return sum({id(array): array.nbytes for array in _arrays(value)}.values())


def _arrays(value: object) -> Iterator[NDArray[Any]]:
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _arrays(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _arrays(inner)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from _arrays(getattr(value, field.name))
