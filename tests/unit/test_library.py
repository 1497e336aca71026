import io
import zipfile
from pathlib import Path

import pytest

from polygraft.errors import AdapterError
from polygraft.library import Library, pack


@pytest.mark.parametrize("name", ["../spam", "a/b", "/etc/passwd", "", ".hidden", "UPPER", "a" * 65, "spam\n"])
def test_names_that_are_no_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(AdapterError, match="not an adapter name"):
        Library(tmp_path).folder(name)


def test_pack_unpack_publish(tmp_path: Path, library: Path) -> None:
    target = Library(tmp_path / "library")
    with target.unpack(pack(library / "spam")) as staging:
        folder = target.publish(Path(staging))
    assert folder == tmp_path / "library" / "spam"
    assert target.names() == ["spam"]
    assert sorted(f.name for f in target.root.iterdir()) == ["spam"]


def archive(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        for name, content in files.items():
            bundle.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [b"", b"not a zip", archive(**{"../../evil.txt": b"x"}), archive(**{"/abs": b"x"}), archive(**{"a.pkl": b"x"}),
     archive(**{"manifest.json": b"{"}), archive()],
)  # fmt: skip
def test_bad_archives_leave_nothing(tmp_path: Path, content: bytes) -> None:
    library = Library(tmp_path / "library")
    with pytest.raises(AdapterError), library.unpack(content):
        pass
    assert not list(tmp_path.rglob("*"))
    assert not (tmp_path / "evil.txt").exists()
