"""Proofs that are remembered: that a version, on this graph and machine, gave its goldens, so that
they are replayed once and not at every load.

A proof is an empty file named by a hash of all that the proof depends on: the manifest (its goldens
and the hashes of its weights), the graphs, the version of ONNX Runtime, the machine. Where nothing
can be written, nothing is remembered. Does not: skip the hashes of the files, which take a
millisecond and are what ties weights to their proof.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Sequence
from pathlib import Path

import onnxruntime

from polygraft.adapters.manifest import Manifest

CPU = Path("/proc/cpuinfo")


def proofs_folder() -> Path | None:
    """`polygraft/proofs` under XDG_CACHE_HOME or ~/.cache; None for a user without a home."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not cache.is_absolute():
        try:
            cache = Path.home() / ".cache"
        except RuntimeError:
            return None
    return cache / "polygraft" / "proofs"


def machine() -> str:
    """What tells processors apart whose arithmetic may differ."""
    try:
        lines = CPU.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        lines = []
    told = sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))})
    return "\n".join([platform.machine(), platform.processor(), *told])


class Proofs:
    """Of adapters on one engine's `graphs`. `folder`: None remembers nothing."""

    def __init__(self, folder: Path | None, graphs: Sequence[Path]) -> None:
        self._folder = folder
        on = hashlib.sha256(f"{onnxruntime.__version__}\n{machine()}".encode())
        for graph in graphs:
            state = graph.stat()
            on.update(f"{graph.resolve()} {state.st_size} {state.st_mtime_ns}".encode())
        self._on = on.hexdigest()

    def has(self, manifest: Manifest) -> bool:
        return self._folder is not None and self._file(self._folder, manifest).exists()

    def add(self, manifest: Manifest) -> None:
        if self._folder is None:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file(self._folder, manifest).touch()
        except OSError:
            self._folder = None

    def _file(self, folder: Path, manifest: Manifest) -> Path:
        return folder / hashlib.sha256(f"{self._on}\n".encode() + manifest.as_file()).hexdigest()
