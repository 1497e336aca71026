"""Rows of every kind while versions of adapters come and go: is each answer what the version that
it names gives alone, and is none lost?

    python tests/bench/soak.py [--rows 100000] [--seconds 3600] [--clients 8]
        [--backbone DIR] [--library DIR]

Clients send requests of mixed rows through the HTTP app, some of which name an alias; a changer
adds versions of an adapter, as the champion or as its candidate, makes that a canary and a shadow,
promotes it, rolls back, evicts what is in memory, or takes the adapter out. At the end every
version is loaded again by itself, and each answer is compared with what the version it names gives
to that text alone: labels equal, scores within 1e-3, translations equal. Every slot must have been
given back. Exit status 1 when anything is wrong or lost. JSON line last.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from safetensors.numpy import load_file, save_file

from polygraft.adapters.format import HASHED, LAYOUT, Manifest, load_manifest, sha256
from polygraft.adapters.library import BUNDLED, Library, pack
from polygraft.adapters.pointer import Canary, Route, Shadow
from polygraft.architectures.folder import default_backbone
from polygraft.errors import InvalidOption, PolygraftError, UnknownAdapter
from polygraft.runtime.engine import Engine
from polygraft.runtime.rows import Answer, Row
from polygraft.serve.app import create_app
from polygraft.serve.host import Host
from polygraft.tasks.classification.serving import Classified
from polygraft.tasks.translation.manifest import TranslationManifest
from polygraft.tasks.translation.serving import Translated

TOLERANCE = 1e-3
CHANGES = (
    *("removed", "added", "added", "candidate", "candidate", "routed", "routed"),
    *("promoted", "promoted", "rolled back", "evicted"),
)
TEXTS = {
    "classification": [
        "URGENT! You have won a 2000 prize. Call 09061701461 now to claim",
        "See you at lunch, mum",
        "ok",
        "Iyo pesa itume kwenye namba hii 0657538690 jina litakuja Magomba Maila",
        "The team won the cup after extra time",
        "Gana un premio hoy mismo, responde SI al 80082",
        "Parliament passed the budget on Tuesday after a long debate",
        "Ọjọ́ dára púpọ̀ lónìí",
        "FREE entry in a weekly competition! Text WIN to 87121",
        "Nitakupigia baadaye",
    ],
    "translation": [
        "Good morning.",
        "The market opens at nine.",
        "Where is the hospital?",
        "My friend is late.",
    ],
}


@dataclass
class Seen:
    """What came back: how many rows of each kind, and the different answers to each (adapter,
    version, text)."""

    counts: Counter[str] = field(default_factory=Counter)
    answers: dict[tuple[str, str, str], list[dict[str, Any]]] = field(default_factory=dict)

    def add(self, text: str, result: Mapping[str, Any]) -> None:
        if "error" in result:
            self.counts[result["error"]["code"]] += 1
            return
        self.counts["answered"] += 1
        same = self.answers.setdefault((result["adapter"], result["version"], text), [])
        given = {
            k: v for k, v in result.items() if k in ("label", "score", "labels", "translation")
        }
        if given not in same:
            same.append(given)


def another_version(folder: Path, target: Path, factor: float) -> Path:
    """A true adapter of the same name with other weights: B times `factor`, near enough to 1 for
    its goldens."""
    shutil.copytree(folder, target)
    tensors = load_file(target / LAYOUT.weights)
    save_file(
        {k: v * np.float32(factor if "lora_B" in k else 1) for k, v in tensors.items()},
        target / LAYOUT.weights,
    )
    hashes = {n: sha256(target / n) for n in HASHED if (target / n).exists()}
    manifest = load_manifest(folder).model_copy(update={"files": hashes})
    (target / LAYOUT.manifest).write_text(manifest.model_dump_json(), encoding="utf-8")
    return target


class Soak:
    """`versions`: for each adapter that changes, the folders of its versions, the first of which
    the host serves."""

    def __init__(
        self,
        host: Host,
        versions: Mapping[str, Sequence[Path]],
        rows: int,
        clients: int,
        seconds: float,
    ) -> None:
        self.host, self.rows, self.clients, self.seed = host, rows, clients, 0
        self.until = time.perf_counter() + seconds
        self.archives = {
            name: [pack(folder) for folder in folders] for name, folders in versions.items()
        }
        self.manifests = {m.name: m for m in host.manifests() if m.task != "language"}
        self.tasks = {name: manifest.task for name, manifest in self.manifests.items()}
        self.seen, self.sent, self.changes, self.refused = Seen(), 0, Counter[str](), list[str]()

    async def run(self, app: Any) -> None:
        """Send the rows; raises for any answer that is not 200."""
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://soak", timeout=300
        ) as http:
            changer = asyncio.create_task(self._change())
            await asyncio.gather(
                *(self._client(http, random.Random(self.seed + i)) for i in range(self.clients))
            )
            changer.cancel()

    async def _client(self, http: httpx.AsyncClient, draw: random.Random) -> None:
        names = sorted(self.tasks)
        while self.sent < self.rows and time.perf_counter() < self.until:
            count = draw.choice((1, 2, 8, 32, 64))
            self.sent += count
            rows = []
            for _ in range(count):
                name = draw.choice(names)
                if (
                    self.tasks[name] == "translation" and draw.random() < 0.7
                ):  # these cost ten times as much
                    name = draw.choice([n for n in names if self.tasks[n] != "translation"])
                at = (
                    draw.choice(("", "", "@champion", "@candidate"))
                    if name in self.archives
                    else ""
                )
                row = {"adapter": name + at, "text": draw.choice(TEXTS[self.tasks[name]])}
                rows.append(row | from_english(self.manifests[name]))
            response = await http.post("/v1/batch", json={"rows": rows})
            if response.status_code != 200:
                raise AssertionError(f"{response.status_code}: {response.text[:500]}")
            results = response.json()["results"]
            self.seen.counts["lost"] += len(rows) - len(results)
            for row, result in zip(rows, results, strict=False):
                self.seen.add(row["text"], result)

    async def _change(self) -> None:
        draw = random.Random(self.seed)
        while True:
            name, change = draw.choice(sorted(self.archives)), draw.choice(CHANGES)
            try:
                await asyncio.to_thread(self._make, change, name, draw.choice(self.archives[name]))
                self.changes[change] += 1
            except PolygraftError as error:
                # removed before; no candidate yet; no champion to roll back to
                if not isinstance(error, UnknownAdapter | InvalidOption):
                    self.refused.append(str(error))
            await asyncio.sleep(draw.random() * 0.1)

    def _make(self, change: str, name: str, archive: bytes) -> None:
        rollout = self.host.rollout
        if change == "removed":
            self.host.remove(name)
        elif change == "added":
            self.host.add(archive)
        elif change == "candidate":
            self.host.add(archive, alias="candidate")
        elif change == "routed":
            route = Route(canary=Canary(weight=0.3), shadow=Shadow())
            rollout.route(name, route, {}, who="soak")
        elif change == "promoted":
            rollout.promote(name, who="soak")
        elif change == "rolled back":
            rollout.roll_back(name, who="soak")
        else:
            for loaded in self.host.engine.adapters.resident()[:3]:
                self.host.engine.adapters.evict(loaded.adapter.name, loaded.adapter.version)


def from_english(manifest: Manifest) -> dict[str, str]:
    """What a row says of its languages: an adapter with several directions wants to be told
    which."""
    directions = manifest.directions if isinstance(manifest, TranslationManifest) else []
    target = next((target for source, target in directions if source == "en"), None)
    return {} if target is None else {"language": "en", "target": target}


def alone(engine: Engine, folder: Path, texts: Sequence[str]) -> dict[str, Answer]:
    """What the version in `folder` gives to each text by itself, in an engine with nothing else to
    do."""
    manifest = engine.add(folder)
    found: dict[str, Answer] = {}
    for text in texts:
        (answer,) = engine.answer([Row(manifest.name, text, **from_english(manifest))])
        if isinstance(answer, PolygraftError):
            raise answer
        found[text] = answer
    return found


def wrong(given: Mapping[str, Any], expected: Answer) -> float | None:
    """How far a score is off; None: another label or translation."""
    if isinstance(expected, Translated):
        return 0.0 if given["translation"] == expected.text else None
    assert isinstance(expected, Classified)
    scores = {x.label: x.score for x in expected.labels}
    off = max(abs(x["score"] - scores[x["label"]]) for x in given["labels"])
    near_tie = abs(scores[given["label"]] - expected.score) <= TOLERANCE
    return off if given["label"] == expected.label or near_tie else None


def soak(
    backbone: Path,
    library: Path,
    versions: Mapping[str, Sequence[Path]],
    *,
    rows: int,
    clients: int,
    seconds: float = 3600,
    precision: str = "int8",
) -> dict[str, Any]:
    """`library` is changed. `versions`: see `Soak`."""
    started = time.perf_counter()
    with closing(Engine(backbone, precision=precision)) as engine:
        host = Host(engine, Library(library))
        if host.refused:
            raise AssertionError(f"refused: {host.refused}")
        others = {m.name: library / m.name for m in host.manifests() if m.name not in versions}
        kept = {
            name: Path(shutil.copytree(folder, Path(library).parent / "kept" / name))
            for name, folder in others.items()
        }
        run = Soak(host, versions, rows, clients, seconds)
        asyncio.run(run.run(create_app(lambda: host)))
        seconds = time.perf_counter() - started
        host.rollout.close()
        while engine.leases or engine.admission.under_way:
            time.sleep(0.01)
        for manifest in list(host.manifests()):
            host.remove(manifest.name)
        free = engine.bank.free == engine.bank.capacity and (
            engine.writer is None or engine.writer.bank.free == engine.writer.bank.capacity
        )
    expected: dict[tuple[str, str, str], Answer] = {}
    folders = [*kept.values(), *(folder for some in versions.values() for folder in some)]
    for folder in sorted(folders, key=lambda f: load_manifest(f).task != "language"):
        with closing(Engine(backbone, precision=precision)) as engine:
            manifest = load_manifest(folder)
            for named in manifest.stack:
                engine.add(kept[named.split("@")[0]])
            texts = [
                text
                for name, version, text in run.seen.answers
                if (name, version) == (manifest.name, manifest.version)
            ]
            found = alone(engine, folder, texts) if texts else {}
            expected |= {
                (manifest.name, manifest.version, text): answer for text, answer in found.items()
            }
    off = [
        wrong(given, expected[key])
        for key, answers in run.seen.answers.items()
        for given in answers
    ]
    outcomes = dict(run.seen.counts)
    return {
        "benchmark": "soak",
        "rows": run.sent,
        "answered": outcomes.pop("answered", 0),
        "lost": outcomes.pop("lost", 0),
        "wrong": sum(o is None or o > TOLERANCE for o in off),
        "largest_score_difference": max((o or 0 for o in off), default=0),
        "different_answers_compared": len(off),
        "other_outcomes": outcomes,
        "changes": dict(run.changes),
        "refused": run.refused[:3],
        "slots_given_back": free,
        "seconds": round(seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3600, help="send no more after so long")
    parser.add_argument("--backbone", type=Path, default=default_backbone())
    parser.add_argument("--library", type=Path, default=BUNDLED)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        copy = Path(
            shutil.copytree(
                options.library,
                Path(name) / "library",
                ignore=shutil.ignore_patterns(".*", "study"),
            )
        )
        made = Path(name) / "versions"
        versions = {
            adapter: [
                Path(shutil.copytree(copy / adapter, made / "as-it-is" / adapter)),
                *(
                    another_version(copy / adapter, made / str(factor) / adapter, factor)
                    for factor in (0.9, 1.1)
                ),
            ]
            for adapter in ("spam-en", "spam-sw", "topic")
        }
        result = soak(
            options.backbone,
            copy,
            versions,
            rows=options.rows,
            clients=options.clients,
            seconds=options.seconds,
        )
    print(json.dumps(result))
    sys.exit(
        bool(
            result["wrong"] or result["lost"] or result["refused"] or not result["slots_given_back"]
        )
    )


if __name__ == "__main__":
    main()
