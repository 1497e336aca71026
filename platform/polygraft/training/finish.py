"""What every training run ends with: an adapter folder put together beside its place, checked, and
moved there."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from polygraft.adapters.format import LAYOUT, Manifest, load_adapter
from polygraft.adapters.publishing import publish, staging


def made_with(started: float) -> dict[str, Any]:
    """Seconds since `started` (of `time.monotonic`), versions and threads, for the manifest's
    metrics."""
    import torch  # what is checked only, not trained, does without

    return {
        "seconds": round(time.monotonic() - started),
        "torch": torch.__version__,
        "transformers": version("transformers"),
        "threads": torch.get_num_threads(),
    }


def finish(
    output: Path,
    recipe: Path | None,
    save: Callable[[Path], None],
    describe: Callable[[Path], Manifest],
    write_card: Callable[[Manifest, Path], None],
) -> Manifest:
    """Write an adapter folder and publish it to `output`. Returns its manifest.

    `save` writes the weights into a folder, `describe` gives the manifest of the weights in it, and
    `write_card` writes the card to a file. `recipe` is the file the adapter was made by, if there
    is one. Raises `AdapterError` when the result cannot be loaded; `output` is unchanged then.
    """
    with staging(output) as staged:
        save(staged)
        if recipe is not None:
            shutil.copyfile(recipe, staged / LAYOUT.recipe)
        manifest = describe(staged)
        (staged / LAYOUT.manifest).write_bytes(manifest.as_file())
        write_card(manifest, staged / LAYOUT.card)
        load_adapter(staged, backbone=manifest.backbone)
        publish(staged, output)
    return manifest
