"""Target tokens per second when texts are written with adapters mixed in one batch, against three
other ways.

    python tests/bench/decode.py [--backbone DIR] [--against DIR] [--rounds 5] [--threads 2]

All in one process and interleaved, so that a noisy neighbour hits every contender alike; the median
round counts. Every text is written to exactly 24 tokens, encoding included; the sources are like
sentences of 20 to 30 tokens.

| contender | what runs |
|---|---|
| bare | int8 graphs, no adapter |
| one | the same, every text with one adapter (rank 8, every site of encoder and decoder) |
| mixed16 | the same, 16 adapters mixed |
| peft | transformers `generate` with PEFT, float32, one adapter |
| peft16 | the same, 16 adapters mixed by PEFT's `adapter_names` |
| ct2 | CTranslate2, int8: an equal-sized model that it takes |
| before | bare, one and mixed16 by the graphs of another copy of the backbone, with `--against`:
usually the version before |

CTranslate2 has no converter for this architecture. Its model here is post-norm with learned
positions and GELU, the same layers, widths and two vocabularies, random weights; without the dense
layer before the vocabulary, case feature and LoRA. Greedy at batches 1, 8 and 32; beam 4 at 1 and
8. Memory: growth of resident memory when a fresh process builds the contender and writes one batch.
JSON line last.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import onnxruntime
import peft
import torch

from polygraft.architectures.folder import BackboneFiles, default_backbone
from polygraft.architectures.loading import load_seq2seq
from polygraft.architectures.text import Encoded, load_encoder, pad
from polygraft.runtime.bank import Bank
from polygraft.runtime.decode import DecoderBatch, DecodeRequest, DecoderSession
from polygraft.runtime.decode_worker import DecodeWorkers
from polygraft.runtime.encoding import EncodeRequest, EncoderQueue
from polygraft.runtime.graph import GraphSession, load_card
from polygraft.runtime.search import Hypothesis, Search
from polygraft.tasks.serving import Output

MIXED, RANK, LENGTH, NEVER = 16, 8, 24, 10**9
CASES = ((1, 1), (8, 1), (32, 1), (1, 4), (8, 4))  # texts, beam
Contender = Callable[[Sequence[Encoded], Sequence[int], int], None]


class Ours:
    """Encoder graph, decoder graphs and both banks, with 16 random adapters."""

    def __init__(self, backbone: Path, threads: int) -> None:
        files, self.card, rng = (
            BackboneFiles(backbone),
            load_card(backbone),
            np.random.default_rng(0),
        )
        assert self.card.decoder, "the backbone has no decoder"
        self.bank, encoder = Bank(self.card.sites, MIXED, RANK), load_encoder(backbone)
        session = GraphSession(files.model("int8"))
        self.encoding = EncoderQueue(encoder, session, self.bank, workers=threads)
        self.decoder_bank = Bank(self.card.decoder.sites, MIXED, RANK)
        for number in range(MIXED):
            for bank in (self.bank, self.decoder_bank):
                bank.write(
                    {
                        s.name: (noise(rng, s.inputs, RANK), noise(rng, RANK, s.outputs))
                        for s in bank.sites.values()
                    },
                    str(number),
                )
        decoder = DecoderSession(files.cross("int8"), files.step("int8"), self.card.decoder)
        self.lanes = DecodeWorkers(
            lambda: DecoderBatch(decoder, self.decoder_bank, NEVER), threads, max_rows=128
        )

    def __call__(self, rows: Sequence[Encoded], slots: Sequence[int], beam: int) -> None:
        stacks, search = [[(slot, 1.0)] for slot in slots], Search(beam=beam)
        texts = zip(rows, stacks, strict=True)
        requests = [EncodeRequest(row, stack, Output.STATES) for row, stack in texts]
        waiting: list[Future[list[Hypothesis]]] = [
            self.lanes.submit(DecodeRequest(states.result(), stack, [3], search, LENGTH))
            for states, stack in zip(self.encoding.submit(requests), stacks, strict=True)
        ]
        assert all(len(w.result()[0].tokens) == LENGTH for w in waiting)


class Peft:
    """One adapter, or `MIXED` of them by PEFT's own `adapter_names`."""

    def __init__(self, backbone: Path, adapters: int = 1) -> None:
        card = load_card(backbone)
        assert card.decoder
        sites = [f"encoder.{s.name}" for s in card.sites] + [s.name for s in card.decoder.sites]
        config = peft.LoraConfig(r=RANK, lora_alpha=RANK, target_modules=sites)
        self.model = peft.get_peft_model(load_seq2seq(backbone), config, adapter_name="1")
        for number in range(2, adapters + 1):
            self.model.add_adapter(str(number), config)
        self.model.eval()
        self.mixed = adapters > 1

    @torch.inference_mode()
    def __call__(self, rows: Sequence[Encoded], slots: Sequence[int], beam: int) -> None:
        inputs = {k: torch.from_numpy(v) for k, v in pad(rows, 0).items()}
        start = torch.full((len(rows), 1), 3)
        named = {"adapter_names": [str(slot) for slot in slots]} if self.mixed else {}
        out = self.model.generate(
            **inputs,
            decoder_input_ids=start,
            min_new_tokens=LENGTH,
            max_new_tokens=LENGTH,
            num_beams=beam,
            do_sample=False,
            eos_token_id=1,
            pad_token_id=0,
            decoder_start_token_id=3,
            **named,
        )
        assert out.shape[1] == LENGTH + 1


