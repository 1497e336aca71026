"""More adapters than slots: 2,000 registered, asked for by Zipf's law.

    python tests/bench/many.py [--adapters 2000] [--slots 128] [--rows 6000] [--exponent 1.0]

Copies of a bundled classifier, each with weights of its own in two slots, are registered with a
host; single rows and batches ask for them, the k-th with a chance of 1 / k^exponent. Measured:
seconds until the host is there; throughput in batches of 32 mixed rows beside that of one adapter,
in turns; milliseconds of a single row whose adapter is resident, and of one that has to be loaded
from the library or from the packed ones; memory of the process. Every 50th answer is compared with
the adapter's own. Prints one JSON line; exit status 1 when one is wrong.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from safetensors.numpy import load_file, save_file

from polygraft.adapters.format import HASHED, LAYOUT, load_adapter, load_manifest, sha256
from polygraft.adapters.library import BUNDLED, Library
from polygraft.architectures.folder import BackboneFiles, default_backbone
from polygraft.rollout.proofs import Proofs
from polygraft.runtime.engine import Engine
from polygraft.runtime.rows import Row
from polygraft.serve.host import Host
from polygraft.serve.settings import Settings
from polygraft.tasks.classification.serving import Classified

SOURCE, BATCH = "questions-en", 32
TOLERANCE = 1e-3


def make(root: Path, count: int) -> list[str]:
    """Adapters named a0000 and so on, each with small random LoRA, so that each has its own
    scores."""
    source = BUNDLED / SOURCE
    tensors, manifest = load_file(source / LAYOUT.weights), load_manifest(source)
    names = [f"a{i:04}" for i in range(count)]
    for i, name in enumerate(names):
        folder = root / name
        folder.mkdir(parents=True)
        for file in (LAYOUT.peft_config, LAYOUT.head):
            shutil.copy(source / file, folder)
        rng = np.random.default_rng(i)
        save_file(
            {k: rng.normal(0, 0.01, v.shape).astype(np.float32) for k, v in tensors.items()},
            folder / LAYOUT.weights,
        )
        hashes = {n: sha256(folder / n) for n in HASHED}
        own = manifest.model_copy(update={"name": name, "files": hashes})
        (folder / LAYOUT.manifest).write_text(own.model_dump_json(), encoding="utf-8")
    return names


def start(root: Path, slots: int, proofs: Path) -> tuple[Host, float]:
    """With all goldens remembered: random weights have none that are theirs."""
    backbone = default_backbone()
    remembered = Proofs(proofs, [BackboneFiles(backbone).model("int8")])
    for folder in root.iterdir():
        remembered.add(load_manifest(folder))
    began = time.perf_counter()
    host = Host(Engine(backbone, slots=slots), Library(root), Settings(), remembered)
    return host, time.perf_counter() - began


def texts(count: int, seed: int) -> list[str]:
    """Short questions, no two alike, so that nothing is answered from the cache."""
    words = ["where", "when", "how", "much", "is", "the", "train", "market", "card", "bank"]
    rng = np.random.default_rng(seed)
    return [" ".join([*rng.choice(words, 10), str(i)]) for i in range(count)]


def throughput(host: Host, names: list[str], seed: int) -> float:
    """Rows a second, in batches."""
    asked = texts(len(names), seed)
    began = time.perf_counter()
    for at in range(0, len(names), BATCH):
        rows = [
            Row(n, t) for n, t in zip(names[at : at + BATCH], asked[at : at + BATCH], strict=True)
        ]
        for answer in host.rollout.dispatcher.answer(rows):
            assert isinstance(answer, Classified), answer
    return len(names) / (time.perf_counter() - began)


def milliseconds(host: Host, name: str, text: str) -> float:
    began = time.perf_counter()
    (answer,) = host.rollout.dispatcher.answer([Row(name, text)])
    assert isinstance(answer, Classified), answer
    return 1000 * (time.perf_counter() - began)


def singles(host: Host, names: list[str], seed: int) -> dict[str, dict[str, float]]:
    """Of one row at a time, by where its adapter was."""
    found: dict[str, list[float]] = {"resident": [], "warm": [], "cold": []}
    for name, text in zip(names, texts(len(names), seed), strict=True):
        key = (name, host.rollout.names.get(name).champion)
        if host.rollout.tiers.holds(key):
            where = "resident"
        else:
            where = "warm" if host.rollout.tiers.packed.get(key) else "cold"
        found[where].append(milliseconds(host, name, text))
    return {
        where: {
            "rows": len(some),
            "p50": round(float(np.quantile(some, 0.5)), 2),
            "p99": round(float(np.quantile(some, 0.99)), 2),
        }
        for where, some in found.items()
        if some
    }


def wrong(host: Host, names: list[str], root: Path) -> int:
    """Answers that are not what the adapter gives in an engine of its own."""
    count, asked = 0, texts(len(names), 99)
    given = host.rollout.dispatcher.answer([Row(n, t) for n, t in zip(names, asked, strict=True)])
    with closing(Engine(default_backbone(), slots=2)) as engine:
        for name, text, answer in zip(names, asked, given, strict=True):
            engine.adapters.place(load_adapter(root / name), proved=True)
            engine.adapters.point(name, load_manifest(root / name).version)
            (alone,) = engine.answer([Row(name, text)])
            engine.remove(name)
            assert isinstance(alone, Classified)
            same = isinstance(answer, Classified) and answer.label == alone.label
            count += not (same and abs(answer.score - alone.score) < TOLERANCE)  # type: ignore[union-attr]
    return count


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--adapters", type=int, default=2_000)
    parser.add_argument("--slots", type=int, default=128)
    parser.add_argument("--rows", type=int, default=6_000)
    parser.add_argument("--exponent", type=float, default=1.0)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        root, proofs = Path(folder) / "library", Path(folder) / "proofs"
        names = make(root, options.adapters)
        host, seconds = start(root, options.slots, proofs)
        chances = 1 / np.arange(1, len(names) + 1) ** options.exponent
        order = rng.permutation(names)
        drawn = [str(n) for n in rng.choice(order, options.rows, p=chances / chances.sum())]
        throughput(host, drawn[:640], 1)
        one, mixed = list[float](), list[float]()
        for turn in range(3):  # in turns: others use the machine too
            part = drawn[turn * options.rows // 3 : (turn + 1) * options.rows // 3]
            one.append(throughput(host, [str(order[0])] * len(part), 10 + turn))
            mixed.append(throughput(host, part, 20 + turn))
        result: dict[str, Any] = {
            "benchmark": "many",
            "adapters": len(names),
            "slots": options.slots,
            "rows": options.rows,
            "start_s": round(seconds, 2),
            "one_adapter_rows_s": round(float(np.median(one)), 1),
            "zipf_rows_s": round(float(np.median(mixed)), 1),
            "share": round(float(np.median(np.array(mixed) / np.array(one))), 3),
            "single_row_ms": singles(host, drawn[: options.rows // 3], 30),
            "loads": host.rollout.tiers.loads,
            "memory_mib": round(psutil.Process().memory_info().rss / 2**20),
            "wrong": wrong(host, [*drawn[::50]], root),
        }
        host.close()
    print(json.dumps(result))
    return 1 if result["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
