"""The files of an adapter folder, and the names that publishing keeps for itself."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Layout:
    """Names every file of an adapter; nothing else does."""

    peft_config: str = "adapter_config.json"
    weights: str = "adapter_model.safetensors"
    head: str = "head.safetensors"
    manifest: str = "manifest.json"
    card: str = "README.md"
    recipe: str = "recipe.yaml"
    vectors: str = "vectors.safetensors"

    def names(self) -> list[str]:
        return [getattr(self, f.name) for f in fields(self)]


NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
VERSION = re.compile(r"[0-9a-f]{12}")
POINTER = "pointer.json"
"""In the folder of a name, beside its versions: which of them is served (see `pointer`)."""
LAYOUT = Layout()
HASHED = (LAYOUT.peft_config, LAYOUT.weights, LAYOUT.head)
"""What an adapter answers with: its version is theirs."""
LISTED = (*HASHED, LAYOUT.vectors)
"""The files whose SHA-256 the manifest lists."""
MiB = 2**20
LARGEST = {
    LAYOUT.weights: 512 * MiB,
    LAYOUT.head: 64 * MiB,
    LAYOUT.manifest: 16 * MiB,
    LAYOUT.vectors: 16 * MiB,
}  # bytes; others: `OTHER_LARGEST`
OTHER_LARGEST = MiB


def largest(name: str) -> int:
    """How many bytes the file `name` of an adapter may have. What is larger is refused before it is
    read."""
    return LARGEST.get(name, OTHER_LARGEST)
