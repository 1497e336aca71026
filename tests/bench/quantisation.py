"""What int8 costs and what it promises: figures of every bundled adapter, and answers alone
against answers in company.

    POLYGRAFT_DATA=... python tests/bench/quantisation.py [--against BACKBONE_DIR]
        [--rows 500] [--neighbours 10000]

**Quality**: macro-F1 of each classifier on `--rows` of its recipe's test rows, chrF++ of each
translation adapter on two fifths as many dev sentences a direction; with `--against` also by
the int8 graphs of another copy of the backbone, usually those of the version before, and the
difference.

**Neighbours**: `--neighbours` rows, nine of ten classified, are answered alone and again in
batches of 2 to 32 rows with adapters, lengths and tasks mixed, so that most are padded, beside
rows of an adapter whose B was multiplied by 1000. Every row should keep its label and its
translation, and its score within 1e-3. JSON line last.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from polygraft.adapters.format import LAYOUT, Adapter, load_adapter
from polygraft.adapters.library import BUNDLED
from polygraft.architectures.folder import BackboneFiles, default_backbone
from polygraft.architectures.target_tokenizer import load_target_tokenizer
from polygraft.architectures.text import Encoded, load_encoder
from polygraft.data.reading import thinned
from polygraft.runtime.bank import Bank
from polygraft.runtime.decode import DecoderBatch, DecodeRequest, DecoderSession
from polygraft.runtime.graph import GraphSession, Stack, load_card, mixture
from polygraft.runtime.search import Search
from polygraft.tasks.classification.data import read_split
from polygraft.tasks.classification.manifest import ClassificationManifest
from polygraft.tasks.classification.metrics import macro_f1
from polygraft.tasks.classification.serving import softmax
from polygraft.tasks.recipe import load_recipe
from polygraft.tasks.translation import segments
from polygraft.tasks.translation.data import Pair, load_pairs
from polygraft.tasks.translation.manifest import TranslationManifest
from polygraft.tasks.translation.metrics import scores
from polygraft.tasks.translation.recipe import TranslationRecipe

HOSTILE = "hostile"
BATCH, TRANSLATED_SHARE, MOST_TOKENS = 32, 0.1, 60


@dataclass(frozen=True)
class Asked:
    """One text for one adapter; `target` is the language to write, None for a classifier."""

    adapter: str
    row: Encoded
    target: str | None = None


@dataclass(frozen=True)
class Classified:
    label: str
    score: float
    sure: float  # how far the score lies above the second label's


class Served:
    """A backbone's int8 graphs and adapters in banks; `hostile` is the first translator with its B
    times 1000."""

    def __init__(self, backbone: Path, folders: Sequence[Path]) -> None:
        files, self.card, self.encoder = (
            BackboneFiles(backbone),
            load_card(backbone),
            load_encoder(backbone),
        )
        assert self.card.decoder, "the backbone has no decoder"
        self.session, self.bank = (
            GraphSession(files.model("int8")),
            Bank(self.card.sites, 128),
        )
        self.decoder = DecoderSession(files.cross("int8"), files.step("int8"), self.card.decoder)
        self.decoder_bank, self.pieces = (
            Bank(self.card.decoder.sites, 128),
            load_target_tokenizer(backbone),
        )
        self.adapters: dict[str, Adapter] = {}
        self.stacks: dict[str, Stack] = {}
        self.decoder_stacks: dict[str, Stack] = {}
        for folder in folders:
            self._load(load_adapter(folder), folder.name, 1)
        translator = next(f for f in folders if self.adapters[f.name].writes)
        self._load(load_adapter(translator), HOSTILE, 1000)

    def _load(self, adapter: Adapter, name: str, times: float) -> None:
        self.adapters[name] = adapter
        under = [
            part for named in adapter.manifest.stack for part in self.stacks[named.split("@")[0]]
        ]
        for bank, lora, stacks in (
            (self.bank, adapter.lora, self.stacks),
            (self.decoder_bank, adapter.decoder_lora, self.decoder_stacks),
        ):
            scaled = {site: (a, b * np.float32(times)) for site, (a, b) in lora.items()}
            stacks[name] = [(slot, 1.0) for slot in bank.write(scaled, name)] if lora else []
        self.stacks[name] = [*under, *self.stacks[name]]

    def answer(self, asked: Sequence[Asked]) -> list[Classified | list[int]]:
        """Labels with scores, or written tokens, of one batch."""
        batch = self.encoder.pad([a.row for a in asked]) | mixture(
            [self.stacks[a.adapter] for a in asked]
        )
        pooled, states = self.session.run_both(batch, self.bank)
        texts = {
            i: DecodeRequest(
                states[i],
                self.decoder_stacks[a.adapter],
                self.pieces.start(a.target),
                Search(),
                min(self.pieces.most(len(a.row)), MOST_TOKENS),
            )
            for i, a in enumerate(asked)
            if a.target
        }
        written = self._write(list(texts.values())) if texts else {}
        return [
            written[id(texts[i])] if i in texts else self._classified(a.adapter, vector)
            for i, (a, vector) in enumerate(zip(asked, pooled, strict=True))
        ]

    def _classified(self, name: str, vector: np.ndarray) -> Classified:
        adapter = self.adapters[name]
        assert adapter.head is not None
        found = softmax(adapter.head.own.logits(vector[None]))[0]
        first, second = np.argsort(-found)[:2]
        return Classified(
            adapter.manifest.labels[first], float(found[first]), float(found[first] - found[second])
        )

    def _write(self, texts: list[DecodeRequest]) -> dict[int, list[int]]:
        batch, written = (
            DecoderBatch(self.decoder, self.decoder_bank, self.pieces.end),
            dict[int, list[int]](),
        )
        batch.add(texts)
        while batch.rows:
            written |= {id(text): hypotheses[0].tokens for text, hypotheses in batch.step()}
        return written

    def in_batches(self, asked: Sequence[Asked]) -> list[Classified | list[int]]:
        """The same for many, rows of like length together."""
        order, found = (
            sorted(range(len(asked)), key=lambda i: len(asked[i].row)),
            dict[int, Classified | list[int]](),
        )
        for first in range(0, len(order), BATCH):
            some = order[first : first + BATCH]
            found |= dict(zip(some, self.answer([asked[i] for i in some]), strict=True))
        return [found[i] for i in range(len(asked))]


def classifier_rows(folder: Path, most: int | None) -> tuple[list[str], list[str]]:
    """Texts and labels of the recipe's test rows (dev where there is no test)."""
    split = read_split(folder / LAYOUT.recipe, "test") or read_split(folder / LAYOUT.recipe, "dev")
    assert split, f"the rows of {folder.name} cannot be read; set POLYGRAFT_DATA"
    texts, labels = zip(
        *thinned(list(zip(split.texts, split.labels, strict=True)), most), strict=True
    )
    return list(texts), list(labels)


