"""`polygraft predict`: rows in, JSON Lines out, with the same engine as the server and no HTTP.

Each row comes back with `label` (or `translation`) and `score` added, or with `spans` or
`word_tags`, and with `explanation` where that was asked for, or `error`; all else in it is kept.
"""

from __future__ import annotations

import io
import json
import secrets
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.progress import Progress

from polygraft.adapters.format import Manifest, load_manifest
from polygraft.adapters.library import open_library
from polygraft.errors import DataError, InvalidOption, PolygraftError
from polygraft.runtime.engine import Engine
from polygraft.runtime.rows import Answer, Row
from polygraft.tasks import registry

CHUNK, EXPLAINED_CHUNK = 256, 16
# a lone surrogate, which UTF-8 has no bytes for, goes out as it came in: "\\ud800"
ESCAPED = "backslashreplace"


def load(engine: Engine, folder: Path, *, restacked: bool = False) -> Manifest:
    """Add the adapter in `folder`, and what it was trained on top of, from the folders beside it,
    else from the library. `restacked`: something else is to lie under it, so that only one that
    writes, which is verified on its own stack, needs that. Raises as `Engine.add`, or
    `UnknownVersion`."""
    manifest = load_manifest(folder)
    needs_stack = not restacked or registry.served(manifest.task).writes
    for named in manifest.stack if needs_stack else []:
        name, _, version = named.partition("@")
        beside = folder.resolve().parent / name
        engine.add(beside if beside.is_dir() else open_library().folder(name, version))
    return engine.add(folder)


def predict(
    engine: Engine, rows: Sequence[dict[str, Any]], common: Row, target: str, column: str = "text"
) -> tuple[int, int]:
    """Answer every row's text, in its `column`, into the file `target` ("-" is stdout). Returns
    (answered, failed). `common` is what holds for all of them: who answers, and how; where that
    translates, a row's own `source` and `target` go before.

    A file is written beside its place and moved there when complete. Raises `DataError` where it
    cannot be written.
    """
    answered = failed = 0
    manifests = {manifest.name: manifest for manifest in engine.manifests()}
    writes = registry.served(manifests[common.adapter].task).writes
    with write(target) as out, Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(common.adapter, total=len(rows))
        # what a row has in the fields that an answer fills came from an earlier answer
        stale = {"error"}.union(*(registry.served(task).answer_fields for task in registry.TASKS))
        for chunk in _chunks(rows, EXPLAINED_CHUNK if common.explain else CHUNK):
            asked = [
                _with_languages(replace(common, text=row[column]), row if writes else {})
                for row in chunk
            ]
            for row, answer in zip(chunk, _answers(engine, asked), strict=True):
                for field in stale & row.keys() - {column}:
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


def _with_languages(row: Row, given: dict[str, Any]) -> Row | InvalidOption:
    """The row in the languages that are given with its text, or why it cannot be."""
    languages = {name: given[name] for name in ("source", "target") if given.get(name)}
    for name, language in languages.items():
        if not isinstance(language, str):
            return InvalidOption(f"{name} is {language!r}; give the code of a language")
    return replace(
        row,
        language=languages.get("source", row.language),
        target=languages.get("target", row.target),
    )


def _answers(engine: Engine, asked: Sequence[Row | InvalidOption]) -> list[Answer | PolygraftError]:
    answers = iter(engine.answer([row for row in asked if isinstance(row, Row)]))
    return [row if isinstance(row, PolygraftError) else next(answers) for row in asked]


def _chunks(rows: Sequence[dict[str, Any]], size: int) -> Iterator[Sequence[dict[str, Any]]]:
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
