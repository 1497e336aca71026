"""`log.jsonl` of a phase: a line a checkpoint, nothing after the last checkpoint that a killed run
goes on from."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from polygraft.pretrain.tally import Tally

SHOWN_EVERY = 1.0  # seconds


class Log:
    """Means since the line before, and totals since the phase's first step.

    A line: `step`; each loss; `directions`, the translation loss of a piece by direction; `tokens`
    read and written, of them `written`; `seconds`; and what else it is given.
    """

    def __init__(self, file: Path, step: int, languages: Sequence[str]) -> None:
        """Takes up the log of a run that goes on after `step`, without lines beyond it."""
        text = file.read_text(encoding="utf-8") if step and file.exists() else ""
        lines = [line for line in text.split("\n") if line]
        kept = [line for line in lines if json.loads(line)["step"] <= step]
        last: dict[str, Any] = json.loads(kept[-1]) if kept else {"tokens": 0, "seconds": 0}
        if len(kept) < len(lines) or not step:  # the rest was not followed by a checkpoint
            file.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        self.file, self.directions = file, Tally(languages)
        self._tokens, self._written = last["tokens"], last.get("written", 0)
        self._started = time.monotonic() - last["seconds"]
        self._sums = defaultdict[str, list[torch.Tensor]](list)
        self._shown, self._shown_at = "", 0.0

    def add(self, terms: dict[str, torch.Tensor], read: int, written: int) -> None:
        """A step: its losses, and the tokens it read and wrote."""
        self._tokens += read + written
        self._written += written
        for name, value in terms.items():
            self._sums[name].append(value.detach())

    def latest(self) -> str:
        """The losses of the last step, for people: read once a second at most, since reading them
        waits for a GPU."""
        if time.monotonic() - self._shown_at > SHOWN_EVERY:
            self._shown = " ".join(f"{k} {v[-1].item():.2f}" for k, v in self._sums.items() if v)
            self._shown_at = time.monotonic()
        return self._shown

    def write(self, step: int, more: dict[str, Any]) -> None:
        means = {
            name: round(float(torch.stack(values).mean()), 4) for name, values in self._sums.items()
        }
        by_direction = self.directions.means()
        directions = {"directions": by_direction} if by_direction else {}
        totals = {
            "tokens": self._tokens,
            "written": self._written,
            "seconds": round(time.monotonic() - self._started),
        }
        with self.file.open("a", encoding="utf-8") as log:
            log.write(json.dumps({"step": step, **means, **directions, **totals, **more}) + "\n")
        self._sums.clear()
        self.directions.clear()