def pairs_of(folder: Path) -> dict[tuple[str, str], list[Pair]]:
    """Dev pairs by direction."""
    recipe = load_recipe(folder / LAYOUT.recipe)
    assert isinstance(recipe, TranslationRecipe)
    few = [
        one.model_copy(update={"limit": 50}) for one in recipe.data.train
    ]  # read, and compared with dev, for nothing
    data = recipe.data.model_copy(update={"train": few})
    dev = load_pairs(recipe.model_copy(update={"data": data}), folder).dev
    every = [*dev, *(p.reversed() for p in dev)]
    return {
        direction: [p for p in every if p.languages == direction] for direction in recipe.directions
    }


def classified_well(served: Served, name: str, texts: list[str], labels: list[str]) -> float:
    found = served.in_batches([Asked(name, row) for row in served.encoder.encode(texts)])
    return macro_f1(
        np.array(labels), np.array([f.label for f in found if isinstance(f, Classified)])
    )


def translated_well(
    served: Served, name: str, pairs: Sequence[Pair], direction: tuple[str, str]
) -> float:
    """chrF++, texts cut into sentences as the service does it."""
    fits = segments.fits(served.encoder)
    cut = [segments.split(pair.source, direction[0], fits) for pair in pairs]
    rows = served.encoder.encode(
        [piece.text for pieces in cut for piece in pieces if not piece.verbatim]
    )
    written = iter(served.in_batches([Asked(name, row, direction[1]) for row in rows]))
    joined = [
        segments.join(
            pieces, [served.pieces.decode(next(written)).strip() for p in pieces if not p.verbatim]
        )
        for pieces in cut
    ]
    return float(scores(joined, [pair.target for pair in pairs])["chrf++"])


