"""Files of tagged words as rows: CoNLL, and JSON Lines with words and tags or with text and spans.

Whatever is wrong with a row is told with its line, and the others are read all the same. Does not:
repair tags, or compare splits (see `data`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from polygraft.data.lines import split_lines
from polygraft.data.reading import COMPRESSED, KINDS, read_text
from polygraft.data.tables import parse
from polygraft.errors import shortened
from polygraft.tasks.serving import MAX_CHARACTERS
from polygraft.tasks.tagging.recipe import TaggingDataRecipe
from polygraft.tasks.tagging.rows import TaggedRow
from polygraft.tasks.tagging.scheme import OUTSIDE, TaggedSpan, tags_of_spans
from polygraft.tasks.tagging.words import words_of

DOCUMENT = "-DOCSTART-"
CONLLU = ".conllu"


@dataclass
class TaggedFile:
    """The rows of a file, and what is wrong with the others. `widened`: spans that began or ended
    within a word, and were read as whole words."""

    rows: list[TaggedRow] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    widened: int = 0

    def add(self, where: str, tokens: Sequence[object], tags: Sequence[object]) -> None:
        """One row, unless it is none; `where` says which one."""
        if problem := _problem(tokens, tags):
            self.problems.append(f"{where} {problem}")
        else:
            self.rows.append(TaggedRow.of([str(t) for t in tokens], [str(t) for t in tags]))


def read_tagged(source: str, data: TaggingDataRecipe) -> TaggedFile:
    """The rows of one file or URL. Raises `OSError`, or `DataError` for another encoding."""
    suffixes = [s.lower() for s in Path(source.split("?")[0]).suffixes]
    suffix = next((s for s in reversed(suffixes) if s not in COMPRESSED), "")
    text = read_text(source)
    if KINDS.get(suffix) == "jsonl":
        return _json_lines(text, data)
    return _conll(text, data, numbered=suffix == CONLLU)


def _json_lines(text: str, data: TaggingDataRecipe) -> TaggedFile:
    table = parse(text, "jsonl")
    file = TaggedFile(problems=list(table.problems))
    for line, row in zip(table.lines, table.rows, strict=True):
        where = f"line {line}"
        if data.tokens in row and data.tags in row:
            tokens, tags = row[data.tokens], row[data.tags]
            if isinstance(tokens, list) and isinstance(tags, list):
                file.add(where, tokens, tags)
            else:
                file.problems.append(f"{where}: {data.tokens} and {data.tags} are not two lists")
        elif data.text in row and data.spans in row:
            _add_spans(file, where, row[data.text], row[data.spans])
        else:
            file.problems.append(
                f"{where} has neither {data.tokens} and {data.tags} nor {data.text} and "
                f"{data.spans}; it has {', '.join(row) or 'nothing'}"
            )
    return file


def _add_spans(file: TaggedFile, where: str, text: object, spans: object) -> None:
    """A row of a text with its spans, as BIO."""
    if not isinstance(text, str) or not isinstance(spans, list):
        file.problems.append(f"{where}: the text is not a string, or the spans are not a list")
        return
    words = words_of(text)
    marked, problems = list[tuple[int, int, str]](), list[str]()
    for span in spans:
        try:
            marked.append((int(span["start"]), int(span["end"]), str(span["label"])))
        except (KeyError, TypeError, ValueError):
            problems.append(f'span {shortened(str(span))} is not {{"start", "end", "label"}}')
    marked.sort()
    problems += _misplaced(marked, len(text))
    if problems:
        file.problems += [f"{where}: {problem}" for problem in problems]
        return
    found = list[TaggedSpan]()
    for start, end, label in marked:
        inside = [i for i, word in enumerate(words) if word.start < end and word.end > start]
        inside = [i for i in inside if not found or i >= found[-1].end]
        if not inside:
            problems.append(f"span {start} to {end} ({label}) holds no word of its own")
            continue
        found.append(TaggedSpan(inside[0], inside[-1] + 1, label))
        file.widened += (words[inside[0]].start, words[inside[-1]].end) != (start, end)
    file.problems += [f"{where}: {problem}" for problem in problems]
    if not problems:
        tokens = [text[word.start : word.end] for word in words]
        file.add(where, tokens, tags_of_spans(found, len(words), "BIO"))


def _misplaced(spans: Sequence[tuple[int, int, str]], length: int) -> Iterable[str]:
    """What is wrong with where spans lie, which are sorted."""
    for start, end, label in spans:
        if not 0 <= start < end <= length:
            yield (
                f"span {start} to {end} ({label}) points outside the text, which has {length} "
                "characters"
            )
    for (start, end, label), (other, its_end, its_label) in pairwise(spans):
        if other < end:
            yield (
                f"spans {start} to {end} ({label}) and {other} to {its_end} ({its_label}) cross; a "
                "word has one tag"
            )


def _conll(text: str, data: TaggingDataRecipe, *, numbered: bool) -> TaggedFile:
    """A word a line, sentences parted by blank lines. `numbered`: CoNLL-U, whose first column is
    the word's number; a range or a fraction is no word of its own."""
    file = TaggedFile()
    columns = _Columns(
        1 if numbered and not data.word_column else data.word_column, data.tag_column
    )
    tokens, tags, first = list[str](), list[str](), 0
    for number, line in enumerate([*split_lines(text), ""], 1):
        line = line.removesuffix("\r")
        if not line.strip():
            if tokens:
                file.add(f"the sentence at line {first}", tokens, tags)
            tokens, tags = [], []
            continue
        cells = line.split("\t") if "\t" in line else line.split()
        if cells[0] == DOCUMENT or (numbered and line.startswith("#")):
            continue
        if not tokens and line.startswith("# "):  # a comment before a sentence
            continue
        if numbered and not cells[0].isdecimal():
            continue
        first = number if not tokens else first
        if missing := columns.missing(len(cells)):
            file.problems.append(
                f"line {number} has {len(cells)} columns, and none numbered {missing}"
            )
            continue
        tokens.append(cells[columns.word].strip())
        tags.append(cells[columns.tag].strip())
    return file


@dataclass(frozen=True)
class _Columns:
    word: int
    tag: int

    def missing(self, count: int) -> str:
        """Which of the two a line of so many columns lacks."""
        lacking = [str(c) for c in (self.word, self.tag) if not -count <= c < count]
        if not lacking and self.word % count == self.tag % count:
            return f"{count} for the tag"
        return " and ".join(lacking)


def _problem(tokens: Sequence[object], tags: Sequence[object]) -> str:
    """Why a row cannot be used, after its name; nothing where it can."""
    if len(tokens) != len(tags):
        return f"has {len(tokens)} words and {len(tags)} tags; give every word one tag"
    if not all(isinstance(one, str) for one in (*tokens, *tags)):
        return "has a word or a tag that is not a string"
    empty = next((i for i, token in enumerate(tokens) if not str(token).strip()), None)
    if empty is not None or not tokens:
        return f"has nothing as word {empty + 1}" if empty is not None else "has no words"
    bare = next((i for i, tag in enumerate(tags) if not str(tag).strip()), None)
    if bare is not None:
        return (
            f"has no tag for word {bare + 1}, {shortened(str(tokens[bare]))}; outside is {OUTSIDE}"
        )
    characters = sum(len(str(token)) + 1 for token in tokens)
    if characters > MAX_CHARACTERS:
        return (
            f"has {len(tokens):,} words, {characters:,} characters, at most {MAX_CHARACTERS:,} are "
            "read at once; cut it into sentences"
        )
    return ""
