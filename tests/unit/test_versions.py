"""The library with versions: what a name points to, who may change it, what is kept, and what a
damaged file or disk does to it."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from polygraft.adapters import pointer as pointers
from polygraft.adapters import publishing
from polygraft.adapters.format import LAYOUT, load_adapter, load_manifest
from polygraft.adapters.layout import POINTER
from polygraft.adapters.library import BUNDLED, Library, find_folder, open_library, own_folder
from polygraft.adapters.pointer import Canary, Pointer, Route, Shadow
from polygraft.adapters.reference import Reference, find_version, is_alias
from polygraft.cli import app
from polygraft.errors import (
    AdapterError,
    Conflict,
    InvalidOption,
    LibraryError,
    UnknownAdapter,
    UnknownVersion,
)

MakeAdapter = Callable[..., Path]
A, B, C = "a" * 12, "b" * 12, "c" * 12


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, make_adapter: MakeAdapter) -> list[Path]:
    """Three versions of one adapter."""
    base = tmp_path_factory.mktemp("made")
    return [make_adapter(base / str(seed) / "spam", seed=seed) for seed in (1, 2, 3)]


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "library")


def publish(library: Library, folder: Path, alias: str | None = pointers.CHAMPION) -> str:
    """Its version, which `alias` points to from now on."""
    version = load_manifest(folder).version
    library.root.mkdir(exist_ok=True)
    with publishing.staging(library.root) as staged:
        shutil.copytree(folder, staged, dirs_exist_ok=True)
        library.publish(staged)
    if alias:
        library.change("spam", lambda now: pointers.added(now, version, "me", alias=alias))
    return version


def test_two_versions_lie_side_by_side_and_neither_changes(
    library: Library, made: list[Path]
) -> None:
    """`add` overwrote the one there was."""
    old = publish(library, made[0])
    before = (library.folder("spam") / LAYOUT.weights).read_bytes()
    new = publish(library, made[1])
    assert library.folder("spam") == library.root / "spam" / new
    assert (library.folder("spam", old) / LAYOUT.weights).read_bytes() == before
    assert library.names() == ["spam"]
    assert set(library.versions("spam")) == {old, new}
    assert [load_adapter(library.folder("spam", v)).version for v in (old, new)] == [old, new]
    changes = library.pointer("spam").history
    assert [(c.what, c.who, c.champion) for c in changes] == [
        ("add", "me", old),
        ("add", "me", new),
    ]


def test_what_is_published_and_not_pointed_to_is_not_served(
    library: Library, made: list[Path]
) -> None:
    """A kill between the two: the name is as it was."""
    old = publish(library, made[0])
    publish(library, made[1], alias=None)
    assert library.folder("spam").name == old


def test_a_flat_folder_is_one_version(library: Library, made: list[Path]) -> None:
    shutil.copytree(made[0], library.root / "spam")
    (library.root / "spam" / "train.jsonl").write_text("{}")
    flat = load_manifest(made[0]).version
    assert library.folder("spam") == library.root / "spam"
    assert library.folder("spam", flat) == library.root / "spam"
    new = publish(library, made[1])
    assert library.folder("spam").name == new
    assert set(library.versions("spam")) == {flat, new}
    assert load_manifest(library.root / "spam").version == flat, "it was overwritten before"
    library.change("spam", lambda now: pointers.promoted(now, flat, "me"))
    assert library.folder("spam") == library.root / "spam" / flat, "kept, whatever is trained here"


def test_the_bundled_adapters_are_a_layer_that_is_only_read(
    tmp_path: Path, made: list[Path]
) -> None:
    bundled = tmp_path / "bundled"
    for name in ("spam", "other"):
        shutil.copytree(made[0], bundled / name)
    before = sorted(p.relative_to(bundled) for p in bundled.rglob("*"))
    library = Library(tmp_path / "mine", bundled)
    old = load_manifest(made[0]).version
    assert library.names() == ["other", "spam"]
    assert library.folder("spam") == bundled / "spam"
    new = publish(library, made[1])
    assert library.folder("spam").name == new
    library.change("spam", lambda now: pointers.promoted(now, old, "me"))
    assert library.folder("spam") == library.root / "spam" / old
    shutil.rmtree(bundled / "spam")  # a later release has another one
    assert load_adapter(library.folder("spam")).version == old
    library.delete("other")
    assert library.names() == ["spam"]
    assert library.pointer("other").withdrawn
    library.delete("spam")
    assert library.names() == []
    before = [p for p in before if p.parts[0] != "spam"]
    assert sorted(p.relative_to(bundled) for p in bundled.rglob("*")) == before


def test_where_the_library_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert own_folder() == tmp_path / "polygraft" / "library"
    monkeypatch.setenv("POLYGRAFT_BUNDLED", "")
    assert open_library().layers == [own_folder(), BUNDLED]
    monkeypatch.setenv("POLYGRAFT_BUNDLED", "no")
    assert open_library().layers == [own_folder()]
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert own_folder() == tmp_path / "home/.local/share/polygraft/library"
    monkeypatch.setenv("POLYGRAFT_LIBRARY", "somewhere")
    assert own_folder() == Path("somewhere")


def test_names_with_versions_find_folders(library: Library, made: list[Path]) -> None:
    old, new = publish(library, made[0]), publish(library, made[1])
    library.change("spam", lambda now: pointers.routed(now, Route(), {"candidate": old}, "me"))
    for given, version in (
        ("spam", new),
        ("spam@champion", new),
        ("spam@candidate", old),
        (f"spam@{old}", old),
        (f"spam@{old[:4]}", old),
    ):
        assert find_folder(given, library).name == version
    for given in ("spam@", "spam@nothing", "spam@abc", f"spam@{old}0", "spam@spam@champion"):
        with pytest.raises(UnknownVersion, match=f"champion .{new}."):
            find_folder(given, library)
    with pytest.raises(UnknownAdapter, match="did you mean spam"):
        find_folder("spom@champion", library)


def test_a_beginning_that_several_versions_have() -> None:
    with pytest.raises(InvalidOption, match="several versions"):
        find_version(Reference("spam", "abcd"), {}, ["abcd00000000", "abcd11111111"])
    assert is_alias("champion")
    assert not any(map(is_alias, ("", "Candidate", "a/b", "beef", "a" * 33, "1st", "@")))


def test_of_two_writers_who_read_the_same_one_gets_a_conflict(
    library: Library, made: list[Path]
) -> None:
    versions = [publish(library, folder) for folder in made]
    seen = library.pointer("spam").revision
    results, gate = [], threading.Barrier(8)

    def write(number: int) -> None:
        gate.wait()
        version = versions[number % 3]
        try:
            library.change("spam", lambda now: pointers.promoted(now, version, str(number)), seen)
            results.append(number)
        except Conflict:
            results.append(None)

    threads = [threading.Thread(target=write, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [number for number in results if number is not None]
    pointer = library.pointer("spam")
    assert (pointer.revision, pointer.history[-1].who) == (seen + 1, str(winner))
    with pytest.raises(Conflict, match=f"at revision {seen + 1}, not {seen}"):
        library.change("spam", lambda now: now, seen)


def test_writers_who_have_not_looked_are_all_written(library: Library, made: list[Path]) -> None:
    version = publish(library, made[0])
    threads = [
        threading.Thread(
            target=library.change,
            args=["spam", lambda now: pointers.promoted(now, version, "me")],
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert library.pointer("spam").revision == 9
    assert len(library.pointer("spam").history) == 9


def damaged(**changes: object) -> bytes:
    content = json.loads(pointers.added(Pointer(), A, "me").as_file())
    return json.dumps(content | changes).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}x",
        pointers.added(Pointer(), A, "me").as_file()[:100],
        damaged(aliases={"champion": "champion"}),
        damaged(aliases={"a-one": "b-one", "b-one": "a-one"}),
        damaged(aliases={"../champion": A}),
        damaged(aliases={"beef": A}),
        damaged(route={"shadow": {"alias": "candidate"}}),
        damaged(route={"canary": {"alias": "champion", "weight": 1.5}}),
        damaged(route={"canary": {"alias": "champion", "weight": float("nan")}}),
        damaged(revision=-1),
        damaged(format=2),
        damaged(unknown=1),
    ],
)
def test_a_pointer_file_that_is_cut_or_says_nonsense(
    library: Library, made: list[Path], content: bytes
) -> None:
    """An alias that points to an alias, round in a circle too, is nothing that can be written."""
    publish(library, made[0])
    file = library.root / "spam" / POINTER
    file.write_bytes(content)
    for call in (
        lambda: library.folder("spam"),
        lambda: library.change("spam", lambda now: pointers.promoted(now, A, "me")),
    ):
        with pytest.raises(AdapterError, match="the pointer file of 'spam' cannot be read"):
            call()
    assert file.read_bytes() == content, "nothing is written over it"
    assert library.names() == ["spam"], "it is refused by name"
    assert library.collect(grace=0) == [], "nobody knows what it pointed to"
    file.unlink()
    library.delete("spam")
    assert library.names() == []


def test_a_route(library: Library, made: list[Path]) -> None:
    old, new = publish(library, made[0]), publish(library, made[1], alias=None)
    route = Route(canary=Canary(weight=0.1), shadow=Shadow())
    with pytest.raises(UnknownVersion, match="no version 'candidate'"):
        library.change("spam", lambda now: pointers.routed(now, route, {}, "me"))
    with pytest.raises(InvalidOption, match="is no alias"):
        library.change("spam", lambda now: pointers.routed(now, route, {"../x": new}, "me"))
    with pytest.raises(UnknownVersion):
        library.change("spam", lambda now: pointers.routed(now, route, {"candidate": C}, "me"))
    assert library.pointer("spam").revision == 1
    pointer = library.change(
        "spam", lambda now: pointers.routed(now, route, {"candidate": new}, "me", "try it")
    )
    assert library.pointer("spam") == pointer
    assert (pointer.champion, pointer.aliases["candidate"], pointer.route) == (old, new, route)
    assert pointer.history[-1].why == "try it"


def test_promote_and_roll_back() -> None:
    """Back through the champions before, the last one first; a canary ends before a champion
    does."""
    pointer = Pointer()
    for version in (A, B, C):
        pointer = pointers.promoted(pointer, version, "me")
    assert (pointer.champion, pointer.previous) == (C, [A, B])
    route = Route(canary=Canary(weight=0.5))
    pointer = pointers.routed(pointer, route, {"candidate": A}, "me")
    pointer = pointers.rolled_back(pointer, "polygraft", "too many errors")
    assert (pointer.champion, pointer.route) == (C, Route())
    assert pointers.promoted(pointer, A, "me").previous == [B, C]
    for champion in (B, A):
        pointer = pointers.rolled_back(pointer, "me")
        assert pointer.champion == champion
    with pytest.raises(InvalidOption, match="no champion before"):
        pointers.rolled_back(pointer, "me")
    for _ in range(300):
        pointer = pointers.promoted(pointer, B if pointer.champion == A else A, "me")
    assert len(pointer.history) == pointers.MAX_HISTORY
    assert pointers.read(pointer.as_file(), "spam") == pointer


def test_collect(library: Library, made: list[Path]) -> None:
    versions = [publish(library, folder) for folder in made]
    assert library.collect(grace=0) == [], "champions before are kept for rolling back"
    library.change(
        "spam",
        lambda now: now.model_copy(update={"previous": [], "revision": now.revision + 1}),
    )
    assert library.collect(grace=3600) == []
    later = (library.root / "spam" / POINTER).stat().st_mtime + 3601
    assert sorted(library.collect(grace=3600, now=later)) == sorted(
        f"spam@{version}" for version in versions[:2]
    )
    assert set(library.versions("spam")) == {versions[2]}
    assert library.collect(grace=0, now=later) == []


def fail(*args: object, **kwargs: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_full_disk_and_a_library_that_is_only_read(
    library: Library, made: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = publish(library, made[0]), publish(library, made[1], alias=None)
    monkeypatch.setattr(publishing.tempfile, "mkstemp", fail)
    with pytest.raises(LibraryError, match="No space left on device"):
        library.change("spam", lambda now: pointers.promoted(now, new, "me"))
    assert library.folder("spam").name == old
    assert load_adapter(library.folder("spam")).version == old


def test_a_folder_that_holds_another_adapter_or_version(library: Library, made: list[Path]) -> None:
    from polygraft.adapters.library import check_name

    version = publish(library, made[0])
    folder = library.folder("spam")
    check_name("spam", folder, load_manifest(folder))
    with pytest.raises(AdapterError, match="holds adapter 'spam'"):
        check_name("ham", folder, load_manifest(folder))
    with pytest.raises(AdapterError, match=f"holds version {version}"):
        check_name("spam", folder.rename(folder.with_name(A)), load_manifest(folder.with_name(A)))


def test_the_commands(library: Library, made: list[Path]) -> None:
    old, new = publish(library, made[0]), publish(library, made[1], alias=None)
    here = ["--library", str(library.root)]
    listed = CliRunner().invoke(app, ["library", "ls", *here, "--json"])
    assert {row["version"]: row["aliases"] for row in json.loads(listed.stdout)} == {
        old: ["champion"],
        new: [],
    }
    assert "1 versions" not in CliRunner().invoke(app, ["library", "gc", *here]).output
    bad = CliRunner().invoke(app, ["library", "gc", *here, "--grace", "soon"])
    assert (bad.exit_code, "as in 7d" in bad.output) == (1, True)
    gone = CliRunner().invoke(app, ["library", "gc", *here, "--grace", "0s", "--json"])
    assert json.loads(gone.stdout) == [f"spam@{new}"]
    (library.root / "spam" / POINTER).write_text("{")
    listed = CliRunner().invoke(app, ["library", "ls", *here])
    assert (listed.exit_code, "refused spam" in listed.stderr) == (0, True)