class CTranslate2:
    def __init__(self, backbone: Path, threads: int) -> None:
        import ctranslate2  # installed for this benchmark only

        config = load_seq2seq(backbone).config
        self.folder = tempfile.TemporaryDirectory()
        equal_sized(config).save(self.folder.name)
        lanes = {
            "inter_threads": threads,
            "intra_threads": 1,
        }  # measured faster here than one stream with both threads inside
        self.model = ctranslate2.Translator(self.folder.name, compute_type="int8", **lanes)

    def __call__(self, rows: Sequence[Encoded], slots: Sequence[int], beam: int) -> None:
        texts = [[f"s{i}" for i in row.ids] for row in rows]
        size = -(-len(texts) // self.model.num_translators)
        found = self.model.translate_batch(
            texts,
            max_batch_size=size,
            beam_size=beam,
            min_decoding_length=LENGTH,
            max_decoding_length=LENGTH,
            return_end_token=False,
        )
        assert all(len(f.hypotheses[0]) == LENGTH for f in found)


def equal_sized(config):
    """A TransformerSpec with random weights in the shapes of the backbone's."""
    from ctranslate2.specs import common_spec, transformer_spec

    rng, encoder, decoder = np.random.default_rng(0), config.encoder, config.decoder
    spec = transformer_spec.TransformerSpec.from_config(
        (encoder.num_hidden_layers, decoder.num_hidden_layers),
        encoder.num_attention_heads,
        pre_norm=False,
        activation=common_spec.Activation.GELU,
        layernorm_embedding=True,
    )
    width, inner = encoder.hidden_size, encoder.intermediate_size

    def linear(one, outputs: int, inputs: int) -> None:
        one.weight, one.bias = noise(rng, outputs, inputs), np.zeros(outputs, np.float32)

    def norm(one) -> None:
        one.gamma, one.beta = np.ones(width, np.float32), np.zeros(width, np.float32)

    def attention(one, *, own: bool) -> None:
        sizes = [3 * width, width] if own else [width, 2 * width, width]
        for part, outputs in zip(one.linear, sizes, strict=True):
            linear(part, outputs, width)
        norm(one.layer_norm)

    def feed_forward(one) -> None:
        linear(one.linear_0, inner, width)
        linear(one.linear_1, width, inner)
        norm(one.layer_norm)

    for part, size, vocabulary in (
        (spec.encoder, encoder, encoder.vocab_size),
        (spec.decoder, decoder, decoder.vocab_size),
    ):
        embeddings = part.embeddings[0] if isinstance(part.embeddings, list) else part.embeddings
        embeddings.weight = noise(rng, vocabulary, width)
        part.position_encodings.encodings = noise(rng, size.max_position_embeddings, width)
        part.scale_embeddings = False
        norm(part.layernorm_embedding)
        for layer in part.layer:
            attention(layer.self_attention, own=True)
            feed_forward(layer.ffn)
            if part is spec.decoder:
                attention(layer.attention, own=False)
    linear(spec.decoder.projection, decoder.vocab_size, width)
    spec.register_source_vocabulary([f"s{i}" for i in range(encoder.vocab_size)])
    spec.register_target_vocabulary([f"t{i}" for i in range(decoder.vocab_size)])
    spec.config.eos_token, spec.config.bos_token, spec.config.unk_token = "t1", "t3", "t2"
    spec.config.decoder_start_token = "t3"
    spec.config.add_source_eos = spec.config.add_source_bos = False
    spec.validate()
    spec.optimize(quantization="int8")
    return spec


def noise(rng, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape, np.float32) * np.float32(0.02)


def sources(backbone: Path) -> list[Encoded]:
    """Rows of 20 to 30 tokens, cut from a made-up text."""
    text = (
        "The market at the harbour opens before sunrise and the first boats bring fish, salt and "
        "news from the other islands. " * 40
    )
    ids = load_encoder(backbone, max_length=10**6).encode([text])[0].ids
    rng = np.random.default_rng(2)
    lengths = rng.integers(20, 31, 200)
    starts = rng.integers(1, 400, 200)
    return [Encoded(ids[s : s + n], [0] * int(n)) for s, n in zip(starts, lengths, strict=True)]


def memory_of(name: str, backbone: Path) -> float:
    command = [sys.executable, __file__, "--backbone", str(backbone), "--memory-of", name]
    return float(
        subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1]
    )


def resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--backbone", type=Path, default=default_backbone())
    parser.add_argument(
        "--against", type=Path, help="another copy of the backbone, whose int8 graphs run too"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    build: dict[str, Callable[[], Contender]] = {
        "ours": lambda: Ours(options.backbone, options.threads),
        "peft": lambda: Peft(options.backbone),
        "peft16": lambda: Peft(options.backbone, MIXED),
        "ct2": lambda: CTranslate2(options.backbone, options.threads),
    }
    rows = sources(options.backbone)
    if options.memory_of:
        before = resident_mib()
        build[options.memory_of]()(rows[:8], [1 + i % MIXED for i in range(8)], 1)
        print(round(resident_mib() - before, 1), flush=True)
        os._exit(0)
    memory = {name: memory_of(name, options.backbone) for name in build}
    made = {name: make() for name, make in build.items()}
    contenders: dict[str, tuple[Contender, Callable[[int], list[int]]]] = {
        "bare": (made["ours"], lambda n: [0] * n),
        "one": (made["ours"], lambda n: [1] * n),
        "mixed16": (made["ours"], lambda n: [1 + i % MIXED for i in range(n)]),
        "peft": (made["peft"], lambda n: [1] * n),
        "peft16": (made["peft16"], lambda n: [1 + i % MIXED for i in range(n)]),
        "ct2": (made["ct2"], lambda n: [0] * n),
    }
    if options.against:
        before = Ours(options.against, options.threads)
        contenders |= {
            f"before_{name}": (before, contenders[name][1]) for name in ("bare", "one", "mixed16")
        }
    rng, results = np.random.default_rng(1), dict[str, dict[str, float]]()
    for texts, beam in CASES:
        seconds: dict[str, list[float]] = {name: [] for name in contenders}
        repeats = max(1, 8 // (texts * beam))
        for round_number in range(options.rounds + 1):
            picked = [[rows[i] for i in rng.integers(0, len(rows), texts)] for _ in range(repeats)]
            names = list(contenders)
            for name in names[round_number % len(names) :] + names[: round_number % len(names)]:
                run, slots = contenders[name]
                started = time.perf_counter()
                for batch in picked:
                    run(batch, slots(texts), beam)
                if round_number:
                    seconds[name].append(time.perf_counter() - started)
        case = f"batch {texts}, beam {beam}"
        results[case] = {
            n: round(texts * repeats * LENGTH / statistics.median(t), 1) for n, t in seconds.items()
        }
        pairs = [
            *(("mixed16", base) for base in ("one", "bare", "peft", "peft16", "ct2")),
            ("bare", "ct2"),
        ]
        if options.against:
            pairs += [(name, f"before_{name}") for name in ("bare", "one", "mixed16")]
        for name, base in pairs:
            ratio = statistics.median(
                b / a for a, b in zip(seconds[name], seconds[base], strict=True)
            )
            results[case][f"{name}_over_{base}"] = round(ratio, 3)
        print(f"{case}: " + "  ".join(f"{k} {v}" for k, v in results[case].items()), flush=True)
    print("memory, MiB: " + "  ".join(f"{k} {v}" for k, v in memory.items()))
    versions = {
        n: importlib.metadata.version(n) for n in ("ctranslate2", "peft", "transformers", "torch")
    }
    record = {
        "bench": "decode",
        "tokens_per_second": results,
        "memory_mib": memory,
        "length": LENGTH,
        "rank": RANK,
        "rounds": options.rounds,
        "threads": options.threads,
        "cpu": platform.processor() or platform.machine(),
        "onnxruntime": onnxruntime.__version__,
        **versions,
    }
    print(json.dumps(record), flush=True)
    os._exit(0)  # the lanes' threads wait for more


if __name__ == "__main__":
    main()
