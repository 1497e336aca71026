"""The host: one engine with the adapters of one library. What the API endpoints act on."""

from __future__ import annotations

import logging

from polygraft.adapters.format import load_adapter, load_manifest
from polygraft.adapters.library import Library
from polygraft.adapters.manifest import Manifest, unreadable
from polygraft.adapters.pointer import CHAMPION
from polygraft.architectures.folder import BackboneFiles
from polygraft.errors import AdapterError, PolygraftError, UnknownAdapter
from polygraft.rollout.proofs import Proofs, proofs_folder
from polygraft.rollout.rollout import Rollout
from polygraft.runtime.engine import Engine
from polygraft.serve.detector import detector_problem
from polygraft.serve.settings import Settings
from polygraft.transfer import guard

log = logging.getLogger(__name__)
SOMEBODY = "admin"
"""Who has changed something, where the request does not say."""
NICENESS = 5  # of the threads that compute, so that the one that answers is never kept waiting


class Host:
    """Serves every adapter of the library; one that fails is refused by name and the rest are
    served. What requests may ask for is in `settings`; `proofs` are those that are remembered."""

    def __init__(
        self,
        engine: Engine,
        library: Library,
        settings: Settings | None = None,
        proofs: Proofs | None = None,
    ) -> None:
        self.engine, self.library, self.settings = engine, library, settings or Settings()
        library.recover()
        self.rollout = Rollout(
            engine,
            library,
            warm=self.settings.warm_mib * 2**20,
            resident=self.settings.resident_mib * 2**20,
            proofs=proofs,
            pins=self.settings.pins,
        )
        if problem := detector_problem(self.manifests(), self.settings.detector):
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
        files = BackboneFiles(settings.backbone)
        graphs = [graph(settings.precision) for graph in (files.model, files.cross, files.step)]
        proofs = Proofs(proofs_folder(), [graph for graph in graphs if graph.is_file()])
        return cls(engine, settings.open_library(), settings, proofs)

    @property
    def refused(self) -> dict[str, PolygraftError]:
        """Adapters in the library that are not served, and why."""
        return self.rollout.refused

    def manifests(self) -> list[Manifest]:
        """Of the adapters that are served, by name: the version of each that is its champion."""
        return self.rollout.names.manifests()

    def allows_experimental(self, asked: bool | None) -> bool:
        """Whether directions of that class may be chosen: what a request says, else the setting."""
        return self.settings.allow_experimental if asked is None else asked

    def add(
        self, archive: bytes, *, alias: str = CHAMPION, who: str = SOMEBODY, why: str = ""
    ) -> Manifest:
        """Unpack, check, verify and serve an uploaded adapter under `alias`. One that fails changes
        nothing that is served.

        Only verifying and publishing wait for other changes. Raises `AdapterError` and its kinds,
        `BankFull` or `LibraryError`.
        """
        with self.library.unpack(archive) as unpacked:
            checked = load_adapter(unpacked, backbone=self.engine.card.backbone)
            guard.check(checked.manifest)
            return self.rollout.add(checked, unpacked, alias=alias, who=who, why=why)

    def remove(self, name: str, *, purge: bool = False) -> Manifest:
        """Stop serving an adapter; `purge` deletes it from the library too, with all its versions,
        else it is back at the next start.

        Raises `UnknownAdapter`, and with `purge` `LibraryError` when it cannot be deleted; it is
        served as before then. One that was refused, or is in the library only, can be purged; one
        whose folder is gone already too.
        """
        with self.rollout.changing:
            served = self.rollout.names.find(name)
            if not purge:
                self.rollout.remove(name)
                assert served
                return served.manifest
            names = {*self.rollout.names.names(), *self.library.names()}
            if name not in names and name not in self.refused:
                raise UnknownAdapter(name, names)
            manifest = served.manifest if served else self._described(name)
            self.rollout.purge(name)
            return manifest

    def close(self) -> None:
        """Stop; rows that are not answered by now are dropped."""
        self.rollout.close()
        self.engine.close()

    def _described(self, name: str) -> Manifest:
        """What is known of an adapter that is not served."""
        try:
            return load_manifest(self.library.folder(name)).model_copy(update={"name": name})
        except (AdapterError, UnknownAdapter):
            return unreadable(name)
