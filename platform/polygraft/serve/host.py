"""The host: one engine with the adapters of one library, and those it refused. What the API
endpoints act on."""

from __future__ import annotations

import logging
import threading

from polygraft.adapters import pointer as pointers
from polygraft.adapters.format import Manifest, load_adapter, load_manifest
from polygraft.adapters.library import Library, check_name
from polygraft.adapters.manifest import unreadable
from polygraft.architectures.folder import fits
from polygraft.errors import AdapterError, PolygraftError, UnknownAdapter
from polygraft.runtime.engine import Engine
from polygraft.serve.detector import detector_problem
from polygraft.serve.settings import Settings
from polygraft.transfer import guard

log = logging.getLogger(__name__)
ADMIN = "admin"
NICENESS = 5  # of the threads that compute, so that the one that answers is never kept waiting


class Host:
    """Loads every adapter of the library at start; one that fails is refused by name and the rest
    are served. What requests may ask for is in `settings`."""

    def __init__(self, engine: Engine, library: Library, settings: Settings | None = None) -> None:
        self.engine, self.library, self.settings = engine, library, settings or Settings()
        self.refused: dict[str, PolygraftError] = {}
        self._changing = threading.Lock()
        library.recover()
        for name in library.names():
            try:
                self._load(name)
            except PolygraftError as error:
                self.refused[name] = error
                log.warning("adapter %s is refused: %s", name, error)
            except Exception as error:
                log.exception("adapter %s cannot be loaded", name)
                self.refused[name] = AdapterError(
                    f"adapter {name!r} cannot be loaded ({type(error).__name__}); the server's log "
                    "says why"
                )
        if problem := detector_problem(engine.manifests(), self.settings.detector):
            log.warning("%s", problem)

    @classmethod
    def from_environment(cls) -> Host:
        """The host that the process's `Settings` describe. Raises `SettingsError`,
        `BackboneError`."""
        settings = Settings.from_environment(files=True)
        engine = Engine(
            settings.backbone,
            precision=settings.precision,
            slots=settings.slots,
            threads=settings.threads,
            queue=settings.queue,
            niceness=NICENESS,
            cached=settings.cache,
        )
        return cls(engine, settings.open_library(), settings)

    def _load(self, name: str) -> None:
        """Serve the version that the library says; a bundled adapter only where it fits."""
        folder, backbone = self.library.folder(name), self.engine.card.backbone
        manifest = load_manifest(folder)
        if self.library.is_bundled(name) and not fits(manifest.backbone, backbone):
            return
        check_name(name, folder, manifest)
        guard.check(manifest)
        self.engine.add(folder)

    def add(self, archive: bytes, who: str = ADMIN) -> Manifest:
        """Unpack, check, verify and serve an uploaded adapter. One that fails changes nothing, in
        memory or on disk.

        Only verifying and publishing wait for other changes. Raises `AdapterError` and its kinds,
        `BankFull` or `LibraryError`.
        """
        with self.library.unpack(archive) as unpacked:
            checked = load_adapter(unpacked, backbone=self.engine.card.backbone)
            guard.check(checked.manifest)
            with self._changing:
                manifest = self.engine.add(unpacked)
                try:
                    if not self.library.holds(unpacked):
                        self.library.publish(unpacked)
                    self.library.change(
                        manifest.name, lambda now: pointers.added(now, manifest.version, who)
                    )
                except Exception:
                    self._as_in_library(checked.name)
                    raise
                self.refused.pop(checked.name, None)
                return manifest

    def remove(self, name: str, *, purge: bool = False) -> Manifest:
        """Stop serving an adapter; `purge` deletes it from the library too, else it is back at the
        next start.

        Raises `UnknownAdapter`, and with `purge` `LibraryError` when it cannot be deleted; it is
        served as before then. One that was refused, or is in the library only, can be purged; one
        whose folder is gone already too.
        """
        with self._changing:
            if not purge:
                return self.engine.remove(name)
            served = {manifest.name: manifest for manifest in self.engine.manifests()}
            in_library = self.library.names()
            if name not in served and name not in in_library and name not in self.refused:
                raise UnknownAdapter(name, {*served, *in_library})
            manifest = served[name] if name in served else self._described(name)
            self.library.delete(name)
            if name in served:
                self.engine.remove(name)
            self.refused.pop(name, None)
            return manifest

    def _as_in_library(self, name: str) -> None:
        """Serve the version that the library has, or none, after a newer one could not be
        published."""
        try:
            self._load(name)
        except Exception:
            self.engine.remove(name)

    def _described(self, name: str) -> Manifest:
        """What is known of an adapter that is not served."""
        try:
            return load_manifest(self.library.folder(name)).model_copy(update={"name": name})
        except AdapterError:
            return unreadable(name)
