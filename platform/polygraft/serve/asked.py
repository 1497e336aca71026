"""Texts for one adapter, as the other APIs ask for them: one model a request, whole answers or one
error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from polygraft.adapters.format import Manifest
from polygraft.adapters.reference import Reference
from polygraft.errors import InvalidRow, PolygraftError
from polygraft.runtime.rows import Answer
from polygraft.serve.answers import answer
from polygraft.serve.host import Host
from polygraft.serve.limits import check_count
from polygraft.serve.rows import read_each


@dataclass(frozen=True)
class Asked:
    """Texts for `adapter`; `options` are those of a row. `field_name` is what the request calls the
    texts, for errors."""

    adapter: str
    texts: Sequence[Any]
    field_name: str
    options: dict[str, Any] = field(default_factory=dict)
    top_k: int | None = None


async def answers(host: Host, asked: Asked) -> list[Answer]:
    """One a text, in order. Raises the first error, which says where in a list it is."""
    check_count(host.settings, len(asked.texts))
    if not asked.texts:
        raise InvalidRow(f"{asked.field_name} is empty; send a text, or a list of texts")
    rows = read_each([{"adapter": asked.adapter, "text": t} | asked.options for t in asked.texts])
    whole = list[Answer]()
    for place, one in enumerate(await answer(host, rows, asked.top_k)):
        if isinstance(one, InvalidRow) and len(rows) > 1:
            raise one.at(f"{asked.field_name}[{place}]")
        if isinstance(one, PolygraftError):
            raise one
        whole.append(one)
    return whole


def manifest_of(host: Host, name: str) -> Manifest:
    """That of a served adapter's champion, whichever version `name` says. Raises
    `UnknownAdapter`."""
    return host.rollout.names.get(Reference.parse(name).name).manifest
