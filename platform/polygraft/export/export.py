"""`polygraft export`: write a backbone's ONNX graphs, or one adapter merged into a plain ONNX
model."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import onnx
import onnxruntime
import peft
import torch
from onnx import compose, helper, numpy_helper
from transformers import PreTrainedModel

from polygraft.adapters.format import load_adapter
from polygraft.architectures.conventions import read_conventions
from polygraft.architectures.folder import BackboneFiles, fingerprint
from polygraft.architectures.loading import load_backbone, load_seq2seq
from polygraft.architectures.registry import family_of
from polygraft.errors import ExportError, PolygraftError
from polygraft.export.calibrate import calibrate_decoder, calibrate_encoder
from polygraft.export.decoder import Decoder, cross_to_onnx, step_to_onnx
from polygraft.export.decoder_parity import decoder_drift
from polygraft.export.graph import ENCODER, either, encoder_sites, to_onnx
from polygraft.export.parity import drift
from polygraft.export.quantise import to_int8
from polygraft.pretrain import decoder_vocabulary
from polygraft.runtime.graph import DecoderCard, GraphCard, Site
from polygraft.tasks.classification.manifest import ClassificationManifest
from polygraft.tasks.recipe import LoraRecipe
from polygraft.training.sites import pick_sites

ALLOWED = {"fp32": 1e-3, "int8": 0.01}
DECODER_ALLOWED = {"fp32": 1e-3, "int8": 0.25}


def export_backbone(
    backbone: Path,
    *,
    precisions: Sequence[str] = ("int8",),
    sites: str | list[str] = "all",
    core: str | list[str] = "all",
    decoder_sites: str | list[str] = "all",
) -> GraphCard:
    """Write `onnx/model.<precision>.onnx` and `onnx/graph.json`; with a decoder also `cross` and
    `step`. `sites` and `decoder_sites` are name endings, as in a recipe; `core` are those of
    `sites` that every batch computes, the others cost time only in batches that use them. The
    decoder computes all of its sites at every step.

    Raises `ExportError`, leaving what was there untouched, when mixed adapters drift from PyTorch +
    peft (random adapters far larger than trained ones): in fp32 by more than 1e-3 absolute, in int8
    below cosine 0.99; and the decoder's mean log-probability a token by more than 1e-3 or 0.25.
    """
    files = BackboneFiles(backbone)
    model = load_backbone(backbone)
    described = encoder_sites(
        model,
        family_of(backbone),
        partial(pick_sites, LoraRecipe(sites=sites)),
        partial(pick_sites, LoraRecipe(sites=core)),
    )
    order = ["fp32", *(p for p in precisions if p != "fp32")]
    files.onnx.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=backbone, prefix=".staging-") as name:
        with _refused_by_a_library():
            made = _graphs(backbone, model, described, order, Path(name))
            figures = _checked(drift(backbone, described, made), ALLOWED, "graph")
        decoder, written = None, dict[str, tuple[Path, Path]]()
        if _writes(backbone):
            with _refused_by_a_library():
                decoder, written = _decoder_graphs(backbone, decoder_sites, order, Path(name))
                drifts = decoder_drift(backbone, decoder, written)
            found = _checked(drifts, DECODER_ALLOWED, "decoder")
            figures |= {f"decoder_{precision}": value for precision, value in found.items()}
        card = GraphCard(
            backbone=fingerprint(backbone),
            hidden=model.config.hidden_size,
            sites=described,
            decoder=decoder,
            drift={k: float(f"{v:.3g}") for k, v in figures.items()},
            exported_with={
                "torch": torch.__version__,
                "onnx": onnx.__version__,
                "onnxruntime": onnxruntime.__version__,
            },
        )
        for precision in precisions:
            made[precision].replace(files.model(precision))
            if decoder:
                cross, step = written[precision]
                cross.replace(files.cross(precision))
                step.replace(files.step(precision))
        files.graph.write_text(card.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return card


def _writes(backbone: Path) -> bool:
    """Whether the backbone has a decoder that is to be served. Of one that was pretrained before
    backbones said how they write, that is written first."""
    if read_conventions(backbone) is None and BackboneFiles(backbone).decoder_tokenizer.is_file():
        model = load_seq2seq(backbone)
        decoder_vocabulary.describe(backbone, family_of(backbone).max_written(model))
    return read_conventions(backbone) is not None


@contextmanager
def _refused_by_a_library() -> Iterator[None]:
    """Say that a model cannot be exported where torch or ONNX Runtime fails over its graph."""
    try:
        yield
    except PolygraftError:
        raise
    except Exception as error:
        first_line = str(error).strip().split("\n")[0][:200]
        raise ExportError(
            f"this model cannot be turned into a graph yet ({type(error).__name__}: {first_line}); "
            "nothing was written; its family needs a file in architectures/ (see A new family of "
            "backbones in docs/architecture.md), or another version of torch or onnxruntime"
        ) from error


def _checked(figures: dict[str, float], allowed: dict[str, float], what: str) -> dict[str, float]:
    for precision, value in figures.items():
        if not value <= allowed[precision]:
            raise ExportError(
                f"the {precision} {what} drifts from PyTorch + peft by {value:.2g}, allowed "
                f"{allowed[precision]:.2g}; "
                "nothing was written; check the versions of torch, onnx and onnxruntime against "
                "constraints.txt"
            )
    return figures


def _decoder_graphs(
    backbone: Path, sites: str | list[str], precisions: Sequence[str], folder: Path
) -> tuple[DecoderCard, dict[str, tuple[Path, Path]]]:
    """The `cross` and `step` graphs in each precision, the first of which is fp32."""
    decoder = Decoder(load_seq2seq(backbone), family_of(backbone))
    card = decoder.describe(partial(pick_sites, LoraRecipe(sites=sites)))
    made = {p: (folder / f"cross.{p}.onnx", folder / f"step.{p}.onnx") for p in precisions}
    for write, file in zip((cross_to_onnx, step_to_onnx), made["fp32"], strict=True):
        write(decoder, card, file)
    if "int8" in made:
        spreads = calibrate_decoder(decoder, backbone)
        for whole, small in zip(made["fp32"], made["int8"], strict=True):
            to_int8(whole, small, spreads)
    return card, made


def _graphs(
    backbone: Path,
    model: PreTrainedModel,
    sites: list[Site],
    precisions: Sequence[str],
    folder: Path,
) -> dict[str, Path]:
    """The graph in each precision, the first of which is fp32."""
    core = [s for s in sites if s.core]
    kinds = {"full": sites} if core == sites else {"full": sites, "core": core}
    spreads = calibrate_encoder(model, backbone, ENCODER) if "int8" in precisions else {}
    for kind, carried in kinds.items():
        whole = folder / f"{kind}.fp32.onnx"
        to_onnx(model, family_of(backbone), carried, whole)
        if "int8" in precisions:
            to_int8(whole, folder / f"{kind}.int8.onnx", spreads)
    if core == sites:
        return {p: folder / f"full.{p}.onnx" for p in precisions}
    made = {p: folder / f"either.{p}.onnx" for p in precisions}
    for precision, file in made.items():
        either(folder / f"core.{precision}.onnx", folder / f"full.{precision}.onnx", file)
    return made


def export_merged(adapter: Path, backbone: Path, output: Path, *, precision: str = "fp32") -> Path:
    """One plain ONNX model of `adapter` merged into the backbone, head included: token ids in,
    `logits` out.

    For people who serve a single task elsewhere; nothing of polygraft is needed to run it.
    """
    loaded = load_adapter(adapter, backbone=fingerprint(backbone))
    if not isinstance(loaded.manifest, ClassificationManifest):
        raise ExportError(
            f"adapter {loaded.name!r} writes text; only adapters with a head are exported merged"
        )
    loaded.manifest.require_plain_head()
    merged = (
        peft.PeftModel.from_pretrained(load_backbone(backbone), adapter).merge_and_unload().eval()
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".staging-") as name:
        body, small = Path(name) / "body.onnx", Path(name) / "int8.onnx"
        to_onnx(merged, family_of(backbone), [], body)
        if precision == "int8":
            to_int8(body, small, calibrate_encoder(merged, backbone, ENCODER))
            body = small
        model = _with_head(onnx.load(body), loaded.head.own.weight, loaded.head.own.bias)
        helper.set_model_props(
            model, {"labels": ",".join(loaded.manifest.labels), "adapter": loaded.name}
        )
        onnx.save(model, small)
        small.replace(output)
    return output


def _with_head(model: onnx.ModelProto, weight: object, bias: object) -> onnx.ModelProto:
    head = helper.make_graph(
        [helper.make_node("Gemm", ["head_in", "weight", "bias"], ["logits"], transB=1)],
        "head",
        [helper.make_tensor_value_info("head_in", onnx.TensorProto.FLOAT, ["rows", None])],
        [helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["rows", None])],
        [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(bias, "bias")],
    )
    head_model = helper.make_model(
        head, opset_imports=model.opset_import, ir_version=model.ir_version
    )
    return compose.merge_models(
        model, head_model, io_map=[("pooled", "head_in")], outputs=["logits"]
    )
