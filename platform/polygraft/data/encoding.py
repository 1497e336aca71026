"""The bytes of a file as text. Does not: open files, or guess: what is not Unicode is refused, for
a text in the wrong encoding looks like a text."""

from __future__ import annotations

import codecs

from polygraft.errors import DataError

UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def decoded(content: bytes, source: str) -> str:
    """UTF-8, or UTF-16 where the byte order is marked, as Excel writes "Unicode text". The mark is
    none of the text. Raises `DataError` with the line of the first byte that is neither."""
    encoding = "utf-16" if content.startswith(UTF_16) else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        # bytes of another encoding are told as the one that most such files are in
        line = content.count(b"\n", 0, error.start) + 1
        byte = content[error.start : error.start + 1]
        perhaps = byte.decode("cp1252", errors="ignore")
        meant = f"; as Windows-1252 it is {perhaps!r}" if perhaps else ""
        problem = (
            f"line {line} is not {encoding.upper().removesuffix('-SIG')} (byte "
            f"0x{byte.hex()}{meant}); save the file as UTF-8 (in Excel: CSV UTF-8), or convert it: "
            "iconv -f WINDOWS-1252 -t UTF-8"
        )
        raise DataError(source, [problem]) from None
