from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from polygraft.runtime.engine import Engine
from rating.serving import RatingManifest


def answered(engine: Engine, manifest: RatingManifest, folder: Path) -> dict[str, Any]:
    return {}


def overview(adapters: Sequence[dict[str, Any]]) -> list[str]:
    return []


def sections(adapter: dict[str, Any]) -> list[str]:
    return [f"<p>Loss {adapter['metrics']['loss']}</p>"]
