"""Uploaded archives (issue 15, defect 14, and zlib's errors): hostile ones are refused by name,
soon, and leave nothing."""

from __future__ import annotations

import io
import struct
import time
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polygraft.adapters import archive
from polygraft.adapters.format import LAYOUT
from polygraft.adapters.library import Library
from polygraft.errors import AdapterError


@pytest.fixture(scope="module")
def good(root: Path) -> bytes:
    return archive.pack(root / "adapters" / "spam-en")


def zipped(
    *entries: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED
) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", method) as bundle:
        warnings.simplefilter("ignore")
        for name, content in entries:
            bundle.writestr(name, content)
    return buffer.getvalue()


def with_mode(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def refused(content: bytes) -> str:
    with pytest.raises(AdapterError) as caught:
        archive.unpack(content)
    assert len(str(caught.value)) < 400
    return str(caught.value)


def test_a_packed_adapter_comes_out_as_it_went_in(good: bytes, root: Path) -> None:
    files = archive.unpack(good)
    folder = root / "adapters" / "spam-en"
    assert files == {n: (folder / n).read_bytes() for n in LAYOUT.names() if (folder / n).is_file()}


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b"", "not a readable zip"),
        (b"not a zip", "not a readable zip"),
        (zipped(), "no manifest.json"),
        (zipped(("README.md", b"x")), "no manifest.json"),
        (zipped(("../../evil", b"x")), "holds '../../evil'"),
        (zipped(("/etc/passwd", b"x")), "holds '/etc/passwd'"),
        (zipped(("spam/manifest.json", b"x")), "holds 'spam/manifest.json'"),
        (zipped(("manifest.json/", b"")), "holds 'manifest.json/'"),
        (zipped(("x" * 5000, b"x")), "holds 'xxx"),
        (zipped(("manifest.json", b"{}"), ("manifest.json", b"{}")), "holds manifest.json twice"),
        (zipped((with_mode("manifest.json", 0o120777), b"/etc/passwd")), "not a plain file"),
        (zipped((with_mode("manifest.json", 0o040755), b"")), "not a plain file"),
        (zipped(("manifest.json", b"{}"), method=zipfile.ZIP_LZMA), "compressed by a rare method"),
        (
            zipped(("recipe.yaml", b"x" * (2**20 + 1))),
            "recipe.yaml in the archive has 1,048,577 bytes",
        ),
        (
            zipped((LAYOUT.weights, b"\0" * (64 * 2**20)), (LAYOUT.head, b"\0")),
            "unpacks to more than 64 MiB",
        ),
        (b"x" * (64 * 2**20 + 1), "larger than 64 MiB"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_adapter(content: bytes, wanted: str) -> None:
    assert wanted in refused(content)


def test_encrypted(good: bytes) -> None:
    """A RuntimeError before."""
    start = good.index(archive.ENTRY)
    content = bytearray(good)
    content[start + 8] |= 1
    assert "is encrypted" in refused(bytes(content))


def test_a_hundred_thousand_entries_are_not_looked_at() -> None:
    """Before, they held the lock for changes for over six minutes."""
    entry = (
        struct.pack(
            "<4s4B4HL2L5H2L", b"PK\1\2", 20, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 13, 0, 0, 0, 0, 0, 0
        )
        + b"manifest.json"
    )
    directory = entry * 100_000
    content = directory + struct.pack(
        "<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, len(directory), 0, 0
    )
    started = time.perf_counter()
    assert "more than 100 entries" in refused(content)
    assert time.perf_counter() - started < 1


def declared(content: bytes, size: int) -> bytes:
    """The archive with another unpacked size written in its directory, for its only entry."""
    start = content.index(archive.ENTRY)
    return content[: start + 24] + struct.pack("<L", size) + content[start + 28 :]


def test_what_is_unpacked_is_counted_whatever_was_declared() -> None:
    """200 MB of zeros that are said to be 10 bytes, or 60 MB: neither fills the memory."""
    bomb = zipped((LAYOUT.weights, b"\0" * 200_000_000), ("manifest.json", b"{}"))
    for size in (10, 60_000_000):
        tracemalloc.start()
        refused(declared(bomb, size))
        assert tracemalloc.get_traced_memory()[1] < 200_000_000
        tracemalloc.stop()


def test_broken_deflate(good: bytes) -> None:
    """A `zlib.error` before, which was a 500."""
    begin = good.index(LAYOUT.peft_config.encode()) + len(LAYOUT.peft_config)
    assert "not a readable zip" in refused(good[:begin] + b"\xff" * 50 + good[begin + 50 :])


MUTATIONS = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@MUTATIONS
@given(data=st.data())
def test_mutated_archives_are_refused_or_unpacked(
    good: bytes, tmp_path: Path, data: st.DataObject
) -> None:
    """Bytes changed anywhere, most of them where a zip keeps its structure; cut; or repeated: an
    `AdapterError` and nothing else, and nothing on the disk."""
    content = bytearray(good)
    begin = good.index(archive.ENTRY) if data.draw(st.booleans()) else 0
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(begin, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[
        : data.draw(st.sampled_from([len(content), data.draw(st.integers(0, len(content)))]))
    ]
    library = Library(tmp_path / "library")
    message = ""
    try:
        with library.unpack(bytes(content)) as made:
            assert {f.name for f in made.iterdir()} <= set(LAYOUT.names())
    except AdapterError as error:
        message = str(error)
    assert len(message) < 2_500
    assert str(tmp_path) not in message
    assert not list(tmp_path.rglob("library/*"))


@MUTATIONS
@given(content=st.binary(max_size=300), end=st.booleans())
def test_any_bytes(content: bytes, end: bool, good: bytes) -> None:
    if end:
        content += good[good.index(archive.ENTRY) :]
    refused(content)
