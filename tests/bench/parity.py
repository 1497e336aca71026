"""Are translations through ONNX those of PyTorch + PEFT? Greedy, on the dev sentences of each
adapter's own recipe.

    python tests/bench/parity.py adapters/en-fr adapters/en-yo ... [--rows 500]

For each adapter: how many texts the float32 graphs write token by token as transformers' `generate`
does with the adapter loaded by PEFT, and what int8 costs, in chrF++ against the references. Long
texts are cut into sentences as the service does it, and put together again for the score. Needs the
recipes' data. JSON line last.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

import onnxruntime
import peft
import torch

from polygraft.adapters.format import LAYOUT, Adapter, load_adapter
from polygraft.architectures.folder import BackboneFiles, default_backbone, fingerprint
from polygraft.architectures.loading import load_seq2seq
from polygraft.architectures.target_tokenizer import TargetTokenizer, load_target_tokenizer
from polygraft.architectures.text import TextEncoder, load_encoder
from polygraft.data.reading import thinned
from polygraft.export.export import export_backbone
from polygraft.runtime.bank import Bank
from polygraft.runtime.graph import GraphSession, load_card, mixture
from polygraft.runtime.search import Search
from polygraft.runtime.writer import Writer
from polygraft.tasks.recipe import load_recipe
from polygraft.tasks.translation import segments
from polygraft.tasks.translation.data import Pair
from polygraft.tasks.translation.greedy import write
from polygraft.tasks.translation.job import prepare
from polygraft.tasks.translation.metrics import scores
from polygraft.tasks.translation.recipe import TranslationRecipe

BATCH = 16


def through_onnx(
    backbone: Path,
    precision: str,
    adapter: Adapter,
    texts: Sequence[str],
    language: str,
    threads: int,
) -> list[list[int]]:
    files, card, encoder = BackboneFiles(backbone), load_card(backbone), load_encoder(backbone)
    assert card.decoder
    session, bank = GraphSession(files.model(precision)), Bank(card.sites, 8)
    writer = Writer(files, card.decoder, precision, 8, threads)
    stack, decoder_stack = (
        [(slot, 1.0) for slot in one.write(lora, adapter.name)]
        for one, lora in ((bank, adapter.lora), (writer.bank, adapter.decoder_lora))
    )
    rows, waiting = encoder.encode(texts), []
    for first in range(0, len(rows), BATCH):
        some = rows[first : first + BATCH]
        _, states = session.run_both(encoder.pad(some) | mixture([stack] * len(some)), bank)
        for one in states:
            done: Future = Future()
            done.set_result(one)
            waiting.append(writer.write(done, decoder_stack, language, Search()))
    written = [w.result()[0].tokens for w in waiting]
    writer.close()
    return written


def cut_until(
    pairs: Sequence[Pair], language: str, encoder: TextEncoder, most: int
) -> tuple[list[list[segments.Segment]], list[str], list[str]]:
    """Passages, evenly spread, cut until there are `most` sentences; the sentences to translate;
    the passages' references."""
    passages, sources, references = list[list[segments.Segment]](), list[str](), list[str]()
    for pair in thinned(pairs, most):
        if len(sources) >= most:
            break
        passages.append(segments.split(pair.source, language, segments.fits(encoder)))
        sources += [piece.text for piece in passages[-1] if not piece.verbatim]
        references.append(pair.target)
    return passages, sources, references


def joined(
    passages: Sequence[list[segments.Segment]], ids: Sequence[list[int]], pieces: TargetTokenizer
) -> list[str]:
    new = iter(pieces.decode(one).strip() for one in ids)
    return [segments.join(cut, [next(new) for p in cut if not p.verbatim]) for cut in passages]


def compare(
    folder: Path, backbone: Path, exact: Path, most: int, threads: int
) -> dict[str, dict[str, object]]:
    recipe = load_recipe(folder / LAYOUT.recipe)
    assert isinstance(recipe, TranslationRecipe), f"{folder} does not translate"
    job, encoder = prepare(recipe, folder / LAYOUT.recipe, backbone), load_encoder(backbone)
    adapter, pieces = (
        load_adapter(folder, backbone=fingerprint(backbone)),
        load_target_tokenizer(backbone),
    )
    model = peft.PeftModel.from_pretrained(load_seq2seq(backbone), folder).eval()
    found: dict[str, dict[str, object]] = {}
    for direction in recipe.directions:
        every = [q for p in job.pairs.dev for q in (p, p.reversed()) if q.languages == direction]
        passages, sources, references = cut_until(
            every, direction[0], encoder, most // len(recipe.directions)
        )
        torch_ids = write(model, encoder, pieces, sources, direction)
        fp32, int8 = (
            through_onnx(place, precision, adapter, sources, direction[1], threads)
            for place, precision in ((exact, "fp32"), (backbone, "int8"))
        )
        chrf = [
            scores(joined(passages, ids, pieces), references)["chrf++"] for ids in (torch_ids, int8)
        ]
        found["-".join(direction)] = {
            "rows": len(sources),
            "passages": len(passages),
            "same_tokens_fp32": sum(a == b for a, b in zip(torch_ids, fp32, strict=True)),
            "same_tokens_int8": sum(a == b for a, b in zip(torch_ids, int8, strict=True)),
            "chrf++_pytorch": chrf[0],
            "chrf++_int8": chrf[1],
        }
        print(folder.name, "-".join(direction), found["-".join(direction)], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("adapters", type=Path, nargs="+")
    parser.add_argument("--backbone", type=Path, default=default_backbone())
    parser.add_argument(
        "--rows", type=int, default=500, help="sentences of an adapter at most, over its directions"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        exact = Path(name) / "backbone"
        shutil.copytree(options.backbone, exact, ignore=shutil.ignore_patterns("onnx"))
        export_backbone(exact, precisions=["fp32"])
        results = {
            a.name: compare(a, options.backbone, exact, options.rows, options.threads)
            for a in options.adapters
        }
    versions = {
        "torch": torch.__version__,
        "onnxruntime": onnxruntime.__version__,
        "peft": peft.__version__,
    }
    print(json.dumps({"bench": "parity", "results": results, **versions}))


if __name__ == "__main__":
    main()
