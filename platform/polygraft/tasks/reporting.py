"""What a task does when its adapters' figures are shown: the one interface between `reporting` and
`tasks/<task>/results.py` and `page.py`, which are modules with these functions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from polygraft.runtime.engine import Engine


class TaskResults(Protocol):
    """`tasks/<task>/results.py`: Markdown, without the training libraries."""

    def table(self, manifests: Sequence[Any]) -> list[str]:
        """The task's part of a library's results table."""


class TaskPage(Protocol):
    """`tasks/<task>/page.py`: HTML, each string a part of the page. An adapter is a dict, its
    manifest's fields with what `answered` adds."""

    def answered(self, engine: Engine, manifest: Any, folder: Path) -> dict[str, Any]:
        """What answering the held-out rows once more shows, ready for JSON."""

    def overview(self, adapters: Sequence[dict[str, Any]]) -> list[str]:
        """About several adapters together."""

    def sections(self, adapter: dict[str, Any]) -> list[str]:
        """About one adapter."""
