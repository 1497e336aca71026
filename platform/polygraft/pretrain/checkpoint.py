"""Checkpoints of a phase: whole ones, from which a run goes on as if nothing had happened, and
portable ones, small enough to take to another machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import EncoderDecoderModel

from polygraft.errors import BackboneError
from polygraft.pretrain.average import Average
from polygraft.pretrain.encoder_adapter import has_lora

PORTABLE = "carry.safetensors"
TIED = "decoder.cls.predictions.decoder"  # the decoder's embedding rows again


class Checkpoint:
    """Writes and reads the checkpoints of one phase.

    Weights that no phase changes are left out: those of an encoder with an adapter on it.
    """

    def __init__(
        self,
        model: EncoderDecoderModel,
        head: nn.Module,
        average: Average,
        optimizers: list[torch.optim.Optimizer],
        work: Path,
        device: str,
    ) -> None:
        self.model, self.head, self.average, self.optimizers = model, head, average, optimizers
        self.device = device
        self.file, self.portable = work / "checkpoint.pt", work / PORTABLE
        self._fixed = set[str]()
        if has_lora(model):
            named = model.named_parameters(remove_duplicate=False)
            self._fixed = {name for name, p in named if not p.requires_grad}

    def write(self, step: int) -> None:
        """Write `checkpoint.pt` beside its place and move it there once it is on disk: until then
        the one before stays."""
        state = {
            "step": step,
            "model": {n: t for n, t in self.model.state_dict().items() if n not in self._fixed},
            "head": self.head.state_dict(),
            "average": self.average.values,
            "updates": self.average.updates,
            "optimizers": [o.state_dict() for o in self.optimizers],
        }
        partial = self.file.with_suffix(".tmp")
        with partial.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.file)

    def resume(self) -> int:
        """Load the checkpoint, else the portable one, if there is either. Returns the step to go on
        from, 0 without one."""
        if self.file.exists():
            state = torch.load(self.file, map_location=self.device, weights_only=True)
            self._load(state["model"])
            self.head.load_state_dict(state["head"])
            self.average.values, self.average.updates = state["average"], state["updates"]
            for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
            return int(state["step"])
        if self.portable.exists():
            state = load_file(self.portable)
            step = int(state.pop("step"))
            self._load({k: v.float() for k, v in state.items()})
            self.average.values = Average(self.model, self.average.decay).values
            return step
        return 0

    def _load(self, state: dict[str, Any]) -> None:
        result = self.model.load_state_dict(state, strict=False)
        missing = [
            name
            for name in result.missing_keys
            if name not in self._fixed and not name.startswith(TIED)
        ]
        if missing or result.unexpected_keys:
            raise BackboneError(
                f"{self.file.parent}: its checkpoint is of another model ({len(missing)} weights "
                "missing, "
                f"{len(result.unexpected_keys)} unknown): give the recipe and --start it was made "
                "with, or another --work"
            )


def write_portable(work: Path) -> Path:
    """Write `carry.safetensors` beside the latest checkpoint of a phase under `work`: float16
    weights and the step, about a sixth of its size. Raises `BackboneError` when there is none."""
    checkpoints = sorted(work.glob("*/checkpoint.pt"), key=lambda file: file.stat().st_mtime)
    if not checkpoints:
        raise BackboneError(
            f"{work} has no checkpoint of a second stage; give the WORK folder of a `polygraft "
            "pretrain` run"
        )
    state = torch.load(checkpoints[-1], map_location="cpu", weights_only=True)
    small = {
        k: v.to(torch.float16).contiguous().clone()
        for k, v in state["model"].items()
        if not k.startswith(TIED)
    }
    file = checkpoints[-1].with_name(PORTABLE)
    save_file(small | {"step": torch.tensor(state["step"])}, file)
    return file
