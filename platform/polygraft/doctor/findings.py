"""What is told of one thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """`level`: a problem keeps something from working, a warning makes it worse or rare. `remedy`
    is what to do, empty where nothing is, or where `message` says it."""

    check: str
    level: Level
    message: str
    remedy: str = ""
