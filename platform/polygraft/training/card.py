"""The card of an adapter: what it is, its figures beside the baselines, its data and its limits.
Markdown, Hub front matter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from polygraft.adapters.format import Manifest
from polygraft.data.leaks import sentence
from polygraft.tasks.recipe import AdapterRecipe
from polygraft.tasks.training import TrainedTask


def write_card(
    manifest: Manifest, recipe: AdapterRecipe, task: TrainedTask[Any, Any], file: Path
) -> None:
    """Write `README.md` for the adapter."""
    front: dict[str, Any] = {"library_name": "peft"}
    if task.pipeline_tag:
        front["pipeline_tag"] = task.pipeline_tag
    front |= {"language": manifest.languages, "tags": ["lora", "polygraft", *task.tags]}
    leaks = manifest.metrics.get("leaks")
    lines = [
        f"---\n{yaml.safe_dump(front, sort_keys=False)}---\n\n# {manifest.name}\n",
        f"{manifest.description.strip()}\n" if manifest.description else "",
        f"{task.introduction(manifest, recipe)}; backbone `{manifest.backbone}`, version "
        f"`{manifest.version}`.\n",
        task.figures(manifest.metrics),
        task.examples(manifest.metrics),
        "\n## Data\n\n| split | source | rows | licence |\n|---|---|---|---|",
        *(
            f"| {d['split']} | `{d['source']}` | {d['rows']} | {d['licence']} |"
            for d in manifest.data
        ),
        f"\n{sentence(leaks)}" if leaks else "",
        f"\n## Limits\n\n{task.limits} The weights carry the terms of the data they were trained "
        "on.\n",
    ]
    file.write_text("\n".join(line for line in lines if line), encoding="utf-8")


def origin(manifest: Manifest) -> str:
    """What its training started from."""
    return f"child of {manifest.parent}" if manifest.parent else "trained from the bare backbone"
