"""Putting an adapter in its place, and taking it away, so that a kill at any moment leaves the old
one or the new one, whole.

    .staging-XXXX   scrap: a folder or file under way, or one to be deleted; locked by its user
    .publishing     inside an adapter folder: the complete new adapter, from the rename that
                    decides until every file is copied

A new adapter is staged, written through to the disk, and renamed to its name. Where a folder of
that name exists (it may hold training data, checkpoints, or be somebody's working directory, so
it is never exchanged), the rename is to `.publishing` inside it: from then on the new adapter
is the one that is read. Its files are copied to their names, which can be repeated as often as
it takes, and `.publishing` is renamed away. Locks are `flock`, which the kernel releases when a
process dies; on a file system without it there are none. Does not check what is in the files
(see `format`).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where a client packs adapters, and nobody publishes
    fcntl = None  # type: ignore[assignment]

from polygraft.adapters.layout import LAYOUT, LISTED, POINTER, VERSION

SCRAP, PENDING = ".staging-", ".publishing"


@contextmanager
def staging(parent: Path) -> Iterator[Path]:
    """A new folder in `parent` to put an adapter together in; deleted at the end, unless it was
    published."""
    folder = Path(tempfile.mkdtemp(dir=parent, prefix=SCRAP))
    try:
        with locked(folder, shared=True):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def reading(folder: Path) -> Iterator[Path]:
    """Where the files of the adapter in `folder` are to be read; nobody publishes there meanwhile.

    What a killed process had decided to publish is finished first; on a disk that cannot be
    written, it is read where it lies.
    """
    if (folder / PENDING).is_dir():
        with suppress(OSError), locked(folder):
            _finish(folder)
    with locked(folder, shared=True):
        pending = folder / PENDING
        yield pending if pending.is_dir() else folder


def publish(staged: Path, folder: Path) -> None:
    """Make the complete adapter in `staged` the one in `folder`; both must be on one file system.

    The layout's files in `folder` are then those of `staged` and no others; what else lies there
    stays. Raises `OSError`.
    """
    for file in staged.iterdir():
        file.chmod(0o644)
        _write_through(file)
    staged.chmod(0o755)
    _write_through(staged)
    if not folder.exists():
        staged.rename(folder)
        _write_through(folder.parent)
        return
    with locked(folder):
        _finish(folder)
        staged.rename(folder / PENDING)
        _write_through(folder)
        _finish(folder)


def rewrite(folder: Path, name: str, content: bytes) -> None:
    """Exchange one file of the adapter in `folder`."""
    with locked(folder):
        _finish(folder)
        replace(folder / name, content)


def retire(folder: Path) -> None:
    """Delete the adapter in `folder`, with its versions; a folder that holds more than that keeps
    the rest, and the recipe. Raises `OSError` when it cannot be, and has changed nothing then."""
    if folder.is_symlink():
        folder.unlink()
    elif foreign(folder):
        with locked(folder):
            _finish(folder)
            (folder / LAYOUT.manifest).unlink(missing_ok=True)  # what has no manifest is no adapter
            (folder / POINTER).unlink(missing_ok=True)  # nor what nothing points to
            _write_through(folder)
            for version in versions(folder):
                shutil.rmtree(version, ignore_errors=True)
            for name in (*LISTED, LAYOUT.card):
                (folder / name).unlink(missing_ok=True)
    else:
        scrap = tempfile.mkdtemp(dir=folder.parent, prefix=SCRAP)
        try:
            folder.rename(scrap)
            _write_through(folder.parent)
        finally:
            shutil.rmtree(scrap, ignore_errors=True)


def foreign(folder: Path) -> list[str]:
    """Names of what lies in `folder` and is not of an adapter."""
    ours = {*LAYOUT.names(), PENDING, POINTER, *(version.name for version in versions(folder))}
    return sorted(
        e.name for e in folder.iterdir() if e.name not in ours and not e.name.startswith(SCRAP)
    )


def versions(folder: Path) -> list[Path]:
    """The folders of versions in the folder of a name."""
    return sorted(f for f in folder.iterdir() if VERSION.fullmatch(f.name) and f.is_dir())


def recover(root: Path) -> None:
    """Finish what killed processes had decided to publish in the folders of `root`, and delete
    their scrap there. What another process is using, and what cannot be written, stays as it is."""
    if not root.is_dir():
        return
    names = [f for f in root.iterdir() if f.is_dir() and not f.name.startswith(".")]
    for folder in [root, *names, *(version for name in names for version in versions(name))]:
        with suppress(OSError), locked(folder, wait=False):
            _finish(folder)
            for scrap in list(folder.glob(f"{SCRAP}*")):
                _discard(scrap)


def _finish(folder: Path) -> None:
    """Copy what is in `.publishing` to its place. The caller holds the lock."""
    pending = folder / PENDING
    if not pending.is_dir():
        return
    for name in LAYOUT.names():
        if (pending / name).is_file():
            replace(folder / name, (pending / name).read_bytes())
        else:
            (folder / name).unlink(missing_ok=True)
    _write_through(folder)
    scrap = tempfile.mkdtemp(dir=folder, prefix=SCRAP)
    pending.rename(scrap)
    _write_through(folder)
    shutil.rmtree(scrap, ignore_errors=True)


def replace(file: Path, content: bytes) -> None:
    """Exchange a file, whole, and wait until it is on the disk. Raises `OSError`."""
    handle, scrap = tempfile.mkstemp(dir=file.parent, prefix=SCRAP)
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(content)
            out.flush()
            os.fchmod(out.fileno(), 0o644)
            os.fsync(out.fileno())
        os.replace(scrap, file)
    finally:
        Path(scrap).unlink(missing_ok=True)


def _discard(scrap: Path) -> None:
    if scrap.is_dir() and not scrap.is_symlink():
        with suppress(BlockingIOError), locked(scrap, wait=False):
            shutil.rmtree(scrap, ignore_errors=True)
    else:
        scrap.unlink(missing_ok=True)


def _write_through(path: Path) -> None:
    """Wait until a file's content, or a folder's names, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def locked(folder: Path, *, shared: bool = False, wait: bool = True) -> Iterator[None]:
    """Hold the lock of a folder, alone or with others who share it. Raises `BlockingIOError`
    instead of waiting."""
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(
                handle,
                (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB),
            )
        except BlockingIOError:
            raise
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(handle)
