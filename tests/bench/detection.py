"""How well `/detect` tells languages: words, phrases and sentences, of languages that the detector
has a label for, of those it read as "other", and of those it never saw.

    POLYGRAFT_DATA=... python tests/bench/detection.py

Texts are lines of SIB-200 that the recipe of `langid` does not read, 20 a language and kind; a word
is one, a phrase two to four in a row. "Right" of a language without a label is that no language is
named; "unknown" is the share for which none is named, "wrong" that which gets a wrong name,
"confidently wrong" with a score over 0.9. JSON line last.
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

from polygraft.adapters.format import LAYOUT
from polygraft.adapters.library import BUNDLED
from polygraft.architectures.folder import default_backbone
from polygraft.data.reading import read_lines
from polygraft.runtime.engine import Engine
from polygraft.runtime.rows import Row
from polygraft.serve.languages import OTHER, UNDETERMINED, languages_of
from polygraft.tasks.classification.recipe import ClassificationRecipe, LabelledText
from polygraft.tasks.classification.serving import Classified
from polygraft.tasks.recipe import load_recipe

KINDS = {"word": (1, 1), "phrase": (2, 4), "sentence": (10_000, 10_000)}
LINES, FIRST = 20, 7  # lines of a file, and where they start: between those that the recipe reads


def groups() -> dict[str, list[tuple[str, str]]]:
    """(language, file) of the languages with a label, of those read as "other", and of those that
    are "other" among the test rows alone."""
    recipe = load_recipe(BUNDLED / "langid" / LAYOUT.recipe)
    assert isinstance(recipe, ClassificationRecipe)
    found: dict[str, list[tuple[str, str]]] = {"known": [], "read as other": [], "never seen": []}
    for split, group in ((recipe.data.train, "read as other"), (recipe.data.test, "never seen")):
        for source in split or []:
            if not isinstance(source, LabelledText):
                continue
            files = [one.file for one in source.files if "sib200" in one.file]
            name = group if source.label == OTHER else "known"
            found[name] += [(source.label, file) for file in files]
    found["read as other"] = found["read as other"][:: len(found["read as other"]) // 20]
    return found


def texts_of(file: str, kind: str, rng: random.Random) -> list[str]:
    """`LINES` words, phrases or sentences of a file."""
    lines = [line for line in read_lines(file, Path()) if line]
    texts = []
    for line in lines[FIRST :: len(lines) // LINES][:LINES]:
        words, count = line.split(), rng.randint(*KINDS[kind])
        start = rng.randrange(max(1, len(words) - count + 1))
        text = " ".join(words[start : start + count]).strip(".,;:!?\"'()")
        if any(c.isalpha() for c in text):
            texts.append(text)
    return texts


def main() -> None:
    if "POLYGRAFT_DATA" not in os.environ:
        raise SystemExit("POLYGRAFT_DATA is not set; give the folder of the public data")
    engine, rng = Engine(default_backbone()), random.Random(0)
    engine.add(BUNDLED / "langid")
    results: dict[str, Any] = {}
    for group, files in groups().items():
        for kind in KINDS:
            rows = [(label, text) for label, file in files for text in texts_of(file, kind, rng)]
            right = unknown = wrong = confident = 0
            for (label, text), answer in zip(
                rows, engine.answer([Row("langid", text, top_k=3) for _, text in rows]), strict=True
            ):
                assert isinstance(answer, Classified)
                best = languages_of(answer.labels, text)[0]
                wanted = UNDETERMINED if label == OTHER else label
                right += best.language == wanted
                unknown += best.language == UNDETERMINED
                named_wrongly = best.language not in (wanted, UNDETERMINED)
                wrong += named_wrongly
                confident += named_wrongly and best.confidence > 0.9
            shares = {
                name: round(100 * count / len(rows), 1)
                for name, count in (
                    ("right", right),
                    ("unknown", unknown),
                    ("wrong", wrong),
                    ("confidently wrong", confident),
                )
            }
            results[f"{group}, {kind}"] = shares | {"rows": len(rows)}
            print(
                f"{group:14} {kind:9} {len(rows):4} rows: "
                + ", ".join(f"{name} {share:5.1f}%" for name, share in shares.items()),
                flush=True,
            )
    engine.close()
    print(json.dumps(results))


if __name__ == "__main__":
    main()
