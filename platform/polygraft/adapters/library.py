"""The library: the folder that holds adapters, one folder each, found by name.

Names are checked before they become paths. What is in the folder and is not an adapter is left
alone. Does not: keep more than one version, or read object stores (yet).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from polygraft.adapters import archive as archives
from polygraft.adapters import publishing
from polygraft.adapters.archive import MAX_UPLOAD, pack
from polygraft.adapters.format import HASHED, LAYOUT, load_manifest
from polygraft.adapters.layout import NAME
from polygraft.adapters.manifest import Manifest, read
from polygraft.errors import AdapterError, LibraryError, UnknownAdapter, shortened

__all__ = ["BUNDLED", "MAX_UPLOAD", "Library", "default_library", "find_folder", "pack"]
BUNDLED = Path(__file__).resolve().parents[3] / "adapters"


def default_library() -> Path:
    """`POLYGRAFT_LIBRARY` when set, else the adapters bundled with the repository."""
    return Path(os.environ.get("POLYGRAFT_LIBRARY") or BUNDLED)


def find_folder(adapter: str, library: Library) -> Path:
    """Of an adapter that a command names: a folder, or a name in the library. Raises
    `UnknownAdapter`."""
    if Path(adapter).is_dir():
        return Path(adapter)
    if adapter not in library.names():
        raise UnknownAdapter(adapter, library.names())
    return library.folder(adapter)


def check_name(folder: Path, manifest: Manifest) -> None:
    """Raises `AdapterError` where a folder of the library is not called as its adapter is."""
    if manifest.name != folder.name:
        raise AdapterError(
            f"folder {folder.name!r} holds adapter {manifest.name!r}; rename the folder to the "
            "adapter's name"
        )


class Library:
    """Adapters under `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, name: str) -> Path:
        """Where adapter `name` lies or would lie. Raises `AdapterError` for anything that is not a
        plain name."""
        if not NAME.fullmatch(name):
            raise AdapterError(
                f"{shortened(name)} is not an adapter name: a-z, 0-9, '.', '_' and '-', at most 64 "
                "characters"
            )
        return self.root / name

    def names(self) -> list[str]:
        """Adapters that are trained and complete enough to have a manifest; also those whose folder
        cannot be looked into."""
        if not self.root.is_dir():
            return []
        return sorted(
            f.name for f in self.root.iterdir() if not f.name.startswith(".") and _is_adapter(f)
        )

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
        """Put an unpacked adapter in its place and return its folder. Raises `AdapterError` or
        `LibraryError`."""
        folder = self._claim(load_manifest(unpacked).name)
        with _writing(f"adapter {folder.name!r} cannot be written to the library"):
            publishing.publish(unpacked, folder)
        return folder

    def holds(self, unpacked: Path) -> bool:
        """Whether every file of the adapter in `unpacked`, and no other, is in the library byte for
        byte."""
        folder = self.folder(load_manifest(unpacked).name)
        try:
            with publishing.reading(folder) as home:
                return all(
                    _content(home / name) == _content(unpacked / name) for name in LAYOUT.names()
                )
        except OSError:
            return False

    def delete(self, name: str) -> None:
        """Delete an adapter, if it is there. Raises `LibraryError` when it cannot be; it is still
        there then."""
        if name in self.names() or (NAME.fullmatch(name) and _half_published(self.root / name)):
            with _writing(f"adapter {shortened(name)} cannot be deleted from the library"):
                publishing.retire(self.root / name)

    def _claim(self, name: str) -> Path:
        """The folder of adapter `name`, which holds that adapter, what is left of one, or nothing.
        Raises `AdapterError`."""
        folder = self.folder(name)
        if os.path.lexists(folder) and not _is_adapter(folder) and not _half_published(folder):
            raise AdapterError(
                f"the library has something else named {name!r}, which is not an adapter; give it "
                "another name"
            )
        return folder


def _is_adapter(folder: Path) -> bool:
    try:
        return (folder / LAYOUT.manifest).is_file() or (folder / publishing.PENDING).is_dir()
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
