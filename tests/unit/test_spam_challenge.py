"""The challenge set is what its README says: balanced, varied, and of no use for training."""

import re
from collections import Counter
from pathlib import Path

import pytest

from polygraft.data.leaks import leaked_texts, near_equal_groups
from polygraft.data.reading import read_source

Rows = list[dict[str, str]]


@pytest.fixture(scope="module")
def rows(root: Path) -> Rows:
    return read_source(str(root / "tests" / "data" / "spam_challenge" / "messages.jsonl"))


def test_every_language_has_as_much_spam_as_ham(rows: Rows, root: Path) -> None:
    counts = Counter((row["language"], row["label"]) for row in rows)
    page = (root / "tests" / "data" / "spam_challenge" / "README.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| `(\w+)` .*?\| (\d+) \| (\d+) \|", page, re.MULTILINE)
    assert {language for language, _ in counts} == {"en", "es", "sw", "pcm"}
    assert {(language, int(spam), int(ham)) for language, spam, ham in table} == {
        (language, counts[language, "spam"], counts[language, "ham"]) for language, _ in counts
    }
    assert all(counts[language, "spam"] == counts[language, "ham"] for language, _ in counts)
    assert len(rows) >= 320


def test_common_kinds_are_of_both_labels(rows: Rows, root: Path) -> None:
    page = (root / "tests" / "data" / "spam_challenge" / "README.md").read_text(encoding="utf-8")
    counts = Counter(row["kind"] for row in rows)
    assert set(counts) <= set(re.findall(r"`([a-z-]+)`", page))
    of_both = Counter((row["kind"], row["label"]) for row in rows)
    for kind, count in counts.items():
        if count >= 20:
            assert min(of_both[kind, "spam"], of_both[kind, "ham"]) >= count / 3, kind


def test_no_two_messages_are_near_equal(rows: Rows) -> None:
    texts = tuple(row["text"] for row in rows)
    assert len(set(near_equal_groups(texts))) == len(texts)


def test_links_and_numbers_are_invented(rows: Rows) -> None:
    links = [
        link
        for row in rows
        for link in re.findall(r"[\w-]+(?:\.[\w-]+)*\.[a-z]{3,}\b", row["text"])
    ]
    assert len(links) > 60
    assert not [link for link in links if not link.endswith(".example")]


def test_no_message_is_trained_on(rows: Rows, root: Path) -> None:
    """Of the rows that lie in the repository."""
    trained = [
        row["text"]
        for file in sorted((root / "adapters").glob("*/*.jsonl"))
        for row in read_source(str(file))
    ]
    assert len(trained) > 500
    assert not leaked_texts([row["text"] for row in rows], trained)
