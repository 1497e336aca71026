"""The backbone: a frozen pretrained transformer in one folder, read by its real transformers
class.

    config.json  model.safetensors  tokenizer.json  tokenizer_config.json   training
    backbone.json                                  where it is from; how its decoder is spoken to
    decoder_tokenizer.json                         where the decoder has pieces of its own
    onnx/graph.json  onnx/model.<precision>.onnx                            serving
    onnx/cross.<precision>.onnx  onnx/step.<precision>.onnx                 where there is a decoder

Does not: train, export, or know adapters. Imports torch and transformers only inside the
functions that need them, so that `fingerprint` and `BackboneFiles` serve both sides.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from polygraft.errors import BackboneError

BUNDLED = Path(__file__).resolve().parents[2] / "backbones" / "mini"
PRECISIONS = ("int8", "fp32")


def default_backbone() -> Path:
    """`POLYGRAFT_BACKBONE` when set, else the backbone bundled with the repository."""
    return Path(os.environ.get("POLYGRAFT_BACKBONE") or BUNDLED)


@dataclass(frozen=True)
class BackboneFiles:
    """Names every file of a backbone folder; nothing else joins these paths."""

    folder: Path

    @property
    def name(self) -> str:
        """What the backbone is called wherever it may lie: `name` in the recipe it was made by,
        else its folder's name."""
        try:
            recipe = yaml.safe_load((self.folder / "recipe.yaml").read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            recipe = None
        named = recipe.get("name") if isinstance(recipe, dict) else None
        return str(named or self.folder.resolve().name)

    @property
    def config(self) -> Path:
        return self.folder / "config.json"

    def read_config(self) -> dict[str, Any]:
        """The content of config.json."""
        config: dict[str, Any] = json.loads(self.config.read_text(encoding="utf-8"))
        return config

    @property
    def weights(self) -> Path:
        return self.folder / "model.safetensors"

    @property
    def tokenizer(self) -> Path:
        return self.folder / "tokenizer.json"

    @property
    def tokenizer_config(self) -> Path:
        return self.folder / "tokenizer_config.json"

    @property
    def decoder_tokenizer(self) -> Path:
        return self.folder / "decoder_tokenizer.json"

    @property
    def record(self) -> Path:
        return self.folder / "backbone.json"

    def copy_tokenizers(self, target: Path) -> None:
        """Copy every tokenizer file there is, and how they are used, into the folder `target`,
        unless that is this one."""
        files = [
            self.tokenizer,
            self.tokenizer_config,
            *(file for file in (self.decoder_tokenizer, self.record) if file.is_file()),
        ]
        for file in files if self.folder.resolve() != target.resolve() else []:
            shutil.copyfile(file, target / file.name)

    @property
    def onnx(self) -> Path:
        return self.folder / "onnx"

    @property
    def graph(self) -> Path:
        return self.onnx / "graph.json"

    def model(self, precision: str) -> Path:
        return self.onnx / f"model.{precision}.onnx"

    def cross(self, precision: str) -> Path:
        return self.onnx / f"cross.{precision}.onnx"

    def step(self, precision: str) -> Path:
        return self.onnx / f"step.{precision}.onnx"

    def require(self, *files: Path) -> None:
        """Raise `BackboneError` naming each of `files` that is missing."""
        missing = [str(f.relative_to(self.folder)) for f in files if not f.is_file()]
        if missing:
            raise BackboneError(
                f"{self.folder} is not a usable backbone: {', '.join(missing)} missing; point "
                "--backbone or "
                "POLYGRAFT_BACKBONE at a folder that has been pretrained and exported"
            )


def fingerprint(folder: Path) -> str:
    """What an adapter must fit: 16 hex digits of SHA-256 over the encoder's config, weights and
    tokenizer; with a decoder, `+` and as many over the decoder's. So a better decoder leaves
    adapters that only read (classification) as they are."""
    files = BackboneFiles(folder)
    files.require(files.config, files.weights, files.tokenizer)
    config = files.read_config()
    if config.get("model_type") != "encoder-decoder":
        own = [files.decoder_tokenizer] if files.decoder_tokenizer.is_file() else []
        return _digest(config, files.weights, "", [files.tokenizer, *own])
    parts = (("encoder", files.tokenizer), ("decoder", files.decoder_tokenizer))
    return "+".join(
        _digest(config[part], files.weights, f"{part}.", [tokenizer]) for part, tokenizer in parts
    )


def fits(adapter: str, backbone: str) -> bool:
    """Whether an adapter made for the fingerprint `adapter` can be used on the backbone of
    fingerprint `backbone`."""
    return adapter in (backbone, encoder_part(backbone))


def encoder_part(fingerprint: str) -> str:
    """The encoder's part of a fingerprint."""
    return fingerprint.split("+")[0]


def _digest(
    config: dict[str, object], weights: Path, prefix: str, tokenizers: Sequence[Path]
) -> str:
    """Over the tensors whose names start with `prefix`, in order of name, whatever their type; and
    over the config, without the folder that transformers says it was loaded from."""
    config = {key: value for key, value in config.items() if key != "_name_or_path"}
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for tokenizer in tokenizers:
        digest.update(tokenizer.read_bytes())
    with weights.open("rb") as file:
        size = int.from_bytes(
            file.read(8), "little"
        )  # safetensors: length of the header, the header, the tensors
        header = json.loads(file.read(size))
        for name in sorted(n for n in header if n.startswith(prefix) and n != "__metadata__"):
            start, end = header[name]["data_offsets"]
            digest.update(f"{name} {header[name]['dtype']} {header[name]['shape']}".encode())
            file.seek(8 + size + start)
            digest.update(file.read(end - start))
    return digest.hexdigest()[:16]
