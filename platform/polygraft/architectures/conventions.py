"""How text goes into a backbone that writes, and comes out of it: `writing` in `backbone.json`.

Whatever makes a backbone (`polygraft pretrain`, `polygraft backbone import`) writes it once;
training, export and serving ask nothing else about the pieces around a text. Runs without numpy
and torch. Does not: turn text into pieces (see `text` and `target_tokenizer`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from polygraft.architectures.folder import BackboneFiles
from polygraft.errors import BackboneError
from polygraft.language_tags import served_code

Direction = tuple[str, str]
"""Source and target language, by the codes that requests give."""
SOURCE, TARGET, TEXT = "{source}", "{target}", "{text}"


class Conventions(BaseModel):
    """The pieces around a text, by their names in the vocabulary. In all of them `{target}` stands
    for the language that is written, and `{source}` for the one that is read, as the family calls
    them."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    start: tuple[str, ...] = Field(
        min_length=1, description="what the decoder is given before its first own piece"
    )
    end: str = Field(description="the piece that ends a text")
    pad: str = Field(description="what fills the shorter rows of a batch")
    never: tuple[str, ...] = Field((), description="pieces that are not written")
    source: tuple[str, ...] = Field(
        (),
        description="what the encoder reads, with {text} for the text's own pieces; empty: what "
        "tokenizer.json puts around any text",
    )
    prefix: str = Field("", description="text put before what is read")
    languages: dict[str, str] | None = Field(
        None,
        description="what the family calls each language, by the codes that requests give; None: "
        "any language, by its code",
    )
    max_length: int = Field(ge=2, description="how many pieces can be written, with start and end")

    def code(self, language: str) -> str | None:
        """The one of the languages' codes that `language` means; None where none is."""
        if self.languages is None or language in self.languages:
            return language
        return served_code(language, self.languages)

    def called(self, language: str) -> str:
        """What the family calls a language. Raises `KeyError` for one that it does not know."""
        code = self.code(language)
        if code is None:
            raise KeyError(language)
        return code if self.languages is None else self.languages[code]

    def unknown(self, directions: Iterable[Direction]) -> list[str]:
        """Those languages of `directions` that cannot be written, or cannot be told to the
        encoder where it has to be told."""
        tells = any(SOURCE in piece for piece in (*self.source, self.prefix))
        used = {language for direction in directions for language in direction[0 if tells else 1 :]}
        return sorted(language for language in used if self.code(language) is None)

    def listed(self) -> str:
        """The languages, for a message."""
        return "any language" if self.languages is None else ", ".join(self.languages)

    def sample(self, number: int) -> Direction:
        """A direction to try the backbone with, another target for each number."""
        codes = list(self.languages or ("en",))
        return codes[0], codes[number % len(codes)]

    def started(self, target: str) -> list[str]:
        """`start` of a text in the language `target`. Raises `KeyError`."""
        return [self._filled(piece, (target, target)) for piece in self.start]

    def around(self, direction: Direction) -> tuple[list[str], list[str]]:
        """The pieces before and after those of a text that is read. Raises `KeyError`."""
        place = self.source.index(TEXT)
        before, after = self.source[:place], self.source[place + 1 :]
        return (
            [self._filled(piece, direction) for piece in before],
            [self._filled(piece, direction) for piece in after],
        )

    def prefixed(self, text: str, direction: Direction) -> str:
        """A text with what stands before it when it is read. Raises `KeyError`."""
        return self._filled(self.prefix, direction) + text

    def _filled(self, pattern: str, direction: Direction) -> str:
        for placeholder, language in zip((SOURCE, TARGET), direction, strict=True):
            if placeholder in pattern:
                pattern = pattern.replace(placeholder, self.called(language))
        return pattern


def read_conventions(backbone: Path) -> Conventions | None:
    """Those of the backbone in a folder; None for one that only reads. Raises `BackboneError` for a
    file that cannot be read."""
    file = BackboneFiles(backbone).record
    if not file.is_file():
        return None
    try:
        writing = json.loads(file.read_text(encoding="utf-8")).get("writing")
        return None if writing is None else Conventions.model_validate(writing)
    except (ValueError, AttributeError, ValidationError) as error:
        first_line = str(error).split("\n")[0]
        raise BackboneError(
            f"{file} is not readable ({first_line}); import or export the backbone again"
        ) from None


def write_record(backbone: Path, record: dict[str, object]) -> None:
    """Write `backbone.json`: what the backbone is, for programs, with its conventions under
    `writing` where it has a decoder."""
    text = json.dumps(record, indent=1, ensure_ascii=False)
    BackboneFiles(backbone).record.write_text(text + "\n", encoding="utf-8")
