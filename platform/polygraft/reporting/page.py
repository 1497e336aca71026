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
    adapters = []
    for folder in folders:
        manifest = load(engine, folder)
        adapter = manifest.model_dump(exclude=LEFT_OUT | {manifest.golden_field})
        adapter["version"] = manifest.version
        adapter |= registry.page(manifest.task).answered(engine, manifest, folder)
        engine.remove(manifest.name)
        adapters.append(adapter)
    return adapters


def page(adapters: Sequence[dict[str, Any]]) -> str:
    """HTML of what `gather` gave."""
    parts = ["<h1>Adapters</h1>"]
    for task in registry.TASKS:
        if of_task := [adapter for adapter in adapters if adapter["task"] == task]:
            parts += registry.page(task).overview(of_task)
    for adapter in adapters:
        parts += [
            f"<h2>{text(adapter['name'])} <small>{adapter['version']}</small></h2>",
            f"<p>{text(adapter['description'])}</p>",
        ]
        parts += registry.page(adapter["task"]).sections(adapter)
    return document("Adapters: " + ", ".join(adapter["name"] for adapter in adapters), parts)
