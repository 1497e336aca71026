"""Rows per second with adapters mixed in one batch, against the bare graph and three other ways to
serve them.

    python tests/bench/mixed.py [--backbone DIR] [--against DIR] [--rounds 15] [--threads 2]

All in one process and interleaved, so that a noisy neighbour hits every contender alike; the median
round counts.

| contender | what runs |
|---|---|
| bare | the int8 graph exported without sites: no LoRA at all; as all int8 graphs here, by the
queue that cuts batches in serving |
| one | int8 graph with the bank, 64 slots resident, every row the same adapter |
| mixed16 | the same graph and bank, 16 adapters mixed in the batch; LoRA on the core sites, as the
bundled adapters have it |
| hybrid16 | mixed16, and each row's text by the lexical part of its adapter |
| all16 | the same as mixed16, with adapters on every site |
| stack16 | as mixed16, and every row has a language adapter of rank 32 under its own: five slots a
row |
| mt16 | as all16, and every row has one translation adapter of rank 64 under its own: nine slots
a row |
| peft | PyTorch + peft, float32, the 16 adapters of mixed16 through `adapter_names=` |
| peft_all | the same with those of all16 |
| merged | an int8 session an adapter (16 copies of the bare graph stand in for them), rows grouped
by adapter |
| before | mixed16 and all16 by the int8 graph of another copy of the backbone, with `--against`:
usually the version before |

Lengths: those of the SMS training rows when POLYGRAFT_DATA is set, else of the sample set. A batch
is drawn from rows of similar length, as the scheduler would. Memory is the growth of resident
memory when a fresh process builds the contender. JSON line last.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import peft
import torch

from polygraft.adapters.library import BUNDLED
from polygraft.architectures.folder import BackboneFiles, default_backbone
from polygraft.architectures.loading import load_backbone
from polygraft.architectures.registry import family_of
from polygraft.architectures.text import Encoded, load_encoder, pad
from polygraft.data.reading import read_source
from polygraft.export.calibrate import calibrate_encoder
from polygraft.export.graph import ENCODER, to_onnx
from polygraft.export.quantise import to_int8
from polygraft.runtime.bank import Bank
from polygraft.runtime.encoding import EncodeRequest, EncoderQueue
from polygraft.runtime.graph import GraphSession, Stack, load_card
from polygraft.tasks.classification.features import features
from polygraft.tasks.classification.lexical import KnownFeatures, Lexical
from polygraft.tasks.serving import Output

RESIDENT, MIXED, RANK = 64, 16, 8
BATCHES = (1, 8, 32)


def resident_mib() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


class Contenders:
    """Builds each contender; `bare_file` is the int8 graph exported without sites."""

    def __init__(self, backbone: Path, bare_file: Path, threads: int) -> None:
        self.backbone, self.bare_file = backbone, bare_file
        self.threads = threads
        self.card = load_card(backbone)
        rng = np.random.default_rng(0)
        self.core = [s for s in self.card.sites if s.core]
        self.adapters = [random_lora(self.core, rng) for _ in range(RESIDENT)]
        self.on_all = [random_lora(self.card.sites, rng) for _ in range(MIXED)]

    def bare(self) -> EncoderQueue:
        return self.queue(self.bare_file, Bank([], 1))

    def queue(self, model: Path, bank: Bank) -> EncoderQueue:
        encoder = load_encoder(self.backbone)
        return EncoderQueue(encoder, GraphSession(model), bank, workers=self.threads)

    def mixed16(self) -> EncoderQueue:
        return self._banked(self.adapters)

    def all16(self) -> EncoderQueue:
        return self._banked(self.on_all + self.adapters[MIXED:])

    def lexical(self, sample: list[str]) -> list[Lexical]:
        """A part an adapter, each of the features of the sample, with weights at random."""
        rng = np.random.default_rng(0)
        known = np.unique(np.concatenate([features(text)[0] for text in sample]))
        vocabulary = KnownFeatures(known, rng.uniform(1, 8, len(known)).astype(np.float16))
        return [
            Lexical(
                vocabulary,
                rng.standard_normal((len(known), 2)).astype(np.float16),
                np.zeros(2, np.float16),
            )
            for _ in range(MIXED)
        ]

    def _banked(self, adapters: list[dict]) -> EncoderQueue:
        bank = Bank(self.card.sites, RESIDENT, RANK)
        for number, lora in enumerate(adapters):
            bank.write(lora, str(number))
        return self.queue(BackboneFiles(self.backbone).model("int8"), bank)

    def peft(self) -> torch.nn.Module:
        return peft_model(self.backbone, self.core, self.adapters[:MIXED])

    def peft_all(self) -> torch.nn.Module:
        return peft_model(self.backbone, self.card.sites, self.on_all)

    def merged(self) -> list[GraphSession]:
        return [GraphSession(self.bare_file) for _ in range(MIXED)]


def memory_of(name: str, arguments: list[str]) -> float:
    """Growth of resident memory when a fresh process builds the contender, MiB."""
    command = [sys.executable, __file__, *arguments, "--memory-of", name]
    return float(
        subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1]
    )


def random_lora(sites, rng) -> dict:
    return {
        s.name: (
            rng.standard_normal((s.inputs, RANK), np.float32) * 0.02,
            rng.standard_normal((RANK, s.outputs), np.float32) * 0.02,
        )
        for s in sites
    }


def peft_model(backbone: Path, sites, adapters: list[dict]):
    """The same adapters in PEFT, named "1" .. "16"."""
    config = peft.LoraConfig(r=RANK, lora_alpha=RANK, target_modules=[s.name for s in sites])
    model = peft.get_peft_model(load_backbone(backbone), config, adapter_name="1")
    for number, lora in enumerate(adapters, 1):
        if number > 1:
            model.add_adapter(str(number), config)
        for site, (a, b) in lora.items():
            layer = model.base_model.model.get_submodule(site)
            layer.lora_A[str(number)].weight.data = torch.from_numpy(a.T.copy())
            layer.lora_B[str(number)].weight.data = torch.from_numpy(b.T.copy())
    return model.eval()


def texts() -> tuple[str, list[str]]:
    data = os.environ.get("POLYGRAFT_DATA")
    if data:
        return "spam/en.train", [r["text"] for r in read_source(f"{data}/spam/en.train.jsonl.gz")]
    return "sample", [r["text"] for r in read_source(str(BUNDLED / "questions-en" / "train.jsonl"))]


def batches_of(rows: list[Encoded], size: int, count: int, rng) -> list[list[Encoded]]:
    ordered = sorted(rows, key=len)
    starts = rng.integers(0, len(ordered) - size, count)
    return [ordered[s : s + size] for s in starts]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--backbone", type=Path, default=default_backbone())
    parser.add_argument(
        "--against", type=Path, help="another copy of the backbone, whose int8 graph runs too"
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 2)
    parser.add_argument(
        "--bare-file", type=Path, help="the int8 graph without sites; left out: exported first"
    )
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.bare_file is None:
        folder = tempfile.TemporaryDirectory()
        options.bare_file = Path(folder.name) / "bare.onnx"
        body = load_backbone(options.backbone)
        spreads = calibrate_encoder(body, options.backbone, ENCODER)
        to_onnx(body, family_of(options.backbone), [], Path(folder.name) / "full.onnx")
        to_int8(Path(folder.name) / "full.onnx", options.bare_file, spreads)
    built = Contenders(options.backbone, options.bare_file, options.threads)
    if options.memory_of:
        before = resident_mib()
        made = getattr(built, options.memory_of)()
        print(
            round(resident_mib() - before, 1), file=sys.stdout if made is not None else sys.stderr
        )
        return
    arguments = ["--backbone", str(options.backbone), "--bare-file", str(options.bare_file)]
    memory = {
        name: memory_of(name, arguments) for name in ("bare", "mixed16", "all16", "peft", "merged")
    }
    card, encoder = built.card, load_encoder(options.backbone)
    source, sample = texts()
    rows = encoder.encode(sample)
    rng = np.random.default_rng(1)
    bare, merged, model, model_all = built.bare(), built.merged(), built.peft(), built.peft_all()
    mixed16, all16 = built.mixed16(), built.all16()
    cores = ThreadPoolExecutor(options.threads)
    lexical, text_of = built.lexical(sample), dict(zip(map(id, rows), sample, strict=True))

    def run_merged(batch: list[Encoded], chosen) -> None:
        def of_one(adapter: int) -> None:
            own = [row for row, slot in zip(batch, chosen, strict=True) if slot == adapter]
            merged[adapter - 1].run(pad(own, 0))

        list(cores.map(of_one, np.unique(chosen)))

    def run(queue: EncoderQueue, batch: list[Encoded], stacks: list[Stack]) -> None:
        texts = zip(batch, stacks, strict=True)
        requests = [EncodeRequest(text, stack, Output.VECTOR) for text, stack in texts]
        for future in queue.submit(requests):
            future.result()

    @torch.inference_mode()
    def run_peft(model, batch: list[Encoded], chosen) -> None:
        inputs = {k: torch.from_numpy(v) for k, v in pad(batch, 0).items()}
        model(**inputs, adapter_names=[str(c) for c in chosen])

    def run_hybrid(batch: list[Encoded], chosen) -> None:
        for row, slot in zip(batch, chosen, strict=True):
            lexical[slot - 1].logits(text_of[id(row)])
        run(mixed16, batch, [[(slot, 1.0)] for slot in chosen])

    def under_all(slot: int) -> Stack:
        """A language of four slots beyond those of the mixed adapters, one of twelve, under the
        row's own."""
        return [(MIXED + 4 * int(slot % 12) + 1 + i, 1.0) for i in range(4)] + [(slot, 1.0)]

    shared = [(MIXED + 1 + i, 1.0) for i in range(64 // RANK)]

    contenders = {
        "bare": lambda b, c: run(bare, b, [[]] * len(b)),
        "one": lambda b, c: run(mixed16, b, [[(1, 1.0)]] * len(b)),
        "mixed16": lambda b, c: run(mixed16, b, [[(slot, 1.0)] for slot in c]),
        "hybrid16": run_hybrid,
        "all16": lambda b, c: run(all16, b, [[(slot, 1.0)] for slot in c]),
        "stack16": lambda b, c: run(mixed16, b, [under_all(slot) for slot in c]),
        "mt16": lambda b, c: run(all16, b, [[*shared, (slot, 1.0)] for slot in c]),
        "peft": lambda b, c: run_peft(model, b, c),
        "peft_all": lambda b, c: run_peft(model_all, b, c),
        "merged": run_merged,
    }
    if options.against:
        file = BackboneFiles(options.against).model("int8")
        before, before_all = built.queue(file, mixed16.bank), built.queue(file, all16.bank)
        contenders |= {
            "before_mixed16": lambda b, c: run(before, b, [[(slot, 1.0)] for slot in c]),
            "before_all16": lambda b, c: run(before_all, b, [[(slot, 1.0)] for slot in c]),
        }
    results: dict[str, dict[str, float]] = {}
    for size in BATCHES:
        seconds: dict[str, list[float]] = {name: [] for name in contenders}
        per_round = max(2, 32 // size)
        for round_number in range(options.rounds + 2):
            picked = batches_of(rows, size, per_round, rng)
            slots = [rng.integers(1, MIXED + 1, size) for _ in picked]
            names = list(contenders)
            for name in names[round_number % len(names) :] + names[: round_number % len(names)]:
                started = time.perf_counter()
                for batch, chosen in zip(picked, slots, strict=True):
                    contenders[name](batch, chosen)
                if round_number >= 2:
                    seconds[name].append(time.perf_counter() - started)
        bare_seconds = seconds["bare"]
        results[str(size)] = {
            name: round(size * per_round / statistics.median(taken), 1)
            for name, taken in seconds.items()
        }
        ratios = {
            name: round(
                statistics.median(b / t for b, t in zip(bare_seconds, taken, strict=True)), 3
            )
            for name, taken in seconds.items()
        }
        results[str(size)] |= {
            f"{name}_over_bare": ratio for name, ratio in ratios.items() if name != "bare"
        }
        for name in ("mixed16", "all16") if options.against else ():
            pairs = zip(seconds[f"before_{name}"], seconds[name], strict=True)
            results[str(size)][f"{name}_over_before"] = round(
                statistics.median(b / t for b, t in pairs), 3
            )
        pairs = zip(seconds["mixed16"], seconds["hybrid16"], strict=True)
        results[str(size)]["hybrid16_over_mixed16"] = round(
            statistics.median(m / h for m, h in pairs), 3
        )
        results[str(size)]["mixed16_over_peft"] = round(ratios["mixed16"] / ratios["peft"], 2)
        results[str(size)]["all16_over_peft_all"] = round(ratios["all16"] / ratios["peft_all"], 2)
        print(f"batch {size:2d}: " + "  ".join(f"{k} {v}" for k, v in results[str(size)].items()))
    print("memory, MiB: " + "  ".join(f"{k} {v}" for k, v in memory.items()))
    record = {
        "bench": "mixed",
        "rows_per_second": results,
        "memory_mib": memory,
        "resident": RESIDENT,
        "rank": RANK,
        "sites": len(card.sites),
        "core_sites": len(built.core),
        "lengths": source,
        "rounds": options.rounds,
        "threads": options.threads,
        "cpu": platform.processor() or platform.machine(),
        "onnxruntime": onnxruntime.__version__,
        "torch": torch.__version__,
        "peft": peft.__version__,
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
