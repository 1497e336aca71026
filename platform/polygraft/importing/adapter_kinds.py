"""What an imported adapter becomes, by task: its manifest, with goldens that PyTorch and peft give
with it, and its card.

Does not: read what PEFT wrote (see `peft_folder` and `peft_head`), or write weights (see
`adapter`).
"""

from __future__ import annotations

import datetime
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import peft
import torch
import yaml

from polygraft.adapters.arrays import Floats
from polygraft.adapters.format import Manifest, hashes_of
from polygraft.architectures.conventions import Direction
from polygraft.architectures.folder import encoder_part, fingerprint
from polygraft.architectures.loading import load_backbone, load_seq2seq
from polygraft.architectures.target_tokenizer import load_target_tokenizer
from polygraft.architectures.text import TextEncoder, load_encoder
from polygraft.errors import AdapterError
from polygraft.export.calibrate import calibration_texts
from polygraft.importing.peft_folder import PeftFolder
from polygraft.importing.peft_head import PeftHead
from polygraft.runtime.graph import load_card
from polygraft.tasks.classification.hidden_layer import Pooling
from polygraft.tasks.classification.manifest import ClassificationManifest, GoldenLogits
from polygraft.tasks.language.manifest import LanguageManifest
from polygraft.tasks.translation.golden import GOLDENS, choose_goldens
from polygraft.tasks.translation.manifest import TranslationManifest
from polygraft.training.batches import tensors
from polygraft.training.golden_vectors import moved_most
from polygraft.training.goldens import CANDIDATES, COUNT, beginnings, rounded
from polygraft.training.vectors import sentence_vectors

TRANSLATED = 240
"""Texts, over all directions, of which goldens are chosen."""


@dataclass(frozen=True)
class Wanted:
    """What the user says of an adapter. `labels`: of its head, in order (None: what the folder's
    config says). `directions`: of a translator. `texts`: what its goldens are made of, each with
    its language where that is known (none: sentences of many languages)."""

    languages: Sequence[str]
    labels: Sequence[str] | None = None
    directions: Sequence[Direction] = ()
    texts: Sequence[tuple[str, str | None]] = ()
    licence: str | None = None
    pooling: Pooling | None = None
    description: str = ""
    revision: str | None = None


@dataclass(frozen=True)
class Imported(ABC):
    """What is the same for an imported adapter of any task."""

    theirs: PeftFolder
    backbone: Path
    wanted: Wanted
    licence: str

    def check(self) -> None:  # noqa: B027  # most have nothing to check
        """Raises `AdapterError` for what the user says wrongly."""

    @abstractmethod
    def manifest(self, name: str, folder: Path) -> Manifest:
        """Of the weights in `folder`."""

    def write_card(self, manifest: Manifest, file: Path) -> None:
        front = {
            "library_name": "peft",
            "license": "other",
            "license_name": self.licence,
            "language": list(self.wanted.languages),
            "tags": ["lora", "polygraft"],
        }
        made_for = f", made for {self.theirs.base}" if self.theirs.base else ""
        lines = [
            f"---\n{yaml.safe_dump(front, sort_keys=False)}---\n\n# {manifest.name}\n",
            f"{self.wanted.description.strip()}\n" if self.wanted.description else "",
            f"Imported by `polygraft adapters import` from {self.theirs.named}{made_for}; "
            f"{self.says(manifest)}. LoRA of rank {self.theirs.r} on {len(self.theirs.lora)} "
            f"layers; backbone `{manifest.backbone}`, version `{manifest.version}`; licence "
            f"{self.licence}.\n",
            "## Limits\n\nIt was not trained or scored here, and nothing shows that the base it "
            "was made for is this backbone but the sizes of its layers: try it on rows whose "
            "answer you know.\n",
        ]
        file.write_text("\n".join(line for line in lines if line), encoding="utf-8")

    @abstractmethod
    def says(self, manifest: Any) -> str:
        """What it is for, in a few words."""

    @property
    def texts(self) -> list[str]:
        """Short ones, for goldens."""
        given = [text for text, _ in self.wanted.texts]
        return beginnings(given or calibration_texts(), [])[:CANDIDATES]

    def fields(self, name: str, folder: Path, *, whole: bool = False) -> dict[str, Any]:
        """The manifest's, but for its task's own."""
        print_of = fingerprint(self.backbone)
        return {
            "format": 1,
            "name": name,
            "backbone": print_of if whole else encoder_part(print_of),
            "languages": list(self.wanted.languages),
            "description": self.wanted.description,
            "created": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "data": [
                {
                    "split": "train",
                    "source": f"not here; imported from {self.theirs.named}",
                    "rows": None,
                    "sha256": None,
                    "licence": self.licence,
                }
            ],
            "metrics": {},
            "files": hashes_of(folder),
        }


