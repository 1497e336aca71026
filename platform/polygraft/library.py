"""The library: the folder that holds adapters, one folder each, found by name.

Names are checked before they become paths. Does not: keep more than one version, or read object stores (yet).
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
import zipfile
from pathlib import Path

from polygraft.adapter import LAYOUT, load_manifest, publish
from polygraft.errors import AdapterError
from polygraft.recipe import NAME

MAX_UPLOAD = 64 * 1024 * 1024
BUNDLED = Path(__file__).resolve().parent.parent.parent / "adapters"


def default_library() -> Path:
    """`POLYGRAFT_LIBRARY` when set, else the adapters bundled with the repository."""
    return Path(os.environ.get("POLYGRAFT_LIBRARY") or BUNDLED)


class Library:
    """Adapters under `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, name: str) -> Path:
        """Where adapter `name` lies or would lie. Raises `AdapterError` for anything that is not a plain name."""
        if not NAME.fullmatch(name):
            raise AdapterError(f"{name!r} is not an adapter name: a-z, 0-9, '.', '_' and '-', at most 64 characters")
        return self.root / name

    def names(self) -> list[str]:
        """Adapters that are trained and complete enough to have a manifest."""
        if not self.root.is_dir():
            return []
        return sorted(f.name for f in self.root.iterdir() if (f / LAYOUT.manifest).is_file())

    def unpack(self, archive: bytes) -> tempfile.TemporaryDirectory[str]:
        """Unpack an uploaded zip into a staging folder inside the library; the caller publishes or drops it.

        Only the files of the adapter layout are taken, by name; anything else in the archive is refused.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        staging = tempfile.TemporaryDirectory(dir=self.root, prefix=".staging-")
        try:
            with zipfile.ZipFile(io.BytesIO(archive)) as bundle:
                _check_entries(bundle.infolist())
                for info in bundle.infolist():
                    (Path(staging.name) / info.filename).write_bytes(bundle.read(info))
            self.folder(load_manifest(Path(staging.name)).name)
        except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
            staging.cleanup()
            raise AdapterError(f"the upload is not a readable zip archive ({error}); send the adapter folder again") from None
        except AdapterError:
            staging.cleanup()
            raise
        return staging

    def publish(self, staging: Path) -> Path:
        """Move a staged adapter to its name and return its folder."""
        folder = self.folder(load_manifest(staging).name)
        publish(staging, folder)
        return folder

    def delete(self, name: str) -> None:
        """Delete an adapter's folder."""
        shutil.rmtree(self.folder(name))


def pack(folder: Path) -> bytes:
    """The adapter in `folder` as a zip of its layout's files, for `Library.unpack`."""
    load_manifest(folder)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name in LAYOUT.names():
            if (folder / name).is_file():
                bundle.write(folder / name, name)
    return buffer.getvalue()


def _check_entries(entries: list[zipfile.ZipInfo]) -> None:
    strange = [e.filename for e in entries if e.filename not in LAYOUT.names()]
    if strange:
        raise AdapterError(
            f"the archive holds {strange[0]!r}; an adapter consists of {', '.join(LAYOUT.names())} and nothing else"
        )
    if sum(e.file_size for e in entries) > MAX_UPLOAD:
        raise AdapterError(f"the archive unpacks to more than {MAX_UPLOAD // 2**20} MiB; that is not an adapter")
