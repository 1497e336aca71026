"""How well taggers tag rows of other languages, answered by the engine (int8) as a server would.

    POLYGRAFT_DATA=... python tests/bench/tagging.py [--adapters ner ner-sw pos-sd] [--crf]

Names: tests of MasakhaNER 2 in all languages that the adapter was not trained on and in those it
was, and English of UNER, which has no dates: there, dates that are answered are not counted. Parts
of speech: tests of UD. The figure is entity F1 (seqeval, strict) or accuracy with a 95% interval
over sentences. `--crf` scores a CRF on hand features beside it, trained on the adapter's own
training rows. JSON line last.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from polygraft import offline
from polygraft.adapters.format import LAYOUT
from polygraft.adapters.library import BUNDLED
from polygraft.architectures.folder import default_backbone
from polygraft.reporting.intervals import bootstrap
from polygraft.runtime.engine import Engine
from polygraft.runtime.rows import Row
from polygraft.tasks.tagging.crf import crf_tags
from polygraft.tasks.tagging.data import read_split
from polygraft.tasks.tagging.manifest import TaggingManifest
from polygraft.tasks.tagging.metrics import METRIC, counts_of
from polygraft.tasks.tagging.reading import read_tagged
from polygraft.tasks.tagging.recipe import TaggingDataRecipe
from polygraft.tasks.tagging.rows import TaggedRow
from polygraft.tasks.tagging.scheme import OUTSIDE, Scheme, repaired, split_tag
from polygraft.tasks.tagging.serving import Tagged

CODES = ("ha", "ig", "pcm", "sw", "yo", "rw", "sn", "xh", "lg")
NAMES = {code: f"masakhaner2/{code}.test.jsonl.gz" for code in CODES}
NAMES |= {"en": "uner_en_ewt/en.test.jsonl.gz"}
SPEECH = {code: f"ud_pos/{code}.test.jsonl.gz" for code in ("sd", "ur", "id", "yo")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--adapters", nargs="+", default=["ner", "ner-sw", "pos-sd"])
    parser.add_argument("--library", type=Path, default=BUNDLED)
    parser.add_argument("--crf", action="store_true")
    options = parser.parse_args()
    results = list[dict[str, Any]]()
    with closing(Engine(default_backbone(), threads=1)) as engine:
        for name in options.adapters:
            folder = options.library / name
            manifest = offline.load(engine, folder)
            assert isinstance(manifest, TaggingManifest)
            results += figures_of(engine, manifest, folder, with_crf=options.crf)
    print(json.dumps({"bench": "tagging", "results": results}))


def figures_of(
    engine: Engine, manifest: TaggingManifest, folder: Path, *, with_crf: bool
) -> list[dict[str, Any]]:
    """Of one adapter, on every test that has its kind of tags."""
    tests = SPEECH if manifest.scheme == "none" else NAMES
    home, found = Path(os.environ["POLYGRAFT_DATA"]), []
    for language, file in tests.items():
        rows = [
            TaggedRow.of(row.tokens, repaired(row.tags, manifest.scheme))
            for row in read_tagged(str(home / file), TaggingDataRecipe(train="", dev="")).rows
        ]
        answered = {"adapter": tagged(engine, manifest, rows)}
        if with_crf:
            train = read_split(folder / LAYOUT.recipe, "train") or []
            answered["crf"] = crf_tags(train, rows, manifest.scheme)
        for kind, tags in answered.items():
            figure = figure_of(rows, tags, manifest.scheme)
            found.append(
                {
                    "adapter": manifest.name,
                    "by": kind,
                    "language": language,
                    "trained_on": language in manifest.languages,
                    "rows": len(rows),
                    **figure,
                }
            )
            print(json.dumps(found[-1]), flush=True)
    return found


def tagged(engine: Engine, manifest: TaggingManifest, rows: Sequence[TaggedRow]) -> list[list[str]]:
    """The tags of the rows' tokens, of what the engine answers to their texts."""
    answers = engine.answer([Row(manifest.name, row.text) for row in rows])
    return [_token_tags(row, answer) for row, answer in zip(rows, answers, strict=True)]


def _token_tags(row: TaggedRow, answer: object) -> list[str]:
    if not isinstance(answer, Tagged):
        raise SystemExit(f"{row.text!r}: {answer}")
    starts = np.cumsum([0, *(len(token) + 1 for token in row.tokens)]).tolist()
    tags = [OUTSIDE] * len(row.tokens)
    for tag in reversed(answer.tags):  # of a token's words the first counts
        touched = [i for i in range(len(row.tokens)) if tag.start <= starts[i] < tag.end]
        if not answer.spans:
            for place in touched:
                tags[place] = tag.label
        for place in touched if answer.spans else []:
            tags[place] = f"{'B' if place == touched[0] else 'I'}-{tag.label}"
    return tags


def figure_of(
    rows: Sequence[TaggedRow], tags: Sequence[Sequence[str]], scheme: Scheme
) -> dict[str, float]:
    """The figure and its interval; labels that gold has nowhere are not counted."""
    known = {split_tag(tag)[1] for row in rows for tag in row.tags}
    if scheme != "none":
        tags = [[tag if split_tag(tag)[1] in known else OUTSIDE for tag in row] for row in tags]
    counts = counts_of([row.tags for row in rows], tags, scheme)
    return bootstrap(np.arange(len(rows)), [counts], METRIC).record()


if __name__ == "__main__":
    main()
