"""The card of an adapter: what it is, its figures beside the baselines, its data and its limits.
Markdown, with the Hub's front matter."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from polygraft.adapters.format import Manifest
from polygraft.data.leaks import sentence
from polygraft.tasks.recipe import AdapterRecipe


class Card(ABC):
    """How the cards of a task's adapters are written. A task says what is its own in
    `tasks/<task>/card.py`; `write` adds what all cards have."""

    pipeline_tag: str | None = None
    """The Hub's name for what such an adapter does."""
    tags: Sequence[str] = ()
    """Further tags for the Hub."""
    limits: str
    """What was not measured, and what an adapter is not good for."""

    @abstractmethod
    def introduction(self, manifest: Any, recipe: Any) -> str:
        """A sentence on what the adapter is, without backbone, version and full stop."""

    @abstractmethod
    def figures(self, metrics: dict[str, Any]) -> str:
        """A manifest's metrics as Markdown."""

    def verdict(self, metrics: dict[str, Any]) -> str:
        """Whether training, or transfer, was worth it, with the figure; nothing by default."""
        return ""

    def promises(self, manifest: Any) -> str:
        """What is promised of the adapter's answers, as Markdown; nothing by default."""
        return ""

    def examples(self, metrics: dict[str, Any]) -> str:
        """Examples of what the adapter answers, as Markdown; none by default."""
        return ""

    def shared(self, manifest: Any, recipe: Any) -> str:
        """What the adapter's folder holds of its data, as Markdown; nothing by default."""
        return ""

    def write(self, manifest: Manifest, recipe: AdapterRecipe, file: Path) -> None:
        """Write the card of an adapter, its `README.md`, to `file`."""
        front: dict[str, Any] = {"library_name": "peft"}
        if self.pipeline_tag:
            front["pipeline_tag"] = self.pipeline_tag
        front |= {"language": manifest.languages, "tags": ["lora", "polygraft", *self.tags]}
        leaks, verdict = manifest.metrics.get("leaks"), self.verdict(manifest.metrics)
        lines = [
            f"---\n{yaml.safe_dump(front, sort_keys=False)}---\n\n# {manifest.name}\n",
            f"{manifest.description.strip()}\n" if manifest.description else "",
            f"{self.introduction(manifest, recipe)}; backbone `{manifest.backbone}`, version "
            f"`{manifest.version}`.\n",
            self.figures(manifest.metrics),
            f"\n**Verdict**: {verdict}." if verdict else "",
            self.promises(manifest),
            self.examples(manifest.metrics),
            "\n## Data\n\n| split | source | rows | licence |\n|---|---|---|---|",
            *(
                f"| {source['split']} | `{source['source']}` | {source['rows']} | "
                f"{source['licence']} |"
                for source in manifest.data
            ),
            f"\n{sentence(leaks)}" if leaks else "",
            self.shared(manifest, recipe),
            f"\n## Limits\n\n{self.limits} The weights carry the terms of the data they were "
            "trained on.\n",
        ]
        file.write_text("\n".join(line for line in lines if line), encoding="utf-8")


def origin(manifest: Manifest) -> str:
    """What the training of an adapter started from."""
    began = f"child of {manifest.parent}" if manifest.parent else "trained from the bare backbone"
    return f"{began}, on top of {', '.join(manifest.stack)}" if manifest.stack else began


def lora_of(manifest: Manifest, recipe: AdapterRecipe) -> str:
    """Rank, alpha and sites of an adapter's LoRA."""
    sites = "of its parent" if manifest.parent else recipe.lora.sites
    return f"LoRA r={recipe.lora.r}, alpha={recipe.lora.alpha:g}, sites {sites}"
