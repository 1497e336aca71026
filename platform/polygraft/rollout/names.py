"""Names to versions: what a row that names an adapter is answered by.

    names.resolve(row)      the row with a version, and the alias where one was asked for or chosen

A canary takes a share of the rows: those whose key, else text, has a hash below its weight. So a
key always gets the same version, and growing the weight only moves rows one way. Does not: load
adapters, or read the library.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import NamedTuple

import mmh3

from polygraft.adapters.manifest import Manifest
from polygraft.adapters.pointer import CHAMPION, Pointer
from polygraft.adapters.reference import Reference, find_version
from polygraft.errors import UnknownAdapter
from polygraft.runtime.rows import Row, WeightedAdapter


@dataclass(frozen=True)
class Served:
    """A name that is served: the manifest of the version that is its champion, what points where,
    and the versions there are."""

    manifest: Manifest
    pointer: Pointer
    versions: frozenset[str]

    @property
    def champion(self) -> str:
        return self.manifest.version

    @property
    def aliases(self) -> dict[str, str]:
        return {CHAMPION: self.champion} | self.pointer.aliases


class Choice(NamedTuple):
    """A row as an engine takes it; its version is None where it is the champion without any other
    choice. `served`: its name, as it was then."""

    row: Row
    served: Served
    alias: str | None = None


class Names:
    """Every method may be called from any thread."""

    def __init__(self) -> None:
        self._served: dict[str, Served] = {}
        self._lock = threading.Lock()
        self._sorted: list[Manifest] | None = None

    def put(self, served: Served) -> None:
        """From now on, rows that name it are answered as `served` says."""
        with self._lock:
            self._served[served.manifest.name] = served
            self._sorted = None

    def drop(self, name: str) -> None:
        with self._lock:
            self._served.pop(name, None)
            self._sorted = None

    def get(self, name: str) -> Served:
        """Raises `UnknownAdapter`."""
        served = self._served.get(name)
        if served is None:
            raise UnknownAdapter(name, self.names())
        return served

    def find(self, name: str) -> Served | None:
        return self._served.get(name)

    def names(self) -> list[str]:
        return list(self._served)

    def manifests(self) -> list[Manifest]:
        """Of the champions, by name. The same list until something changes."""
        found = self._sorted
        if found is None:
            with self._lock:
                found = [self._served[name].manifest for name in sorted(self._served)]
                self._sorted = found
        return found

    def resolve(self, row: Row) -> Choice:
        """Raises `UnknownAdapter`, `UnknownVersion` or `InvalidOption`."""
        served = self.get(row.adapter)
        alias, version = self._chosen(served, row)
        if row.stack is not None:
            row = replace(row, stack=tuple(self._entry(entry) for entry in row.stack))
        if row.version != version or row.key is not None:
            row = replace(row, version=version, key=None)
        return Choice(row, served, alias)

    def _chosen(self, served: Served, row: Row) -> tuple[str | None, str | None]:
        if row.version is not None:
            version = find_version(
                Reference(row.adapter, row.version), served.aliases, served.versions
            )
            return (row.version if row.version in served.aliases else None), version
        canary = served.pointer.route.canary
        if canary is None:
            return None, None
        if share(row.adapter, row.text if row.key is None else row.key) < canary.weight:
            return canary.alias, served.aliases[canary.alias]
        return CHAMPION, served.champion

    def _entry(self, entry: WeightedAdapter) -> WeightedAdapter:
        served = self.get(entry.adapter)
        if entry.version is None:
            return entry
        reference = Reference(entry.adapter, entry.version)
        return replace(entry, version=find_version(reference, served.aliases, served.versions))


def stack_of(manifest: Manifest) -> list[tuple[str, str]]:
    """Names and versions of what an adapter was trained on top of."""
    pairs = (named.partition("@") for named in manifest.stack)
    return [(name, version) for name, _, version in pairs]


def share(name: str, key: str) -> float:
    """A number in [0, 1) that is always the same for a key, and another for each name."""
    hashed: int = mmh3.hash(f"{name}\0{key}".encode("utf-8", "surrogatepass"), signed=False)
    return hashed / 2**32
