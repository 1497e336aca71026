import io
import zipfile
from pathlib import Path

import pytest

from polygraft.adapters.format import LAYOUT, load_manifest
from polygraft.adapters.library import Library, pack
from polygraft.errors import AdapterError


@pytest.mark.parametrize(
    "name", ["../spam", "a/b", "/etc/passwd", "", ".hidden", "UPPER", "a" * 65, "spam\n"]
)
def test_names_that_are_no_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(AdapterError, match="not an adapter name"):
        Library(tmp_path).folder(name)


def test_pack_unpack_publish(tmp_path: Path, root: Path) -> None:
    target, archive = Library(tmp_path / "library"), pack(root / "adapters" / "spam-en")
    version = load_manifest(root / "adapters" / "spam-en").version
    assert target.names() == []
    for held in (False, True):
        with target.unpack(archive) as made:
            assert target.names() == (["spam-en"] if held else []), (
                "what is being unpacked is no adapter yet"
            )
            assert target.holds(made) == held
            folder = target.publish(made)
    assert folder == tmp_path / "library" / "spam-en" / version
    assert [f.name for f in target.root.iterdir()] == ["spam-en"]
    (folder / LAYOUT.card).write_text("another")
    with target.unpack(archive) as made:
        assert not target.holds(made)
    target.delete("spam-en")
    target.delete("spam-en")
    assert not list(target.root.iterdir())


def test_a_name_that_something_else_has(tmp_path: Path, root: Path) -> None:
    """Issue 15, defect 14: files, folders without an adapter in them, and links to nowhere are left
    as they are."""
    target, archive, taken = (
        Library(tmp_path),
        pack(root / "adapters" / "spam-en"),
        tmp_path / "spam-en",
    )
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / LAYOUT.recipe).write_text("a recipe that was not trained yet")
    for make, clear in (
        (lambda: taken.write_text("x"), taken.unlink),
        (lambda: taken.symlink_to("nowhere"), taken.unlink),
        (lambda: taken.symlink_to("data"), taken.unlink),
    ):
        make()
        with (
            pytest.raises(AdapterError, match="something else named 'spam-en'"),
            target.unpack(archive),
        ):
            pass
        target.delete("spam-en")
        clear()
    assert (tmp_path / "data" / LAYOUT.recipe).exists()
    with target.unpack(archive) as made:
        target.publish(made)


def archive(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        for name, content in files.items():
            bundle.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a zip",
        archive(**{"../../evil.txt": b"x"}),
        archive(**{"/abs": b"x"}),
        archive(**{"a.pkl": b"x"}),
        archive(**{"manifest.json": b"{"}),
        archive(),
    ],
)
def test_bad_archives_leave_nothing(tmp_path: Path, content: bytes) -> None:
    library = Library(tmp_path / "library")
    with pytest.raises(AdapterError), library.unpack(content):
        pass
    assert not list(tmp_path.rglob("*"))
    assert not (tmp_path / "evil.txt").exists()
