"""Publishing (issue 15, defect 13): old or new, whole, whatever is killed when; what is not an
adapter's stays."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from polygraft.adapters import publishing
from polygraft.adapters.format import LAYOUT, load_adapter, load_manifest
from polygraft.adapters.library import Library


class Killed(BaseException):
    """The process ends here: nothing after it is run, except what the kernel does."""


def files(folder: Path) -> dict[str, bytes]:
    return {f.name: f.read_bytes() for f in folder.iterdir() if f.name in LAYOUT.names()}


@pytest.fixture
def old(tmp_path: Path, root: Path) -> Path:
    folder = Path(shutil.copytree(root / "adapters" / "spam-en", tmp_path / "library" / "mine"))
    (folder / "written.jsonl").rename(folder / "train.jsonl")
    (folder / ".training").mkdir()
    return folder


@pytest.fixture
def made(tmp_path: Path, root: Path) -> Path:
    """Of other files than `old`: no head, and no recipe."""
    folder = Path(
        shutil.copytree(root / "adapters" / "lang-en", tmp_path / "library" / ".staging-1")
    )
    (folder / LAYOUT.recipe).unlink()
    return folder


def test_a_new_one_is_renamed_to_its_name(made: Path, old: Path) -> None:
    wanted, place = files(made), old.parent / "new"
    made.chmod(0o700)
    publishing.publish(made, place)
    assert files(place) == wanted
    assert place.stat().st_mode & 0o777 == 0o755
    assert {f.stat().st_mode & 0o777 for f in place.iterdir()} == {0o644}
    assert not made.exists()


def test_a_replaced_one_has_exactly_the_new_files_and_what_else_lay_there(
    made: Path, old: Path
) -> None:
    """Before, the old head and recipe stayed beside an adapter that has none."""
    wanted, number = files(made), old.stat().st_ino
    publishing.publish(made, old)
    assert files(old) == wanted
    assert {f.name for f in old.iterdir()} == {*wanted, "train.jsonl", ".training"}
    assert old.stat().st_ino == number, "the folder may be somebody's working directory"


STEPS = ("fsync", "replace", "rename", "mkdir", "unlink", "rmdir")


def test_ended_at_every_step_it_is_the_old_or_the_new_one(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process is ended at its first call to the disk, then at its second, and so on, until it
    gets through."""
    seen = []
    for number in range(200):
        library = tmp_path / str(number)
        place = Path(shutil.copytree(root / "adapters" / "spam-en", library / "mine"))
        made = Path(shutil.copytree(root / "adapters" / "lang-en", library / ".staging-1"))
        versions, calls = [files(place), files(made)], 0

        def counted(name: str, number: int = number) -> object:
            true = getattr(os, name)

            def call(*args: object, **kwargs: object) -> object:
                nonlocal calls
                calls += 1
                if calls > number:
                    raise Killed
                return true(*args, **kwargs)

            return call

        with monkeypatch.context() as patch:
            for name in STEPS:
                patch.setattr(os, name, counted(name))
            try:
                publishing.publish(made, place)
                ended = False
            except Killed:
                ended = True
        with publishing.reading(place) as home:  # finishes it
            seen.append(versions.index(files(home)))
        load_adapter(place)
        publishing.recover(library)
        assert files(place) == versions[seen[-1]]
        assert not list(library.rglob(".*"))
        if not ended:
            break
    assert seen == sorted(seen), "once decided for the new one, never the old one again"
    assert seen.count(0) > 5
    assert seen.count(1) > 10


def test_on_a_disk_that_cannot_be_written_a_decided_one_is_read_where_it_lies(
    made: Path, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.rename(old / publishing.PENDING)

    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(publishing.tempfile, "mkstemp", fail)
    publishing.recover(old.parent)
    assert load_adapter(old).name == load_manifest(old).name == "lang-en"
    assert Library(old.parent).names() == ["mine"]


def test_without_locks_an_adapter_is_read_all_the_same(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "fcntl", None)
    assert load_adapter(old).name == "spam-en"


def test_recover_leaves_what_is_in_use(old: Path) -> None:
    """A training run or another server may be writing while this one starts."""
    with publishing.staging(old.parent) as busy, publishing.staging(old) as training:
        (busy / "file").write_text("x")
        abandoned = [old.parent / ".staging-dead", old / ".staging-dead"]
        for folder in abandoned:
            folder.mkdir()
        (old / ".staging-file").write_text("x")
        publishing.recover(old.parent)
        assert (busy / "file").exists()
        assert training.exists()
        assert not [f for f in [*abandoned, old / ".staging-file"] if f.exists()]
    assert not list(old.parent.glob(".staging-*"))
    publishing.recover(old.parent / "nowhere")


def test_a_reader_waits_for_a_publisher(made: Path, old: Path) -> None:
    """Between the rename that decides and the last file."""
    read = []
    with publishing.locked(old):
        reader = threading.Thread(target=lambda: read.append(load_manifest(old)))
        reader.start()
        reader.join(0.3)
        assert reader.is_alive()
    reader.join(10)
    assert read == [load_manifest(old)]


def test_retire(old: Path, made: Path) -> None:
    """A folder with more in it keeps that, and its recipe; any other is gone; of a link only the
    link is."""
    link = old.parent / "link"
    link.symlink_to(old)
    publishing.retire(link)
    assert load_adapter(old)
    publishing.retire(old)
    assert {f.name for f in old.iterdir()} == {"train.jsonl", ".training", LAYOUT.recipe}
    publishing.retire(made)
    assert [f.name for f in old.parent.iterdir()] == ["mine"]


def test_kill_9(root: Path) -> None:
    """A short run of `bench/kill.py`; before, 2 adapters of 20 tries were broken."""
    command = [sys.executable, root / "tests" / "bench" / "kill.py", "--tries", "10"]
    environment = dict(os.environ, PYTHONPATH=str(root / "platform"))
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=100)
    result = json.loads(done.stdout)
    assert (result["tries"], result["broken"], result["what"]) == (10, 0, []), done.stderr
    assert sum(result["interrupted"].values()) > 0
