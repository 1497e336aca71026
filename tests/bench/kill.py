"""kill -9 while adapters are published, replaced and purged: what is then in the library.

    python tests/bench/kill.py --tries 100

A child process publishes an uploaded adapter, points to another version of it, collects what
nothing points to, rolls back and purges, over and over; also one that lies beside training data. It
is killed after a random while. Then the library has to hold, as a reader finds it before anything
was mended and again after, pointers that lead to versions that are whole, each byte for byte as it
was published (of the purged one: or none), the data as it was, and after mending no scrap. Prints
one JSON line; exit status 1 when anything was broken.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from polygraft.adapters.format import HASHED, LAYOUT, load_adapter, load_manifest, sha256
from polygraft.adapters.library import Library, pack
from polygraft.adapters.pointer import added, rolled_back
from polygraft.errors import AdapterError
from polygraft.tasks.classification.manifest import ClassificationManifest, GoldenLogits

LONGEST = 0.08  # seconds; a round of the child takes about half of it
COMING, STAYING = "coming", "staying"


def write_adapter(folder: Path, seed: int) -> Path:
    """A small adapter of random numbers."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    sites = {
        f"base_model.model.layer.{i}.{name}": rng.normal(size=size)
        for i in range(4)
        for name, size in (("lora_A.weight", (8, 64)), ("lora_B.weight", (64, 8)))
    }
    save_file({k: v.astype(np.float32) for k, v in sites.items()}, folder / LAYOUT.weights)
    save_file(
        {"weight": np.ones((2, 64), np.float32), "bias": np.full(2, seed, np.float32)},
        folder / LAYOUT.head,
    )
    (folder / LAYOUT.peft_config).write_text(
        json.dumps({"peft_type": "LORA", "r": 8, "lora_alpha": 16, "seed": seed})
    )
    (folder / LAYOUT.card).write_text(f"# {seed}\n")
    if seed % 2:
        (folder / LAYOUT.recipe).write_text(f"seed: {seed}\n")
    manifest = ClassificationManifest(
        format=1,
        name=folder.name,
        backbone="0" * 16,
        languages=["en"],
        labels=["ham", "spam"],
        created="2026-01-01",
        data=[],
        metrics={},
        golden=[GoldenLogits(text=t, logits=[0, 1], bare=[1, 0]) for t in "abc"],
        files={name: sha256(folder / name) for name in HASHED},
    )
    (folder / LAYOUT.manifest).write_text(manifest.model_dump_json())
    return folder


def work(root: Path, archives: dict[str, list[bytes]]) -> None:
    """Change the library until killed."""
    library = Library(root)
    library.recover()
    while True:
        for version in (0, 1):
            for name in (COMING, STAYING):
                with library.unpack(archives[name][version]) as made:
                    named = load_manifest(made).version
                    library.publish(made)
                library.change(name, lambda now, named=named: added(now, named, "bench"))
            library.collect(grace=0, now=time.time() + 1)
        library.change(STAYING, lambda now: rolled_back(now, "bench"))
        library.delete(COMING)


def content(folder: Path) -> dict[str, bytes]:
    return {
        name: (folder / name).read_bytes() for name in LAYOUT.names() if (folder / name).is_file()
    }


def served(library: Library, name: str) -> bool:
    """Whether something points to a version, or one lies flat: else it was published just now."""
    flat = (library.root / name / LAYOUT.manifest).is_file()
    return flat or library.pointer(name).champion is not None


def broken(root: Path, versions: dict[str, list[str]], data: bytes) -> list[str]:
    """What is wrong in the library, for a reader."""
    found, library = [], Library(root)
    names = library.names()
    found += [] if set(names) <= {COMING, STAYING} and STAYING in names else [f"adapters {names}"]
    for name in names:
        if not served(library, name):
            continue
        try:
            version = load_adapter(library.folder(name)).version
            found += [] if version in versions.get(name, []) else [f"{name} has version {version}"]
        except AdapterError as error:
            found.append(str(error))
    return found + (
        [] if (root / STAYING / "train.jsonl").read_bytes() == data else ["the data changed"]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--tries", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, bad, what, started = random.Random(options.seed), 0, list[str](), time.monotonic()
    interrupted = {".staging-*": 0, ".publishing": 0}
    with tempfile.TemporaryDirectory() as name:
        base, data = Path(name), b'{"text": "x"}\n'
        made = {
            n: [write_adapter(base / f"made-{v}" / n, seed=v) for v in (1, 2)]
            for n in (COMING, STAYING)
        }
        archives = {n: [pack(folder) for folder in folders] for n, folders in made.items()}
        versions = {
            n: [load_adapter(folder).version for folder in folders] for n, folders in made.items()
        }
        whole = {n: [content(folder) for folder in folders] for n, folders in made.items()}
        root = base / "library"
        shutil.copytree(made[STAYING][0], root / STAYING)
        (root / STAYING / "train.jsonl").write_bytes(data)
        for number in range(options.tries):
            child = os.fork()
            if child == 0:
                work(root, archives)
            time.sleep(rng.uniform(0, LONGEST))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            for left in interrupted:
                interrupted[left] += bool(list(root.rglob(left)))
            wrong = broken(root, versions, data)
            Library(root).recover()
            wrong += [f"mended: {w}" for w in broken(root, versions, data)]
            wrong += [
                f"{n}@{version} has mixed files"
                for n in Library(root).names()
                for version, folder in Library(root).versions(n).items()
                if content(folder) not in whole.get(n, [])
            ]
            wrong += [f"scrap {p.name}" for p in root.rglob(".*")]
            bad += bool(wrong)
            what += [f"try {number}: {w}" for w in wrong]
    print(
        json.dumps(
            {
                "tries": options.tries,
                "interrupted": interrupted,
                "broken": bad,
                "what": what[:5],
                "seconds": round(time.monotonic() - started, 1),
            }
        )
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
