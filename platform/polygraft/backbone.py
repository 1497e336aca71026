"""The backbone: a frozen pretrained transformer in one folder, read by its real transformers class.

    config.json  model.safetensors  tokenizer.json  tokenizer_config.json     training
    onnx/graph.json  onnx/model.<precision>.onnx                               serving (see `export` and `runtime`)

Does not: train, export, or know adapters. Imports torch and transformers only inside the functions that need them,
so that `fingerprint` and `BackboneFiles` serve both sides.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from polygraft.errors import BackboneError

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

BUNDLED = Path(__file__).resolve().parent.parent / "backbones" / "mini"


def default_backbone() -> Path:
    """`POLYGRAFT_BACKBONE` when set, else the backbone bundled with the repository."""
    return Path(os.environ.get("POLYGRAFT_BACKBONE") or BUNDLED)


@dataclass(frozen=True)
class BackboneFiles:
    """Names every file of a backbone folder; nothing else joins these paths."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "config.json"

    @property
    def weights(self) -> Path:
        return self.folder / "model.safetensors"

    @property
    def tokenizer(self) -> Path:
        return self.folder / "tokenizer.json"

    @property
    def onnx(self) -> Path:
        return self.folder / "onnx"

    @property
    def graph(self) -> Path:
        return self.onnx / "graph.json"

    def model(self, precision: str) -> Path:
        return self.onnx / f"model.{precision}.onnx"

    def require(self, *files: Path) -> None:
        """Raise `BackboneError` naming each of `files` that is missing."""
        missing = [str(f.relative_to(self.folder)) for f in files if not f.is_file()]
        if missing:
            raise BackboneError(
                f"{self.folder} is not a usable backbone: {', '.join(missing)} missing; point --backbone or "
                "POLYGRAFT_BACKBONE at a folder that has been pretrained and exported"
            )


def fingerprint(folder: Path) -> str:
    """SHA-256 over config, weights and tokenizer, first 16 hex digits. An adapter fits one fingerprint only."""
    files = BackboneFiles(folder)
    files.require(files.config, files.weights, files.tokenizer)
    digest = hashlib.sha256()
    for file in (files.config, files.weights, files.tokenizer):
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


def load_backbone(folder: Path) -> PreTrainedModel:
    """The backbone in float32, eval mode, frozen. Any architecture `AutoModel` knows; reads safetensors only."""
    from transformers import AutoModel, logging

    files = BackboneFiles(folder)
    files.require(files.config, files.weights, files.tokenizer)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    options = {"add_pooling_layer": False} if _has_pooler(files.config) else {}
    model: PreTrainedModel = AutoModel.from_pretrained(folder, use_safetensors=True, dtype="float32", **options)
    return model.eval().requires_grad_(False)


def _has_pooler(config: Path) -> bool:
    import json

    return json.loads(config.read_text(encoding="utf-8")).get("model_type") in {"bert", "roberta", "xlm-roberta"}


def linear_sites(model: nn.Module) -> dict[str, nn.Linear]:
    """Every linear layer that can carry LoRA, by dotted name, in forward order of the module tree."""
    from torch import nn

    return {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}
