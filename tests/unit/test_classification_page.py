"""The figures of the page that come from answering held-out rows again."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import yaml

from polygraft.adapters.format import LAYOUT
from polygraft.reporting.page import gather
from polygraft.runtime.engine import Engine
from polygraft.runtime.rows import Row
from polygraft.tasks.classification.metrics import macro_f1
from polygraft.tasks.classification.serving import Classified

TEXTS = {
    "en": [
        "win a free prize",
        "see you soon",
        "claim cash now",
        "dinner tonight",
        "call mum",
        "text late",
    ],
    "sw": [
        "simu pesa",
        "pesa now call",
        "train late soon",
        "hello simu",
        "free pesa",
        "see simu tonight",
    ],
}


@pytest.mark.parametrize("texts_first", [False, True])
def test_macro_f1_by_language_scores_the_rows_of_that_language(
    texts_first: bool,
    backbone: Path,
    make_adapter: Callable[..., Path],
    edit_manifest: Callable[..., None],
    tmp_path: Path,
) -> None:
    """Issue 15, defect 9: with text of one label before the tables, each language was scored on
    rows of another."""
    folder = make_adapter(tmp_path / "spam")
    labels = {
        text: ("spam", "ham")[i % 2] for texts in TEXTS.values() for i, text in enumerate(texts)
    }
    for language, texts in TEXTS.items():
        rows = [json.dumps({"text": text, "label": labels[text]}) for text in texts]
        (folder / f"{language}.test.jsonl").write_text("\n".join(rows), encoding="utf-8")
    (folder / "ham.txt").write_text("you see mum\nlate dinner\nhello you\n", encoding="utf-8")
    tables = [f"{language}.test.jsonl" for language in TEXTS]
    plain = [{"file": "ham.txt", "label": "ham"}]
    data = {
        "train": tables,
        "dev": tables,
        "test": [*plain, *tables] if texts_first else [*tables, *plain],
    }
    recipe = {"name": "spam", "languages": ["en", "sw"], "data": data}
    (folder / LAYOUT.recipe).write_text(yaml.safe_dump(recipe), encoding="utf-8")
    edit_manifest(folder, metrics={"split": "test", "rows": 15})
    with closing(Engine(backbone, precision="fp32", slots=2)) as engine:
        (found,) = gather(engine, [folder])
        engine.add(folder)
        for language, texts in TEXTS.items():
            answers = engine.answer([Row("spam", text) for text in texts])
            predicted = np.array([a.label for a in answers if isinstance(a, Classified)])
            wanted = round(macro_f1(np.array([labels[text] for text in texts]), predicted), 1)
            assert (found["parts"][language]["rows"], found["parts"][language]["adapter"]) == (
                6,
                wanted,
            ), language
    assert set(found["parts"]) == set(TEXTS), "text with one label is no language of its own"
