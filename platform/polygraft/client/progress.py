"""A stream's events, and the texts that are put together from them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from polygraft.serve.schemas.row import RowOut


@dataclass(frozen=True)
class TranslationProgress:
    """`translation` is what is written so far of the text at place `row`; `sentence` the place in
    it of the one that has grown, and `text` what that says, whole when `final`."""

    row: int
    sentence: int
    text: str
    final: bool
    translation: str


@dataclass(frozen=True)
class TranslationResult:
    """The answer to the text at place `row`, or its error (`result.error`)."""

    row: int
    result: RowOut


class EventReader:
    """Takes a stream about so many rows as it comes, in pieces of any size, and gives its
    events."""

    def __init__(self, rows: int) -> None:
        self._unfinished = rows
        self._rest = ""
        self._sentences: dict[int, dict[int, str]] = defaultdict(dict)

    @property
    def is_complete(self) -> bool:
        """Whether every row has its result."""
        return self._unfinished == 0

    def read(self, piece: str) -> Iterator[TranslationProgress | TranslationResult]:
        *events, self._rest = (self._rest + piece).split("\n\n")
        for event in events:
            name, _, written = event.removeprefix("event: ").partition("\ndata: ")
            data = json.loads(written)
            if name == "progress":
                yield self._progress(data)
            else:
                self._unfinished -= 1
                yield TranslationResult(data.pop("row"), RowOut.model_validate(data))

    def _progress(self, data: dict[str, Any]) -> TranslationProgress:
        sentences = self._sentences[data["row"]]
        sentences[data["sentence"]] = data["before"] + data["text"] + data["after"]
        translation = "".join(sentences[place] for place in sorted(sentences))
        return TranslationProgress(
            data["row"], data["sentence"], data["text"], data["final"], translation
        )
