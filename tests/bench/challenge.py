"""The spam adapters on messages of today that none of them was trained on, TF-IDF beside them.

    POLYGRAFT_DATA=... python tests/bench/challenge.py [ADAPTER ...]

Every adapter answers every language of `tests/data/spam_challenge`, as the server would; TF-IDF is
the ladder's tuned one, on the adapter's own training rows with the parent's and the source's beside
them, altered copies included (left out where the corpora are not at hand). "Caught" is the share of
spam that is called so, "blocked" the share of ham. JSON line last.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from polygraft.adapters.format import LAYOUT
from polygraft.adapters.library import BUNDLED
from polygraft.architectures.folder import default_backbone
from polygraft.data.splits import Split
from polygraft.errors import DataError, RecipeError
from polygraft.reporting.intervals import bootstrap
from polygraft.runtime.engine import Engine
from polygraft.runtime.rows import Row
from polygraft.tasks.classification.job import ClassificationJob, prepare
from polygraft.tasks.classification.metrics import macro_f1
from polygraft.tasks.classification.recipe import ClassificationRecipe
from polygraft.tasks.classification.serving import Classified
from polygraft.tasks.classification.tfidf import tuned_tfidf
from polygraft.tasks.recipe import load_recipe

MESSAGES = Path(__file__).parents[1] / "data" / "spam_challenge" / "messages.jsonl"
ADAPTERS = ("spam-en", "spam-es", "spam-sw", "spam-hi")


def figures(gold: Sequence[str], answers: Sequence[str]) -> dict[str, Any]:
    """Macro-F1 with its interval, and the shares of spam and ham that were called spam; percent."""
    called = {
        label: [a == "spam" for g, a in zip(gold, answers, strict=True) if g == label]
        for label in ("spam", "ham")
    }
    return {
        "macro_f1": bootstrap(gold, [list(answers)], macro_f1).record(),
        "caught": round(100 * sum(called["spam"]) / len(called["spam"]), 1),
        "blocked": round(100 * sum(called["ham"]) / len(called["ham"]), 1),
    }


def training_rows(folder: Path, backbone: Path) -> Split | None:
    """What the adapter in `folder` learnt from; None where it cannot be read here."""
    recipe = load_recipe(folder / LAYOUT.recipe)
    assert isinstance(recipe, ClassificationRecipe)
    try:
        job: ClassificationJob = prepare(recipe, folder / LAYOUT.recipe, backbone)
    except (DataError, RecipeError):
        return None
    rows = job.train_rows(0)
    for more in (job.source_rows, job.parent_rows):
        if isinstance(more, Split):
            rows = replace(
                rows,
                texts=rows.texts + more.texts,
                labels=rows.labels + more.labels,
                ids=[],
                others=[],
                origins=[],
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("adapters", nargs="*", default=ADAPTERS)
    names = parser.parse_args().adapters
    lines = MESSAGES.read_text(encoding="utf-8").splitlines()
    messages = [json.loads(line) for line in lines]
    texts = [message["text"] for message in messages]
    engine = Engine(default_backbone())
    results: dict[str, Any] = {}
    for name in names:
        folder = BUNDLED / name
        engine.add(folder)
        answered = engine.answer([Row(name, text) for text in texts])
        answers = {
            "adapter": [one.label if isinstance(one, Classified) else "" for one in answered]
        }
        if rows := training_rows(folder, default_backbone()):
            answers["tfidf"] = tuned_tfidf(rows, texts)
        results[name] = {}
        for language in dict.fromkeys(message["language"] for message in messages):
            places = [i for i, m in enumerate(messages) if m["language"] == language]
            gold = [messages[i]["label"] for i in places]
            results[name][language] = {
                by: figures(gold, [given[i] for i in places]) for by, given in answers.items()
            }
            for by, figure in results[name][language].items():
                f1 = figure["macro_f1"]
                print(
                    f"{name:10} {language:4} {by:8} macro-F1 {f1['value']:5.1f} "
                    f"[{f1['low']:.1f}, {f1['high']:.1f}]  caught {figure['caught']:5.1f}%  "
                    f"blocked {figure['blocked']:5.1f}%",
                    flush=True,
                )
    engine.close()
    print(json.dumps(results))


if __name__ == "__main__":
    main()
