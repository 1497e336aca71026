"""`polygraft report ADAPTER...`: one self-contained HTML page about adapters, and the same as JSON.

The figures are those of the manifests; what a task shows beside them, some of it from answering the
held-out rows once more through the engine that serves, is in `tasks/<task>/page.py`. That needs the
data the recipe names, and is left out where it is not on this machine. Does not: train.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from polygraft.offline import load
from polygraft.reporting.plots import document, text
from polygraft.runtime.engine import Engine
from polygraft.tasks import registry

LEFT_OUT = {"format", "backbone", "created", "data", "files", "forced"}


def gather(engine: Engine, folders: Sequence[Path]) -> list[dict[str, Any]]:
    """What the page shows of each adapter, ready for JSON. Raises `AdapterError` for a folder that
    is none."""
    found = []
    for folder in folders:
        manifest = load(engine, folder)
        one = manifest.model_dump(exclude=LEFT_OUT | {manifest.golden_field})
        one["version"] = manifest.version
        one |= registry.page(manifest.task).answered(engine, manifest, folder)
        engine.remove(manifest.name)
        found.append(one)
    return found


def page(found: Sequence[dict[str, Any]]) -> str:
    """HTML of what `gather` gave."""
    parts = ["<h1>Adapters</h1>"]
    for task in registry.TASKS:
        if mine := [one for one in found if one["task"] == task]:
            parts += registry.page(task).overview(mine)
    for one in found:
        parts += [
            f"<h2>{text(one['name'])} <small>{one['version']}</small></h2>",
            f"<p>{text(one['description'])}</p>",
        ]
        parts += registry.page(one["task"]).sections(one)
    return document("Adapters: " + ", ".join(one["name"] for one in found), parts)
