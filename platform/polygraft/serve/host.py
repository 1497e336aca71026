"""The host: one engine with the adapters of one library, and those it refused. What the API endpoints act on."""

from __future__ import annotations

import threading
from pathlib import Path

from polygraft import guard
from polygraft.adapter import Manifest, load_manifest
from polygraft.errors import AdapterError, PolygraftError
from polygraft.library import Library
from polygraft.runtime.engine import Engine
from polygraft.serve.settings import Settings


class Host:
    """Loads every adapter of the library at start; one that fails is refused by name and the rest are served."""

    def __init__(self, engine: Engine, library: Library) -> None:
        self.engine, self.library = engine, library
        self.refused: dict[str, PolygraftError] = {}
        self._changing = threading.Lock()
        for name in library.names():
            try:
                self._load(name, library.folder(name))
            except PolygraftError as error:
                self.refused[name] = error

    @classmethod
    def from_environment(cls) -> Host:
        """The host that the process's `Settings` describe. Raises `SettingsError`, `BackboneError`."""
        settings = Settings.from_environment(files=True)
        engine = Engine(settings.backbone, precision=settings.precision, slots=settings.slots, threads=settings.threads)
        return cls(engine, Library(settings.library))

    def _load(self, name: str, folder: Path) -> Manifest:
        manifest = load_manifest(folder)
        if manifest.name != name:
            raise AdapterError(f"folder {name!r} holds adapter {manifest.name!r}; rename the folder to the adapter's name")
        guard.check(manifest)
        return self.engine.add(folder)

    def add(self, archive: bytes) -> Manifest:
        """Unpack, check, prove and serve an uploaded adapter. One that fails a check changes nothing, in memory or on disk."""
        with self._changing, self.library.unpack(archive) as staging:
            guard.check(load_manifest(Path(staging)))
            manifest = self.engine.add(Path(staging))
            folder = self.library.folder(manifest.name)
            if not _holds(folder, manifest):
                self.library.publish(Path(staging))
            self.refused.pop(manifest.name, None)
            return manifest

    def remove(self, name: str, *, purge: bool = False) -> Manifest:
        """Stop serving an adapter; `purge` deletes it from the library too, else it is back at the next start."""
        with self._changing:
            manifest = self.engine.remove(name)
            if purge:
                self.library.delete(name)
            return manifest


def _holds(folder: Path, manifest: Manifest) -> bool:
    try:
        return load_manifest(folder) == manifest
    except AdapterError:
        return False
