"""Language adapters: verified like others; they lie under a task adapter and answer nothing by
themselves. numpy only."""

from __future__ import annotations

from polygraft.adapters.format import Adapter
from polygraft.architectures.text import TextEncoder
from polygraft.errors import InvalidOption
from polygraft.runtime.rows import Row
from polygraft.tasks.language.manifest import LanguageManifest
from polygraft.tasks.serving import Replay, RowPlan, ServedTask
from polygraft.tasks.vectors import verify_vectors


class Language(ServedTask):
    """A row is refused: a language adapter lies under others."""

    manifest = LanguageManifest

    def plan(self, row: Row, adapter: Adapter, stack: list[str], encoder: TextEncoder) -> RowPlan:
        raise InvalidOption(
            f"adapter {row.adapter!r} knows a language and no task; put it under one that answers: "
            f'"stack": ["{row.adapter}", "..."]'
        )

    def verify_goldens(self, adapter: Adapter, replay: Replay) -> None:
        verify_vectors(adapter, replay)


TASK = Language()
