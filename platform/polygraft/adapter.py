"""The adapter on disk: PEFT's own two files, plus head, manifest, card and recipe.

    adapter_config.json  adapter_model.safetensors     PEFT's format: `PeftModel.from_pretrained(backbone, folder)`
    head.safetensors     weight [labels, hidden], bias [labels]; none for translation and languages
    manifest.json        fingerprint, task, labels, parent, data, metrics, golden, SHA-256 of every file
    README.md            the card
    recipe.yaml          how it was made

Only safetensors is ever opened; nothing that can run code is loaded. Runs without torch. Does not: put adapters into
memory slots (see `runtime.bank`), or find them by name (see `library`).
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.numpy import load_file

from polygraft.backbone import fits
from polygraft.errors import AdapterError, WrongBackbone
from polygraft.tasks.classification import Head

Floats = NDArray[np.float32]
Task = Literal["classification", "translation", "language"]
Lora = dict[str, tuple[Floats, Floats]]
PEFT_PREFIX = "base_model.model."
PICKLES = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"}


@dataclass(frozen=True)
class Layout:
    """Names every file of an adapter; nothing else does."""

    peft_config: str = "adapter_config.json"
    weights: str = "adapter_model.safetensors"
    head: str = "head.safetensors"
    manifest: str = "manifest.json"
    card: str = "README.md"
    recipe: str = "recipe.yaml"

    def names(self) -> list[str]:
        return [getattr(self, f.name) for f in fields(self)]


LAYOUT = Layout()
HASHED = (LAYOUT.peft_config, LAYOUT.weights, LAYOUT.head)


class Golden(BaseModel):
    """One input and the logits it got: with the adapter when it was trained, and from its head on the bare backbone."""

    model_config = ConfigDict(extra="forbid")
    text: str
    logits: list[float]
    bare: list[float]


class GoldenVector(BaseModel):
    """One input and its unit sentence vector: with the adapter when it was trained, and of the bare backbone."""

    model_config = ConfigDict(extra="forbid")
    text: str
    vector: list[float]
    bare: list[float]


class GoldenText(BaseModel):
    """One input and what was written for it in `target`: with the adapter when it was trained, and by the bare backbone."""

    model_config = ConfigDict(extra="forbid")
    text: str
    target: str
    written: str
    bare: str


class Manifest(BaseModel):
    """`manifest.json`. Unknown keys are refused, so that a newer format is never half-understood."""

    model_config = ConfigDict(extra="forbid")
    format: int = Field(1, ge=1, le=1)
    name: str
    task: Task = "classification"
    backbone: str = Field(description="fingerprint of the backbone it was trained on; of its encoder, if it only reads")
    languages: list[str]
    labels: list[str] = []
    heads: dict[str, list[str]] = Field({}, description="multi-task: labels of its further heads, by task")
    directions: list[tuple[str, str]] = Field([], description="translation: source and target languages")
    description: str = ""
    parent: str | None = Field(None, description="name@version it started from")
    stack: list[str] = Field([], description="name@version of the frozen adapters it was trained on top of")
    created: str = Field(description="UTC date, ISO 8601")
    data: list[dict[str, Any]] = Field(description="file, rows, SHA-256 and licence of each source")
    metrics: dict[str, Any] = Field(description="test figures with 95% intervals, and the ladder of baselines")
    golden: list[Golden] = []
    golden_texts: list[GoldenText] = Field([], description="translation: its goldens")
    golden_vectors: list[GoldenVector] = Field([], description="a language adapter's goldens")
    files: dict[str, str] = Field(description="SHA-256 of each weight file")
    forced: str | None = Field(None, description="why it is served although transfer harmed it (see `guard`)")

    @model_validator(mode="after")
    def _complete(self) -> Manifest:
        needed: dict[str, dict[str, object]] = {
            "classification": {"labels": len(self.labels) > 1, "golden": self.golden},
            "translation": {"directions": self.directions, "golden_texts": self.golden_texts},
            "language": {"golden_vectors": self.golden_vectors},
        }
        missing = [name for name, there in needed[self.task].items() if not there]
        if missing:
            raise ValueError(f"{self.task}: {' and '.join(missing)} are needed")
        return self

    @property
    def named(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"

    @property
    def version(self) -> str:
        """First 12 hex digits over the weight files' hashes: same weights, same version."""
        return hashlib.sha256("".join(self.files[n] for n in sorted(self.files)).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Adapter:
    """An adapter in memory. `lora[site] = (A [in, r], B [r, out])`, alpha/r folded into B: of the encoder's sites, and of the
    decoder's when it writes text. Only one that classifies has a head."""

    manifest: Manifest
    lora: Lora
    head: Head | None
    decoder_lora: Lora = field(default_factory=dict)
    heads: dict[str, Head] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def version(self) -> str:
        return self.manifest.version


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def load_manifest(folder: Path) -> Manifest:
    """Read `manifest.json`. Raises `AdapterError`."""
    if not folder.is_dir():
        raise AdapterError(f"{folder} is not an adapter: no such folder; give the folder that `polygraft train` wrote")
    file = folder / LAYOUT.manifest
    if not file.is_file():
        raise AdapterError(f"{folder} is not an adapter yet: no {LAYOUT.manifest}; run `polygraft train` on its recipe")
    try:
        return Manifest.model_validate_json(file.read_bytes())
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise AdapterError(f"{file} cannot be read: {problems}; train the adapter again or copy it whole") from None


def load_adapter(folder: Path, *, backbone: str | None = None) -> Adapter:
    """Load and check an adapter folder.

    `backbone` is the fingerprint of the backbone it must fit. Raises `WrongBackbone`, or `AdapterError` for missing, truncated
    or changed files, pickles, shapes that disagree, and NaN or infinite weights.
    """
    manifest = load_manifest(folder)
    name = manifest.name
    if backbone is not None and not fits(manifest.backbone, backbone):
        raise WrongBackbone(
            f"adapter {name!r} was trained on backbone {manifest.backbone}, this one is {backbone}; "
            "train it again on this backbone, or serve the one it was made for"
        )
    pickles = sorted(f.name for f in folder.iterdir() if f.suffix in PICKLES)
    if pickles and not (folder / LAYOUT.weights).exists():
        raise AdapterError(
            f"adapter {name!r} holds {', '.join(pickles)} instead of {LAYOUT.weights}: pickles can run code and are "
            "never loaded; save it again with safe_serialization=True"
        )
    for file in sorted({*manifest.files, LAYOUT.peft_config, LAYOUT.weights}):
        path = folder / file
        if not path.is_file():
            raise AdapterError(f"adapter {name!r} is incomplete: {file} is missing; copy the whole folder again")
        if sha256(path) != manifest.files.get(file):
            raise AdapterError(
                f"adapter {name!r}: {file} is not the file its manifest names (truncated or changed); copy it again"
            )
    config = _peft_config(folder, name)
    tensors = _tensors(folder / LAYOUT.weights, name)
    lora = lora_arrays(tensors, config["lora_alpha"], name)
    if manifest.directions:
        inside, outside = by_part(lora)
        return Adapter(manifest, inside, None, outside)
    if manifest.task == "language":
        return Adapter(manifest, lora, None)
    tensors, tasks = _tensors(folder / LAYOUT.head, name), {"": manifest.labels, **manifest.heads}
    heads = {task: _head(tensors, f"{task}." if task else "", len(labels), name) for task, labels in tasks.items()}
    return Adapter(manifest, lora, heads.pop(""), heads=heads)


def _head(tensors: dict[str, Floats], prefix: str, labels: int, name: str) -> Head:
    weight, bias = tensors.get(f"{prefix}weight"), tensors.get(f"{prefix}bias")
    if weight is None or bias is None or len(weight) != labels or bias.shape != (labels,):
        shapes = {key: value.shape for key, value in tensors.items()}
        raise AdapterError(f"adapter {name!r}: the head {shapes} does not fit its {labels} labels")
    return Head(weight, bias)


def by_part(lora: Lora) -> tuple[Lora, Lora]:
    """LoRA of a whole encoder-decoder: the encoder's sites, under the names they have in the encoder alone; the decoder's."""
    inside = {name.removeprefix("encoder."): pair for name, pair in lora.items() if name.startswith("encoder.")}
    return inside, {name: pair for name, pair in lora.items() if not name.startswith("encoder.")}


def _peft_config(folder: Path, name: str) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / LAYOUT.peft_config).read_text(encoding="utf-8"))
    unsupported = [k for k in ("use_dora", "use_rslora", "fan_in_fan_out", "rank_pattern", "alpha_pattern") if config.get(k)]
    if config.get("peft_type") != "LORA" or config.get("bias", "none") != "none" or unsupported:
        raise AdapterError(
            f"adapter {name!r} is not plain LoRA (type {config.get('peft_type')}, bias {config.get('bias')}, "
            f"{', '.join(unsupported) or 'no variants'}); plain LoRA without bias is served"
        )
    return config


