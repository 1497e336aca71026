"""What every training run ends with: an adapter folder put together beside its place, checked, and
moved there."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers

from polygraft.adapters.format import LAYOUT, Manifest, load_adapter
from polygraft.adapters.publishing import publish, staging


def made_with(started: float) -> dict[str, Any]:
    """Seconds since `started` (of `time.monotonic`), versions and threads, for the manifest's
    metrics."""
    return {
        "seconds": round(time.monotonic() - started),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "threads": torch.get_num_threads(),
    }


def finish(
    output: Path,
    recipe: Path | None,
    save: Callable[[Path], None],
    describe: Callable[[Path], Manifest],
    write_card: Callable[[Manifest, Path], None],
) -> Manifest:
    """`recipe` is the file it was made by, if there is one; `save` writes the weights into a
    folder, `describe` gives the manifest of what lies there, `write_card` the card. Returns the
    manifest. Raises `AdapterError` when the result cannot be loaded; `output` has not changed
    then."""
    with staging(output) as made:
        save(made)
        if recipe is not None:
            shutil.copyfile(recipe, made / LAYOUT.recipe)
        manifest = describe(made)
        (made / LAYOUT.manifest).write_text(
            manifest.model_dump_json(indent=1) + "\n", encoding="utf-8"
        )
        write_card(manifest, made / LAYOUT.card)
        load_adapter(made, backbone=manifest.backbone)
        publish(made, output)
    return manifest