def quality(places: dict[str, Served], folders: Sequence[Path], most: int) -> dict[str, Any]:
    """Of each adapter and direction: how many rows, and the figure by each of `places`."""
    found: dict[str, dict[str, Any]] = {}
    for folder in folders:
        manifest = places["ours"].adapters[folder.name].manifest
        if isinstance(manifest, TranslationManifest):
            for direction, pairs in pairs_of(folder).items():
                some = thinned(pairs, 2 * most // 5)
                figures = {
                    n: translated_well(s, folder.name, some, direction) for n, s in places.items()
                }
                found[f"{folder.name} {direction[0]}-{direction[1]}"] = {
                    "rows": len(some),
                    "measure": "chrf++",
                    **figures,
                }
        elif isinstance(manifest, ClassificationManifest):
            texts, labels = classifier_rows(folder, most)
            figures = {n: classified_well(s, folder.name, texts, labels) for n, s in places.items()}
            found[folder.name] = {"rows": len(texts), "measure": "macro-f1", **figures}
        else:
            continue
        for name, one in list(found.items()):
            if "printed" not in one:
                print(
                    name,
                    {k: round(v, 2) if isinstance(v, float) else v for k, v in one.items()},
                    flush=True,
                )
                one["printed"] = True
    for one in found.values():
        del one["printed"]
    return found


def mixed_rows(
    served: Served, folders: Sequence[Path], count: int, rng: np.random.Generator
) -> Iterator[Asked]:
    """Rows of all adapters in turn, those that translate a tenth of them."""
    sources: dict[str, list[Asked]] = {}
    for folder in folders:
        manifest = served.adapters[folder.name].manifest
        if isinstance(manifest, TranslationManifest):
            for (source, target), pairs in pairs_of(folder).items():
                fits = segments.fits(served.encoder)
                pieces = [
                    q.text
                    for p in thinned(pairs, 200)
                    for q in segments.split(p.source, source, fits)
                    if not q.verbatim
                ]
                rows = served.encoder.encode(pieces)
                sources[f"{folder.name} {target}"] = [
                    Asked(folder.name, row, target) for row in rows
                ]
        elif isinstance(manifest, ClassificationManifest):
            rows = served.encoder.encode(classifier_rows(folder, None)[0])
            sources[folder.name] = [Asked(folder.name, row) for row in rows]
    writing = [name for name, rows in sources.items() if rows[0].target]
    labelling = [name for name in sources if name not in writing]
    for _ in range(count):
        kind = writing if rng.random() < TRANSLATED_SHARE else labelling
        rows = sources[kind[rng.integers(len(kind))]]
        yield rows[rng.integers(len(rows))]


def neighbours(served: Served, folders: Sequence[Path], count: int) -> dict[str, Any]:
    """Alone against in company, one row at a time."""
    rng = np.random.default_rng(7)
    rows = list(mixed_rows(served, folders, count, rng))
    moved, padding = list[float](), list[int]()
    changed = {"labels": 0, "translations": 0}
    surest, translations, first = 0.0, 0, 0
    while first < len(rows):
        size = int(rng.integers(2, 33))
        batch = rows[first : first + size]
        first += size
        enemy = [
            Asked(HOSTILE, rows[rng.integers(len(rows))].row, target="en" if i else None)
            for i in range(2)
        ]
        places = rng.permutation(len(batch) + 2)
        together: list[Asked] = [(*batch, *enemy)[i] for i in places]
        asked = [a if a.adapter != HOSTILE else Asked(HOSTILE, a.row, "en") for a in together]
        answers = served.answer(asked)
        longest = max(len(a.row) for a in asked)
        for place, answer in zip(places, answers, strict=True):
            if place >= len(batch):
                continue
            one = batch[place]
            (alone,) = served.answer([one])
            if isinstance(alone, Classified):
                assert isinstance(answer, Classified)
                moved.append(
                    abs(alone.score - answer.score) if alone.label == answer.label else 1.0
                )
                padding.append(longest - len(one.row))
                if alone.label != answer.label:
                    changed["labels"] += 1
                    surest = max(surest, alone.sure)
            else:
                translations += 1
                changed["translations"] += alone != answer
        if first // 1000 != (first - size) // 1000:
            print(f"{first} rows: {changed}, moved by at most {max(moved):.2g}", flush=True)
    amounts = np.array(moved)
    by_padding = {
        f"{low} to {high - 1}": float(
            amounts[(np.array(padding) >= low) & (np.array(padding) < high)].max(initial=0)
        )
        for low, high in ((0, 1), (1, 16), (16, 64), (64, 512))
    }
    score_moved = {
        "median": np.median(amounts),
        "p99": np.quantile(amounts, 0.99),
        "max": amounts.max(),
    }
    return {
        "classified": len(moved),
        "translated": translations,
        "changed": changed,
        "beyond_1e-3": int((amounts > 1e-3).sum()),
        "score_moved": {name: float(value) for name, value in score_moved.items()},
        "largest_margin_of_a_changed_label": surest,
        "largest_move_by_padded_tokens": by_padding,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--backbone", type=Path, default=default_backbone())
    parser.add_argument(
        "--against",
        type=Path,
        help="another copy of the backbone, whose int8 graphs are measured too",
    )
    parser.add_argument(
        "--rows",
        type=int,
        default=500,
        help="test rows of a classifier at most; 0 leaves quality out",
    )
    parser.add_argument("--neighbours", type=int, default=10_000, help="0 leaves them out")
    options = parser.parse_args()
    folders = sorted(f for f in BUNDLED.iterdir() if (f / LAYOUT.manifest).is_file())
    places = {"ours": Served(options.backbone, folders)}
    if options.against:
        places["against"] = Served(options.against, folders)
    record: dict[str, Any] = {
        "bench": "quantisation",
        "onnxruntime": onnxruntime.__version__,
        "cpus": os.cpu_count(),
    }
    if options.rows:
        record["quality"] = quality(places, folders, options.rows)
    if options.neighbours:
        record["neighbours"] = {
            n: neighbours(s, folders, options.neighbours) for n, s in places.items()
        }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