def _tensors(path: Path, name: str) -> dict[str, Floats]:
    try:
        tensors = load_file(path)
    except (SafetensorError, ValueError, OSError) as error:
        raise AdapterError(f"adapter {name!r}: {path.name} is not readable as safetensors ({error})") from None
    for key, value in tensors.items():
        if not np.isfinite(value).all():
            raise AdapterError(f"adapter {name!r}: {key} in {path.name} holds NaN or infinity; train it again")
    return {key: value.astype(np.float32) for key, value in tensors.items()}


def lora_arrays(tensors: dict[str, Floats], alpha: float, name: str) -> Lora:
    """PEFT's tensors as bank arrays: `{site: (A [in, r], B [r, out])}`, alpha/r folded into B."""
    lora: Lora = {}
    sites = {key.removeprefix(PEFT_PREFIX).rsplit(".lora_", 1)[0] for key in tensors}
    for site in sorted(sites):
        a = tensors.get(f"{PEFT_PREFIX}{site}.lora_A.weight")
        b = tensors.get(f"{PEFT_PREFIX}{site}.lora_B.weight")
        if a is None or b is None or a.shape[0] != b.shape[1]:
            raise AdapterError(f"adapter {name!r}: LoRA A and B of site {site} are missing or disagree in rank")
        lora[site] = (np.ascontiguousarray(a.T), np.ascontiguousarray(b.T) * np.float32(alpha / a.shape[0]))
    return lora


def publish(staging: Path, folder: Path) -> None:
    """Move a complete adapter from `staging` into `folder`, the manifest last.

    A reader sees the old adapter, the new one, or (for the moment between two renames) hashes that do not match, which
    `load_adapter` refuses. Both folders must be on one file system.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = [n for n in LAYOUT.names() if n != LAYOUT.manifest and (staging / n).exists()]
    for name in [*names, LAYOUT.manifest]:
        os.replace(staging / name, folder / name)
