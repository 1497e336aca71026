"""Task arithmetic: an adapter that is a task's plus some others and minus some (Ilharco et al.
2023, section 2; for languages, task + target language - source language, Chronopoulou et al. 2024).

Ranks side by side, so the sum is exact; a smaller rank is the best approximation of it. Does not:
train, or say that it helped.
"""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import peft
import torch

from polygraft.adapters.format import HASHED, LAYOUT, Manifest, load_adapter, load_manifest, sha256
from polygraft.architectures.folder import encoder_part, fingerprint
from polygraft.architectures.loading import load_backbone
from polygraft.architectures.text import load_encoder
from polygraft.errors import AdapterError
from polygraft.tasks.classification.manifest import ClassificationManifest, GoldenLogits
from polygraft.tasks.classification.serving import Head
from polygraft.training.finish import finish
from polygraft.training.goldens import rounded
from polygraft.training.lora import OWN, save_lora
from polygraft.training.vectors import sentence_vectors


def combine(
    task: Path,
    plus: Sequence[Path],
    minus: Sequence[Path],
    output: Path,
    backbone: Path,
    *,
    rank: int | None = None,
) -> Manifest:
    """Write the sum to `output`, whose name is the new adapter's; returns its manifest. Raises
    `AdapterError` for adapters that do not fit, or a task that does not classify."""
    others = [*plus, *minus]
    first, *added = (
        load_adapter(folder, backbone=fingerprint(backbone)) for folder in (task, *others)
    )
    if not isinstance(first.manifest, ClassificationManifest):
        raise AdapterError(
            f"adapter {first.name!r} has no head; the first one must be a classifier"
        )
    first.manifest.require_plain_head()
    writers = [adapter.name for adapter in (first, *added) if adapter.writes]
    if writers:
        raise AdapterError(
            f"adapter {writers[0]!r} translates; only what sits on the encoder alone can be added"
        )
    names = [f"part_{i}" for i in range(1 + len(others))]
    weights = [1.0] * (1 + len(plus)) + [-1.0] * len(minus)
    model = peft.PeftModel.from_pretrained(load_backbone(backbone), task, adapter_name=names[0])
    for name, folder in zip(names[1:], others, strict=True):
        model.load_adapter(folder, adapter_name=name)
    options = (
        {"combination_type": "cat"}
        if rank is None
        else {"combination_type": "svd", "svd_rank": rank}
    )
    model.add_weighted_adapter(names, weights, OWN, **options)
    model.set_adapter(OWN)
    output.mkdir(parents=True, exist_ok=True)
    head: Head = first.head.own

    def save(folder: Path) -> None:
        save_lora(model, folder, backbone)
        shutil.copyfile(task / LAYOUT.head, folder / LAYOUT.head)

    def describe(folder: Path) -> Manifest:
        return _manifest(model.eval(), head, output.name, task, plus, minus, backbone, folder)

    return finish(output, None, save, describe, _write_card)


def _write_card(manifest: Manifest, file: Path) -> None:
    file.write_text(f"# {manifest.name}\n\n{manifest.description}\n", encoding="utf-8")


def _manifest(
    model: peft.PeftModel,
    head: Head,
    name: str,
    task: Path,
    plus: Sequence[Path],
    minus: Sequence[Path],
    backbone: Path,
    folder: Path,
) -> Manifest:
    """The manifest of the sum, whose weights lie in `folder`."""
    first = load_manifest(task, ClassificationManifest)
    added = [load_manifest(adapter) for adapter in plus]
    taken = [load_manifest(adapter) for adapter in minus]
    terms = " ".join(
        [first.named, *(f"+ {m.named}" for m in added), *(f"- {m.named}" for m in taken)]
    )
    return ClassificationManifest(
        format=1,
        name=name,
        backbone=encoder_part(fingerprint(backbone)),
        languages=list(dict.fromkeys(x for m in added or [first] for x in m.languages)),
        labels=first.labels,
        heads=first.heads,
        description=f"Task arithmetic, not trained and not scored: {terms}.",
        parent=first.named,
        created=datetime.datetime.now(datetime.UTC).date().isoformat(),
        data=[source for m in (first, *added, *taken) for source in m.data],
        metrics={},
        lexical=first.lexical,
        golden=_goldens(model, head, backbone, first.golden),
        files={name: sha256(folder / name) for name in HASHED},
    )


@torch.no_grad()
def _goldens(
    model: peft.PeftModel, head: Head, backbone: Path, firsts: Sequence[GoldenLogits]
) -> list[GoldenLogits]:
    """The goldens of the first, answered anew by the neural part; the lexical part is its own."""
    encoder, texts = load_encoder(backbone), [golden.text for golden in firsts]

    def logits() -> np.ndarray:
        return head.logits(sentence_vectors(model, encoder, texts, unit=False))

    adapted = logits()
    with model.disable_adapter():
        bare = logits()
    return [
        GoldenLogits(
            text=golden.text, logits=rounded(ours), bare=rounded(theirs), lexical=golden.lexical
        )
        for golden, ours, theirs in zip(firsts, adapted, bare, strict=True)
    ]
