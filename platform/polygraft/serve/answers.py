"""Rows to answers for every endpoint: counted, limited, and in the API's shape."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from prometheus_client import Counter

from polygraft.errors import PolygraftError, TooManyRows
from polygraft.runtime.rows import Answer, Row
from polygraft.serve.host import Host
from polygraft.serve.schemas import RowOut, row_out

MAX_ROWS = int(os.environ.get("POLYGRAFT_MAX_ROWS", "512"))
ROWS = Counter("polygraft_rows_total", "Rows answered", ["adapter", "outcome"])


def check_count(rows: int) -> None:
    """Raises `TooManyRows`."""
    if rows > MAX_ROWS:
        raise TooManyRows(f"{rows} rows in one request, at most {MAX_ROWS} are taken; send several requests")


def answer(
    host: Host, rows: Sequence[Row | PolygraftError], top_k: int | None = None, listener: Callable[[str], None] | None = None
) -> list[Answer | PolygraftError]:
    """The engine's answers, in order; a row that is an error already stays one."""
    good = [row for row in rows if isinstance(row, Row)]
    answered = iter(host.engine.answer(good, top_k, listener))
    answers = [row if isinstance(row, PolygraftError) else next(answered) for row in rows]
    for one in answers:
        if isinstance(one, PolygraftError):
            ROWS.labels("", one.code).inc()
        else:
            ROWS.labels(one.adapter, "ok").inc()
    return answers


def results(rows: Sequence[Row | PolygraftError], answers: Sequence[Answer | PolygraftError]) -> list[RowOut]:
    names = [row.adapter if isinstance(row, Row) else None for row in rows]
    return [row_out(a, n) for a, n in zip(answers, names, strict=True)]
