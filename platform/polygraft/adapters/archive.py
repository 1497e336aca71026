"""An adapter as a zip, in memory: how it is sent to a server. Nothing touches the disk here.

An archive is hostile until shown otherwise: entries are counted before the directory is read, names
and sizes checked before anything is unpacked, and unpacking counts the bytes that come, whatever
was declared.
"""

from __future__ import annotations

import io
import stat
import zipfile
from pathlib import Path

from polygraft.adapters.format import load_manifest
from polygraft.adapters.layout import LAYOUT, largest
from polygraft.adapters.publishing import reading
from polygraft.errors import AdapterError, shortened

MAX_UPLOAD = 64 * 1024 * 1024
# begins each entry of a zip's directory; in other bytes it is found by chance once in 4 GiB
ENTRY = b"PK\x01\x02"
MAX_SIGNATURES = 100
PLAIN = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
ENCRYPTED = 0x1
CHUNK = 2**20


def pack(folder: Path) -> bytes:
    """The adapter in `folder` as a zip of its layout's files, for `unpack`. Raises
    `AdapterError`."""
    load_manifest(folder)
    buffer = io.BytesIO()
    with reading(folder) as home, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name in LAYOUT.names():
            if (home / name).is_file():
                bundle.write(home / name, name)
    return buffer.getvalue()


def unpack(archive: bytes) -> dict[str, bytes]:
    """The files in an uploaded zip, by name, at most `MAX_UPLOAD` bytes together. Raises
    `AdapterError` for an archive that is not readable, or holds anything but the files of one
    adapter."""
    if len(archive) > MAX_UPLOAD:
        raise AdapterError(
            f"the upload is larger than {MAX_UPLOAD // 2**20} MiB; that is not an adapter"
        )
    if archive.count(ENTRY) > MAX_SIGNATURES:
        raise AdapterError(
            f"the archive holds more than {MAX_SIGNATURES} entries; {_what_it_holds()}"
        )
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as bundle:
            entries = bundle.infolist()
            _check(entries)
            return _read(bundle, entries)
    except AdapterError:
        raise
    # zipfile says of broken bytes whatever its parts say: of zlib, struct, codecs, seek, int
    except Exception as error:
        raise AdapterError(
            "the upload is not a readable zip archive "
            f"({shortened(str(error) or type(error).__name__)}); send the adapter folder again"
        ) from None


def _check(entries: list[zipfile.ZipInfo]) -> None:
    names = [entry.filename for entry in entries]
    for entry in entries:
        if entry.filename not in LAYOUT.names():
            raise AdapterError(f"the archive holds {shortened(entry.filename)}; {_what_it_holds()}")
        if names.count(entry.filename) > 1:
            raise AdapterError(f"the archive holds {entry.filename} twice; {_what_it_holds()}")
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            raise AdapterError(
                f"{entry.filename} in the archive is not a plain file; {_what_it_holds()}"
            )
        if entry.flag_bits & ENCRYPTED:
            raise AdapterError(
                f"{entry.filename} in the archive is encrypted; send it without a password"
            )
        if entry.compress_type not in PLAIN:
            raise AdapterError(
                f"{entry.filename} in the archive is compressed by a rare method; use deflate, "
                "zip's own"
            )
        if entry.file_size > largest(entry.filename):
            raise AdapterError(
                f"{entry.filename} in the archive has {entry.file_size:,} bytes, more than an "
                "adapter's"
            )
    if sum(entry.file_size for entry in entries) > MAX_UPLOAD:
        raise _too_large()
    if LAYOUT.manifest not in names:
        raise AdapterError(f"the archive holds no {LAYOUT.manifest}; {_what_it_holds()}")


def _read(bundle: zipfile.ZipFile, entries: list[zipfile.ZipInfo]) -> dict[str, bytes]:
    bytes_left, files = MAX_UPLOAD, dict[str, bytes]()
    for entry in entries:
        content = bytearray()
        with bundle.open(entry) as opened:
            while chunk := opened.read(CHUNK):
                content += chunk
                bytes_left -= len(chunk)
                if bytes_left < 0:
                    raise _too_large()
        files[entry.filename] = bytes(content)
    return files


def _what_it_holds() -> str:
    return f"an adapter consists of {', '.join(LAYOUT.names())}, each once, and nothing else"


def _too_large() -> AdapterError:
    return AdapterError(
        f"the archive unpacks to more than {MAX_UPLOAD // 2**20} MiB; that is not an adapter"
    )