@dataclass(frozen=True)
class ImportedLanguage(Imported):
    """It answers nothing by itself."""

    def manifest(self, name: str, folder: Path) -> LanguageManifest:
        adapted = peft.PeftModel.from_pretrained(load_backbone(self.backbone), folder).eval()
        goldens = moved_most(adapted, load_encoder(self.backbone), self.texts, [])
        return LanguageManifest(**self.fields(name, folder), golden_vectors=goldens)

    def says(self, manifest: Any) -> str:
        return f'it answers nothing by itself and lies under others: `["{manifest.name}", "TASK"]`'


@dataclass(frozen=True)
class ImportedTranslator(Imported):
    """LoRA on the encoder, or on both halves, that writes the directions the user names."""

    def check(self) -> None:
        conventions = load_target_tokenizer(self.backbone).conventions
        if unknown := conventions.unknown(self.wanted.directions):
            raise AdapterError(
                f"this backbone does not write {', '.join(unknown)}; it writes "
                f"{conventions.listed()}"
            )
        if not any(self._sources().values()):
            raise AdapterError(
                "a translator is imported with texts of the languages that it reads, of which its "
                'goldens are made: --texts FILE, of rows with "text" and "source"'
            )

    def manifest(self, name: str, folder: Path) -> TranslationManifest:
        bare = load_seq2seq(self.backbone)
        adapted = peft.PeftModel.from_pretrained(load_seq2seq(self.backbone), folder).eval()
        tokenizers = load_encoder(self.backbone), load_target_tokenizer(self.backbone)
        goldens = choose_goldens(adapted, bare, tokenizers, self._sources())
        return TranslationManifest(
            **self.fields(name, folder, whole=True),
            directions=list(self.wanted.directions),
            golden_texts=goldens,
        )

    def says(self, manifest: Any) -> str:
        return "it translates " + ", ".join(f"{a} to {b}" for a, b in manifest.directions)

    def _sources(self) -> Mapping[Direction, list[str]]:
        """Texts to translate, by direction."""
        each = max(GOLDENS, TRANSLATED // len(self.wanted.directions))
        only = {source for source, _ in self.wanted.directions}
        return {
            direction: [
                text
                for text, language in self.wanted.texts
                if direction[0] == language or (language is None and len(only) == 1)
            ][:each]
            for direction in self.wanted.directions
        }


@dataclass(frozen=True)
class ImportedClassifier(Imported):
    """With the head that PEFT kept beside LoRA."""

    head: PeftHead

    @property
    def labels(self) -> list[str]:
        return list(self.wanted.labels or self.theirs.id2label or [])

    def check(self) -> None:
        count = len(self.head.head.weight)
        if len(self.labels) != count:
            where = "given" if self.wanted.labels else "in its config"
            raise AdapterError(
                f"the head of {self.theirs.named} has {count} labels, and {len(self.labels)} are "
                f"{where}; name them in its order: --labels ham,spam"
            )
        hidden = load_card(self.backbone).hidden
        if self.head.head.width != hidden:
            raise AdapterError(
                f"the head of {self.theirs.named} reads {self.head.head.width} values, and this "
                f"backbone's states have {hidden}; it was made for another base"
            )

    def manifest(self, name: str, folder: Path) -> ClassificationManifest:
        adapted = peft.PeftModel.from_pretrained(load_backbone(self.backbone), folder).eval()
        return ClassificationManifest(
            **self.fields(name, folder),
            labels=self.labels,
            pooling=self.head.pooling,
            activation=self.head.activation,
            golden=self._goldens(adapted),
        )

    def says(self, manifest: Any) -> str:
        return f"it gives a text one of {', '.join(manifest.labels)}"

    def _goldens(self, adapted: peft.PeftModel) -> list[GoldenLogits]:
        """Texts whose logits the adapter moves most."""
        encoder, texts, head = load_encoder(self.backbone), self.texts, self.head
        ours = head.head.logits(_read(adapted, encoder, texts, head.pooling))
        with adapted.disable_adapter():
            bare = head.head.logits(_read(adapted, encoder, texts, head.pooling))
        furthest = np.argsort(-np.linalg.norm(ours - bare, axis=1))[:COUNT]
        return [
            GoldenLogits(
                text=texts[i],
                logits=rounded(ours[i]),
                bare=rounded(bare[i]),
                joined=rounded(ours[i]),
            )
            for i in furthest
        ]


@torch.no_grad()
def _read(
    model: peft.PeftModel, encoder: TextEncoder, texts: Sequence[str], pooling: Pooling
) -> Floats:
    """What a head reads of each text, [texts, hidden]."""
    if pooling == "mean":
        return sentence_vectors(model, encoder, texts, unit=False)
    states = model(**tensors(encoder.pad(encoder.encode(texts)))).last_hidden_state
    first: Floats = states[:, 0].float().numpy()
    return first
