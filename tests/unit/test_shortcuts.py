"""Labels that a length or a field gives away."""

import json
import random
from pathlib import Path

import pytest

from polygraft.data.leaks import sentence
from polygraft.data.shortcuts import given_away
from polygraft.errors import DataError
from polygraft.tasks.classification.data import load_splits
from polygraft.tasks.classification.recipe import ClassificationRecipe


def rows(long_spam: bool, seed: int = 0) -> list[tuple[str, str]]:
    rng = random.Random(seed)
    words = ["call", "me", "when", "you", "see", "this", "prize", "tonight", "mum", "free"]
    made = []
    for i in range(200):
        label = "spam" if i % 2 else "ham"
        count = rng.randint(12, 16) if long_spam and label == "spam" else rng.randint(3, 6)
        made.append((" ".join(rng.choices(words, k=count)) + f" {i}", label))
    return made


def test_a_length_that_tells_the_label_is_found_and_one_that_does_not_is_not() -> None:
    texts, labels = zip(*rows(long_spam=True), strict=True)
    assert given_away(texts, labels, {})["length"] > 95
    texts, labels = zip(*rows(long_spam=False), strict=True)
    assert given_away(texts, labels, {}) == {}


def test_fields() -> None:
    texts, labels = zip(*rows(long_spam=False), strict=True)
    fields = {
        "app": [
            "telegram" if label == "spam" else ("sms" if i % 3 else "mail")
            for i, label in enumerate(labels)
        ],
        "day": [str(i % 7) for i in range(len(texts))],
        "id": [f"{label}-{i}" for i, label in enumerate(labels)],
        "all": ["x"] * len(texts),
    }
    assert given_away(texts, labels, fields) == {"app": 100.0}


def test_labels_with_few_rows_are_left_out() -> None:
    assert given_away(["a", "bb" * 50] * 5, ["ham", "spam"] * 5, {}) == {}


def write(folder: Path, name: str, found: list[tuple[str, str]], **others: str) -> None:
    lines = [json.dumps({"text": t, "label": y} | others) for t, y in found]
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_a_recipe_whose_files_hold_a_label_each_is_refused_unless_someone_says_why(
    tmp_path: Path,
) -> None:
    made = rows(long_spam=False)
    write(tmp_path, "ham.jsonl", [r for r in made if r[1] == "ham"], source="a")
    write(tmp_path, "spam.jsonl", [r for r in made if r[1] == "spam"], source="b")
    write(tmp_path, "dev.jsonl", rows(long_spam=False, seed=1))
    data = {"train": ["ham.jsonl", "spam.jsonl"], "dev": "dev.jsonl", "on_leak": "drop"}
    recipe = ClassificationRecipe.model_validate({"name": "x", "languages": ["en"], "data": data})
    with pytest.raises(
        DataError, match=r"given away by file \(100.0%.*, source \(100.0%.*--allow-leak"
    ) as caught:
        load_splits(recipe, tmp_path)
    assert "length (" not in str(caught.value)
    allowed = load_splits(recipe, tmp_path, allow_leak="two apps")
    assert allowed.leaks["given_away"] == {"file": 100.0, "source": 100.0}
    assert "given away by file (100.0%), source (100.0%): allowed: two apps." in sentence(
        allowed.leaks
    )
