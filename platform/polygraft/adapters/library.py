"""The library: adapters by name, each with its versions.

    <library>/<name>/<version>/     one adapter; what it answers with never changes
    <library>/<name>/pointer.json   which version is served (see `pointer`)
    <library>/<name>/manifest.json  an adapter as `polygraft train` leaves it: it is read as one
                                    version, and served while nothing points elsewhere

Under the library may lie a layer that is only read: the bundled adapters, flat. What a pointer
names is copied into the library first, so that it stays, whatever is trained or pulled over it.
Names are checked before they become paths. What is in the folder and is not an adapter is left
alone. Does not: load adapters, or read object stores.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from polygraft.adapters import archive as archives
from polygraft.adapters import pointer as pointers
from polygraft.adapters import publishing
from polygraft.adapters.archive import MAX_UPLOAD, pack
from polygraft.adapters.format import HASHED, LAYOUT, load_manifest
from polygraft.adapters.layout import NAME, POINTER
from polygraft.adapters.manifest import Manifest, read
from polygraft.adapters.pointer import Pointer
from polygraft.adapters.reference import Reference, find_version
from polygraft.errors import (
    AdapterError,
    Conflict,
    LibraryError,
    UnknownAdapter,
    UnknownVersion,
    shortened,
)

__all__ = ["BUNDLED", "MAX_UPLOAD", "Library", "find_folder", "open_library", "pack"]
BUNDLED = Path(__file__).resolve().parents[3] / "adapters"
GRACE = 7 * 24 * 3600
"""Seconds for which a version stays that nothing points to."""


def own_folder() -> Path:
    """The user's own library: `POLYGRAFT_LIBRARY` when set, else `polygraft/library` under
    XDG_DATA_HOME or ~/.local/share."""
    if given := os.environ.get("POLYGRAFT_LIBRARY"):
        return Path(given)
    data = Path(os.environ.get("XDG_DATA_HOME", ""))
    if not data.is_absolute():
        data = Path("~/.local/share").expanduser()
    return data / "polygraft" / "library"


def recipes_folder() -> Path:
    """Where recipes lie, with what is trained from them: `POLYGRAFT_LIBRARY` when set, else the
    folder of the bundled adapters."""
    return Path(os.environ.get("POLYGRAFT_LIBRARY") or BUNDLED)


def open_library(given: Path | None = None) -> Library:
    """The library that a command names, by itself; else the user's own, with the bundled adapters
    under it unless `POLYGRAFT_BUNDLED` says no."""
    if given is not None:
        return Library(given)
    return Library(own_folder(), BUNDLED if bundled_is_wanted() else None)


def bundled_is_wanted() -> bool:
    wanted = os.environ.get("POLYGRAFT_BUNDLED", "").strip().lower()
    return wanted not in ("0", "false", "no", "off", "n", "f")


def find_folder(adapter: str, library: Library) -> Path:
    """Of an adapter that a command names: a folder, or a name in the library, with or without an
    alias or version. Raises `UnknownAdapter`."""
    if Path(adapter).is_dir():
        return Path(adapter)
    reference = Reference.parse(adapter)
    if reference.name not in library.names():
        raise UnknownAdapter(reference.name, library.names())
    return library.find(reference)


def check_name(name: str, folder: Path, manifest: Manifest) -> None:
    """Raises `AdapterError` where the folder of adapter `name` holds another one, or the folder of
    a version another version."""
    if manifest.name != name:
        raise AdapterError(
            f"folder {name!r} holds adapter {manifest.name!r}; rename the folder to the adapter's "
            "name"
        )
    if folder.name not in (name, manifest.version):
        raise AdapterError(
            f"folder {folder.name!r} of adapter {name!r} holds version {manifest.version}; delete "
            "it, and add that version again"
        )


class Library:
    """Adapters under `root`, and those of `bundled` that it has none of the name of."""

    def __init__(self, root: Path, bundled: Path | None = None) -> None:
        self.root = root
        below = bundled is not None and bundled.resolve() != root.resolve()
        self.layers = [root, bundled] if bundled and below else [root]

    # what there is

    def names(self) -> list[str]:
        """Adapters that are trained and complete enough to have a manifest; also those whose folder
        cannot be looked into."""
        found = {
            folder.name
            for layer in self.layers
            if layer.is_dir()
            for folder in layer.iterdir()
            if not folder.name.startswith(".") and _is_adapter(folder)
        }
        return sorted(name for name in found if not self._is_withdrawn(name))

    def is_bundled(self, name: str) -> bool:
        """Whether it is in the layer below alone."""
        return not _is_adapter(self.root / name)

    def has_champion(self, name: str) -> bool:
        """Whether something points to a version, or one lies flat; where neither can be told, that
        is told when it is loaded. Raises `AdapterError`."""
        if self.pointer(name).champion is not None:
            return True
        try:
            return any(_is_flat(layer / name) for layer in self.layers)
        except OSError:
            return True

    def pointer(self, name: str) -> Pointer:
        """What is served under a name; an empty one where nothing was said yet. Raises
        `AdapterError` for a file that cannot be read."""
        file = self.root / name / POINTER
        try:
            return pointers.read(file.read_bytes(), name)
        except (FileNotFoundError, NotADirectoryError):
            return Pointer()
        except OSError as error:
            raise AdapterError(
                f"the pointer file of {name!r} cannot be read ({error.strerror}); check who may "
                "read it"
            ) from None

    def versions(self, name: str) -> dict[str, Path]:
        """Where each version of a name lies; those whose manifest cannot be read are left out."""
        found: dict[str, Path] = {}
        for layer in self.layers:
            folder = layer / name
            if not folder.is_dir():
                continue
            for version in publishing.versions(folder):
                if _is_adapter(version):
                    found.setdefault(version.name, version)
            if _is_flat(folder):
                try:
                    found.setdefault(load_manifest(folder).version, folder)
                except AdapterError:
                    continue
        return found

    def folder(self, name: str, version: str | None = None) -> Path:
        """Where a version of `name` lies; None: the one that is served, or where a first one would
        be trained. Raises `AdapterError` for anything that is not a plain name, `UnknownVersion`
        for one that is not there."""
        if not NAME.fullmatch(name):
            raise AdapterError(
                f"{shortened(name)} is not an adapter name: a-z, 0-9, '.', '_' and '-', at most 64 "
                "characters"
            )
        version = version or self.pointer(name).champion
        if version is None:
            folders = [layer / name for layer in self.layers]
            return next((folder for folder in folders if _is_flat(folder)), folders[0])
        for layer in self.layers:
            if _is_adapter(layer / name / version):
                return layer / name / version
        versions = self.versions(name)
        if version not in versions:
            raise UnknownVersion(name, version, sorted(versions))
        return versions[version]

    def find(self, reference: Reference) -> Path:
        """Where the version of a reference lies. Raises `UnknownVersion`."""
        if reference.at is None:
            return self.folder(reference.name)
        aliases, versions = self.pointer(reference.name).aliases, self.versions(reference.name)
        return self.folder(reference.name, find_version(reference, aliases, versions))

    # changes

    def recover(self) -> None:
        """Finish, or clear away, what a killed server or training run left. For whoever is going to
        write."""
        publishing.recover(self.root)

    @contextmanager
    def unpack(self, archive: bytes) -> Iterator[Path]:
        """Unpack an uploaded zip into a folder inside the library, for `publish`; it is gone at the
        end.

        Raises `AdapterError` for an archive that does not hold an adapter (see `archive`) or whose
        name is taken by something else, and `LibraryError` when the library cannot be written.
        """
        files = archives.unpack(archive)
        self._claim(read(files[LAYOUT.manifest]).name)
        with ExitStack() as stack:
            with _writing(f"nothing can be unpacked into the library {shortened(self.root.name)}"):
                self.root.mkdir(parents=True, exist_ok=True)
                unpacked = stack.enter_context(publishing.staging(self.root))
                for name, content in files.items():
                    (unpacked / name).write_bytes(content)
            yield unpacked

    def publish(self, unpacked: Path) -> Path:
        """Put an unpacked version in its place and return its folder; nothing points to it yet.
        Raises `AdapterError` or `LibraryError`."""
        manifest = load_manifest(unpacked)
        folder = self._claim(manifest.name) / manifest.version
        with _writing(f"adapter {manifest.name!r} cannot be written to the library"):
            folder.parent.mkdir(parents=True, exist_ok=True)
            try:
                publishing.publish(unpacked, folder)
            except OSError:
                with suppress(OSError):
                    folder.parent.rmdir()  # if it is new
                raise
        return folder

    def holds(self, unpacked: Path) -> bool:
        """Whether the version in `unpacked` is in the library, with every file byte for byte, and
        no other."""
        manifest = load_manifest(unpacked)
        folder = self.root / manifest.name / manifest.version
        try:
            with publishing.reading(folder) as home:
                return all(
                    _content(home / name) == _content(unpacked / name) for name in LAYOUT.names()
                )
        except OSError:
            return False

    def change(
        self, name: str, changed: Callable[[Pointer], Pointer], revision: int | None = None
    ) -> Pointer:
        """Write the pointer that `changed` makes of the one there is. What it points to is in the
        library afterwards, also what lay flat or in the layer below.

        Raises `Conflict` where `revision` is given and not that of the pointer, so that of two
        who have read the same one only the first writes; and `LibraryError`; nothing has changed
        then.
        """
        folder = self.folder_of(name)
        with _writing(f"what is served as {name!r} cannot be written to the library"):
            folder.mkdir(parents=True, exist_ok=True)
            while True:
                now = self.pointer(name)
                if revision not in (None, now.revision):
                    raise Conflict(
                        f"what is served as {name!r} was changed meanwhile: it is at revision "
                        f"{now.revision}, not {revision}; read it again, and decide anew"
                    )
                new = changed(now)
                for version in sorted(new.versions):
                    self.keep(name, version)
                with publishing.locked(folder):
                    kept = all(_is_adapter(folder / version) for version in new.versions)
                    if kept and self.pointer(name).revision == now.revision:
                        publishing.replace(folder / POINTER, new.as_file())
                        return new

    def keep(self, name: str, version: str) -> None:
        """See to it that a version lies in the library itself, in a folder of its own. Raises
        `UnknownVersion` for one that lies nowhere."""
        target = self.root / name / version
        if _is_adapter(target):
            return
        versions = self.versions(name)
        if version not in versions:
            raise UnknownVersion(name, version, sorted(versions))
        with (
            publishing.staging(target.parent) as staged,
            publishing.reading(versions[version]) as home,
        ):
            for file in LAYOUT.names():
                if (home / file).is_file():
                    shutil.copyfile(home / file, staged / file)
            publishing.publish(staged, target)

    def folder_of(self, name: str) -> Path:
        """The folder of a name in the library itself, with its versions and its pointer. Raises
        `AdapterError` for what is not a plain name."""
        if not NAME.fullmatch(name):
            self.folder(name)
        return self.root / name

    def delete(self, name: str) -> None:
        """Delete an adapter with all its versions, if it is there; one of the layer below is
        withdrawn. Raises `LibraryError` when it cannot be; it is still there then."""
        folder = self.root / name
        if _is_adapter(folder) or (NAME.fullmatch(name) and _half_published(folder)):
            with _writing(f"adapter {shortened(name)} cannot be deleted from the library"):
                publishing.retire(folder)
        if any(_is_adapter(layer / name) for layer in self.layers[1:]):
            self.change(name, lambda now: pointers.withdrawn(now, "the library", "purged"))

    def collect(self, grace: float = GRACE, now: float | None = None) -> list[str]:
        """Delete the versions that nothing points to, that no other was trained on top of, and that
        have lain so for `grace` seconds. Returns them, `name@version`. Flat folders stay. Raises
        `LibraryError`."""
        now, gone = time.time() if now is None else now, list[str]()
        under = self._under_others()
        for name in sorted(f.name for f in self.root.iterdir()) if self.root.is_dir() else []:
            folder = self.root / name
            if not NAME.fullmatch(name) or not folder.is_dir():
                continue
            with (
                _writing(f"versions of {name!r} cannot be deleted from the library"),
                publishing.locked(folder),
            ):
                for version in self._unused(name, now - grace):
                    if f"{name}@{version.name}" in under:
                        continue
                    publishing.retire(version)
                    gone.append(f"{name}@{version.name}")
        return gone

    # inside

    def _under_others(self) -> set[str]:
        """Adapters that others were trained on top of, `name@version`."""
        under = set[str]()
        for name in self.names():
            for folder in self.versions(name).values():
                with suppress(AdapterError):  # what cannot be read lies on nothing
                    under.update(load_manifest(folder).stack)
        return under

    def _unused(self, name: str, before: float) -> list[Path]:
        """Versions that nothing has pointed to since `before`. Of a pointer that cannot be read
        nobody knows."""
        folder = self.root / name
        try:
            pointer = self.pointer(name)
        except AdapterError:
            return []
        file = folder / POINTER
        if file.is_file() and file.stat().st_mtime > before:
            return []
        return [
            version
            for version in publishing.versions(folder)
            if version.name not in pointer.versions and version.stat().st_mtime <= before
        ]

    def _claim(self, name: str) -> Path:
        """The folder of adapter `name`, which holds that adapter, what is left of one, or nothing.
        Raises `AdapterError`."""
        folder = self.folder_of(name)
        if os.path.lexists(folder) and not _is_adapter(folder) and not _half_published(folder):
            raise AdapterError(
                f"the library has something else named {name!r}, which is not an adapter; give it "
                "another name"
            )
        return folder

    def _is_withdrawn(self, name: str) -> bool:
        try:
            return self.pointer(name).withdrawn
        except AdapterError:
            return False


def _is_flat(folder: Path) -> bool:
    """Whether an adapter lies in the folder itself."""
    return (folder / LAYOUT.manifest).is_file() or (folder / publishing.PENDING).is_dir()


def _is_adapter(folder: Path) -> bool:
    """Whether an adapter, or versions of one, lie there."""
    try:
        return (
            _is_flat(folder)
            or (folder / POINTER).is_file()
            or (folder.is_dir() and any(map(_is_flat, publishing.versions(folder))))
        )
    except OSError:
        return True  # and refused when it is loaded, with the reason


def _half_published(folder: Path) -> bool:
    """Nothing but some of an adapter's files, weights among them: what versions that published file
    by file could leave. Or nothing at all."""
    if not folder.is_dir():
        return False
    names = {entry.name for entry in folder.iterdir()}
    return not publishing.foreign(folder) and (not names or bool(names & set(HASHED)))


def _content(file: Path) -> bytes | None:
    return file.read_bytes() if file.is_file() else None


@contextmanager
def _writing(failed: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LibraryError(
            f"{failed} ({error.strerror or type(error).__name__}); check the folder's permissions "
            "and the room on its disk"
        ) from error
