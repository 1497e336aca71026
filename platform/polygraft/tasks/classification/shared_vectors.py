"""What a classifier keeps of its training rows so that other adapters can learn from them: vectors,
labels, no text. numpy only.

`vectors.safetensors` holds, with its SHA-256 in the manifest:

    vectors  [rows, hidden] int8, each row divided by its scale
    scale    [rows] float32
    labels   [rows] int32: places among the manifest's labels
    ids      [rows] int64, hashes of the rows' ids; only where the recipe names an id column

The vectors are mean-pooled, of the bare backbone: whatever the adapter itself lies on, another
adapter's head stands beside them. int8 costs nothing that could be measured, nor does a draw of
`MAX_ROWS` (docs/results/transfer.md). Of the lexical part nothing is kept: it is fitted on the
target's rows alone, and so are the logits beside which a source's weight is chosen. Who has the
backbone can guess at a text from its vector (Morris et al. 2023, "Text Embeddings Reveal (Almost)
As Much As Text"), so a recipe can forbid it: `data.share_vectors: false`. Does not: compute them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from polygraft.adapters.layout import LAYOUT, largest
from polygraft.adapters.publishing import reading
from polygraft.errors import AdapterError
from polygraft.tasks.classification.manifest import ClassificationManifest
from polygraft.tasks.serving import Floats

MAX_ROWS = 2000
LARGEST_INT8 = 127
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class SharedVectors:
    """Vectors [rows, hidden], the rows' labels, and hashes of their ids, of which there may be
    none."""

    vectors: Floats
    labels: list[str]
    ids: Ids

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def content(self) -> list[object]:
        """What a hash of the rows is made of."""
        digest = hashlib.sha256(np.ascontiguousarray(self.vectors).tobytes()).hexdigest()
        return [digest, self.labels, self.ids.tolist()]

    def relabelled(self, names: Mapping[str, str]) -> SharedVectors:
        """The rows whose label is in `names`, with the name it has there."""
        kept = self.without({i for i, label in enumerate(self.labels) if label not in names})
        return replace(kept, labels=[names[label] for label in kept.labels])

    def scaled(self, factor: float | None) -> SharedVectors:
        """The vectors times a factor; None: each at length 1."""
        by = 1 / np.linalg.norm(self.vectors, axis=1, keepdims=True) if factor is None else factor
        return replace(self, vectors=(self.vectors * by).astype(np.float32))

    def without(self, drop: Container[int]) -> SharedVectors:
        """The rows whose places are not in `drop`, in their order."""
        kept = [i for i in range(len(self)) if i not in drop]
        ids = self.ids[kept] if len(self.ids) else self.ids
        return SharedVectors(self.vectors[kept], [self.labels[i] for i in kept], ids)


def id_hashes(ids: Sequence[str]) -> Ids:
    """64 bits of each id, which tell whether two rows have the same and do not tell which."""
    digests = (hashlib.blake2b(i.encode(), digest_size=8).digest() for i in ids)
    return np.array([int.from_bytes(d, "little", signed=True) for d in digests], np.int64)


def write_vectors(shared: SharedVectors, labels: Sequence[str], file: Path) -> None:
    """`labels` are the manifest's."""
    scale = np.abs(shared.vectors).max(axis=1) / LARGEST_INT8
    scale = np.where(scale > 0, scale, 1).astype(np.float32)
    place = {label: i for i, label in enumerate(labels)}
    tensors: dict[str, NDArray[np.generic]] = {
        "vectors": np.rint(shared.vectors / scale[:, None]).astype(np.int8),
        "scale": scale,
        "labels": np.array([place[label] for label in shared.labels], np.int32),
    }
    if len(shared.ids):
        tensors["ids"] = shared.ids
    file.write_bytes(save(tensors))


def read_vectors(folder: Path, manifest: ClassificationManifest) -> SharedVectors | None:
    """The rows that the adapter in `folder` shares; None where it shares none. Raises
    `AdapterError` for a file that is not the one its manifest names, or not of this form."""
    digest = manifest.files.get(LAYOUT.vectors)
    if digest is None:
        return None
    with reading(folder) as home:
        file = home / LAYOUT.vectors
        content = file.read_bytes() if file.is_file() else b""
    if len(content) > largest(LAYOUT.vectors) or hashlib.sha256(content).hexdigest() != digest:
        raise _broken(manifest.name, "is not the file its manifest names")
    try:
        tensors = load(content)
        scale, places = tensors["scale"], tensors["labels"]
        vectors = tensors["vectors"].astype(np.float32) * scale[:, None]
        ids = tensors.get("ids", np.zeros(0, np.int64))
        labels = [manifest.labels[place] for place in places.tolist()]
    except (SafetensorError, KeyError, IndexError, ValueError, TypeError) as error:
        raise _broken(manifest.name, f"cannot be read ({type(error).__name__})") from None
    rows = {len(vectors), len(labels), len(ids) or len(labels)}
    if vectors.ndim != 2 or len(rows) > 1 or not np.isfinite(vectors).all():
        raise _broken(manifest.name, "does not hold a vector and a label for every row")
    return SharedVectors(vectors, labels, ids.astype(np.int64))


def _broken(name: str, why: str) -> AdapterError:
    return AdapterError(
        f"adapter {name!r}: {LAYOUT.vectors} {why}; copy the adapter again, or write it from its "
        f"recipe: `polygraft adapters vectors {name}`"
    )
