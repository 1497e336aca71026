"""Which route a task's rows belong to, where it has one of its own.

Rows of every task go into `/v1/batch` and `/v1/stream`. A route that is named for a task refuses
rows of another one that has its own, and says which.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from polygraft.adapters.format import Manifest
from polygraft.errors import InvalidOption, PolygraftError
from polygraft.runtime.rows import Row


class Own(NamedTuple):
    """What adapters of a task do, and the route for that."""

    does: str
    path: str


CLASSIFY, TRANSLATE, TAG, EMBED = "/v1/classify", "/v1/translate", "/v1/tag", "/v1/embed"
BY_TASK = {
    "classification": Own("classifies", CLASSIFY),
    "translation": Own("translates", TRANSLATE),
    "tagging": Own("tags words", TAG),
    "embedding": Own("gives vectors", EMBED),
}


def belonging(
    rows: Sequence[Row | PolygraftError], path: str, manifests: Sequence[Manifest]
) -> list[Row | PolygraftError]:
    """The rows, with the error of each whose adapter, of those with these `manifests`, has another
    route than `path`."""
    elsewhere = {
        manifest.name: own
        for manifest in manifests
        if (own := BY_TASK.get(manifest.task)) and own.path != path
    }
    return [_checked(row, elsewhere) for row in rows]


def _checked(row: Row | PolygraftError, elsewhere: dict[str, Own]) -> Row | PolygraftError:
    if isinstance(row, Row) and (own := elsewhere.get(row.adapter)):
        return InvalidOption(
            f"adapter {row.adapter!r} {own.does}; send the text to {own.path}, or the row to "
            "/v1/batch"
        )
    return row
