"""The key of a training run: checkpoints, and what else a run leaves behind, are used again only by
a run of the same key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from polygraft.adapters.format import load_manifest
from polygraft.architectures.folder import fingerprint
from polygraft.tasks.recipe import AdapterRecipe


def run_key(
    recipe: AdapterRecipe,
    backbone: Path,
    adapters: Iterable[Path],
    rows: Iterable[Sequence[object]],
) -> str:
    """12 hex digits of SHA-256 over all that a run depends on: the recipe, the backbone, the
    versions of the adapters in the folders `adapters` (parent, stack), and every row it reads, as
    JSON can write it.

    The rows themselves count, not the hashes of their files: an adapter's rows also depend on
    `--allow-leak` and on the recipes of others.
    """
    digest = hashlib.sha256()
    versions = [
        recipe.model_dump_json(),
        fingerprint(backbone),
        *(load_manifest(folder).named for folder in adapters),
    ]
    for part in (versions, *rows):
        digest.update(json.dumps(part).encode() + b"\n")
    return digest.hexdigest()[:12]
