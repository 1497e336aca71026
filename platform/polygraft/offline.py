"""`polygraft predict`: JSON Lines in, JSON Lines out, with the same engine as the server and no
HTTP.

Each row `{"text": ..., ...}` comes back with `label` (or `translation`) and `score` added, and with
`explanation` where that was asked for, or `error`; all else in it is kept.
"""

from __future__ import annotations

import io
import json
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.progress import Progress

from polygraft.adapters.format import Manifest, load_manifest
from polygraft.data.lines import split_lines
from polygraft.errors import DataError, PolygraftError
from polygraft.runtime.engine import Engine
from polygraft.runtime.rows import Row, WeightedAdapter
from polygraft.tasks import registry

CHUNK, EXPLAINED_CHUNK = 256, 16
# a lone surrogate, which UTF-8 has no bytes for, goes out as it came in: "\\ud800"
ESCAPED = "backslashreplace"


def load(engine: Engine, folder: Path) -> Manifest:
    """Add the adapter in `folder`, and what it was trained on top of, from the folders beside it.
    Raises as `Engine.add`."""
    for named in load_manifest(folder).stack:
        engine.add(folder.resolve().parent / named.split("@")[0])
    return engine.add(folder)


def predict(
    engine: Engine,
    adapter: str,
    source: str,
    target: str,
    language: str | None = None,
    stack: tuple[WeightedAdapter, ...] | None = None,
    *,
    threshold: float | None = None,
    explain: bool = False,
) -> tuple[int, int]:
    """Answer every line of `source` into `target` ("-" is stdin or stdout). Returns (answered,
    failed). `language`: the one to write, for a translation adapter with several. `stack`,
    `threshold` and `explain`: as in a row.

    A file is written beside its place and moved there when complete. Raises `DataError` for a line
    that is not a JSON object with "text", before anything is written for a file.
    """
    lines = read(source)
    answered = failed = 0
    with write(target) as out, Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(adapter, total=len(lines))
        # what a row has in the fields that an answer fills came from an earlier answer
        stale = {"error"}.union(*(registry.served(task).answer_fields for task in registry.TASKS))
        common = Row(
            adapter,
            "",
            target=language,
            stack=stack,
            top_k=1,
            threshold=threshold,
            explain=explain,
        )
        for chunk in _chunks(lines, EXPLAINED_CHUNK if explain else CHUNK):
            rows = [replace(common, text=row["text"]) for row in chunk]
            for row, answer in zip(chunk, engine.answer(rows), strict=True):
                for field in stale & row.keys():
                    del row[field]
                if isinstance(answer, PolygraftError):
                    failed += 1
                    row["error"] = answer.payload()
                else:
                    answered += 1
                    row |= answer.summary()
                out.write(json.dumps(row, ensure_ascii=False) + "\n")
            progress.advance(bar, len(chunk))
    return answered, failed


def read(source: str) -> list[dict[str, Any]]:
    """The objects of a JSON Lines file ("-" is stdin). Raises `DataError` for a line that is not an
    object with "text"."""
    if source != "-" and not Path(source).is_file():
        raise DataError(source, ["no such file; give a JSON Lines file, or - for standard input"])
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            source, [f"byte {error.start + 1} is not UTF-8; save the file in that encoding"]
        ) from None
    rows, problems = [], []
    for number, line in enumerate(split_lines(text), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            problems.append(f"line {number} is not JSON: {error}")
            continue
        if not isinstance(row, dict) or "text" not in row:
            problems.append(f'line {number} is not an object with "text"')
            continue
        rows.append(row)
    if problems:
        raise DataError(source, problems[:20])
    return rows


def _chunks(rows: list[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


@contextmanager
def write(target: str) -> Iterator[TextIO]:
    """A file that is written beside its place and moved there when complete; "-" is stdout. A link
    is followed, a file keeps its mode, a pipe or a device is written to as it is. Raises
    `DataError`."""
    if target == "-":
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors=ESCAPED)
        yield sys.stdout
        return
    file = Path(target).resolve()  # of a link, what it points to
    if not file.parent.is_dir():
        raise DataError(target, [f"folder {file.parent} does not exist; make it first"])
    if file.is_dir():
        raise DataError(target, ["is a folder; give the name of a file in it"])
    if file.exists() and not file.is_file():  # a pipe or a device
        with file.open("w", encoding="utf-8", errors=ESCAPED) as out:
            yield out
        return
    staged = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        with staged.open("x", encoding="utf-8", errors=ESCAPED) as out:
            yield out
        if file.exists():
            staged.chmod(stat.S_IMODE(file.stat().st_mode))
        staged.replace(file)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
