"""What of a document is translated as one text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Unit:
    """`html`: its markup is kept. `lines`: how many its translation is to have, with `newline`
    between them."""

    text: str
    html: bool = False
    lines: int = 1
    newline: str = "\n"

    def written(self, translation: str) -> str:
        """A translation of it, in as many lines of about the same length."""
        words = translation.split(" ")
        count = min(self.lines, len(words))
        if count < 2:
            return translation
        lines, length = [list[str]()], len(translation) / count
        written = 0
        for left, word in zip(range(len(words), 0, -1), words, strict=True):
            full = written + len(word) / 2 > length * len(lines)
            must = left == count - len(lines)
            if lines[-1] and len(lines) < count and (full or must):
                lines.append([])
            lines[-1].append(word)
            written += len(word) + 1
        return self.newline.join(" ".join(line) for line in lines)
