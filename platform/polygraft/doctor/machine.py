"""The machine: cores, instruction sets, memory, folders that can be written, the clock.

Linux tells all of it; of another system what is not told is not looked at.
"""

from __future__ import annotations

import datetime
import os
import platform
import tempfile
from pathlib import Path

from polygraft.adapters.layout import MiB
from polygraft.doctor.findings import Finding
from polygraft.errors import KeyFileError
from polygraft.serve import auth

PROC, CGROUP = Path("/proc"), Path("/sys/fs/cgroup")
DOT_PRODUCTS = {
    "avx512_vnni": "AVX512-VNNI",
    "avx_vnni": "AVX-VNNI",
    "amx_int8": "AMX",
    "asimddp": "dot product",
    "i8mm": "I8MM",
}
VECTORS = {"avx2": "AVX2", "avx512f": "AVX512", "asimd": "NEON"}


def cores(threads: int) -> Finding:
    """`threads` are POLYGRAFT_THREADS; 0 starts one a core of the machine, whatever of it this
    process may use."""
    there, usable = os.cpu_count() or 1, _usable_cores()
    started = threads or there
    if started > usable:
        return Finding(
            "cores",
            "warning",
            f"{usable} of {there} cores may be used, and {started} threads would compute: they "
            "wait for each other",
            f"set POLYGRAFT_THREADS={usable}",
        )
    return Finding("cores", "ok", f"{usable} cores, {started} threads")


def _usable_cores() -> int:
    """By this process's affinity, and its container's quota."""
    try:
        usable = len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        usable = os.cpu_count() or 1
    quota, _, period = _read(CGROUP / "cpu.max").partition(" ")
    if quota.isdecimal() and period.strip().isdecimal():
        usable = min(usable, max(1, int(quota) // int(period)))
    return usable


def instructions() -> Finding:
    """Those that ONNX Runtime's int8 kernels have code for."""
    flags = _cpu_flags()
    if not flags:
        return Finding("instructions", "ok", f"not told by this system ({platform.machine()})")
    vectors = [name for flag, name in VECTORS.items() if flag in flags]
    products = [name for flag, name in DOT_PRODUCTS.items() if flag in flags]
    if not vectors:
        return Finding(
            "instructions",
            "warning",
            "neither AVX2 nor NEON: ONNX Runtime computes one number at a time",
            "use a processor that has one of them; in a virtual machine, pass the host's through",
        )
    if not products:
        message = f"{', '.join(vectors)}, no 8-bit dot products (VNNI): int8 is not at its fastest"
        return Finding("instructions", "ok", message)
    return Finding("instructions", "ok", ", ".join(vectors + products))


def _cpu_flags() -> set[str]:
    lines = _read(PROC / "cpuinfo").split("\n")
    listed = (line for line in lines if line.startswith(("flags", "Features")))
    return set(next(listed, "").partition(":")[2].split())


def memory(needed: int) -> Finding:
    """`needed` bytes (see `serving.memory_needed`)."""
    free = free_memory()
    if free is None:
        message = f"about {needed // MiB:,} MiB are needed; this system does not tell what is free"
        return Finding("memory", "ok", message)
    message = f"about {needed // MiB:,} MiB are needed, {free // MiB:,} MiB are free"
    if free >= needed:
        return Finding("memory", "ok", message)
    remedy = "free memory, or serve fewer adapters, from a folder that POLYGRAFT_LIBRARY names"
    return Finding("memory", "problem", message, remedy)


def free_memory() -> int | None:
    """Bytes that this process may still take, of the machine's and of its container's; None where
    neither is told."""
    room = []
    for line in _read(PROC / "meminfo").split("\n"):
        if line.startswith("MemAvailable:"):
            room.append(int(line.split()[1]) * 1024)
    most, used = _read(CGROUP / "memory.max").strip(), _read(CGROUP / "memory.current").strip()
    if most.isdecimal() and used.isdecimal():
        room.append(int(most) - int(used))
    return min(room, default=None)


def temporary_files() -> Finding:
    """Where a server keeps its own files while it runs."""
    try:
        return Finding("temporary files", "ok", f"{tempfile.gettempdir()} can be written")
    except OSError as error:
        remedy = "set TMPDIR to a folder that can be written"
        return Finding("temporary files", "problem", str(error.strerror), remedy)


def home() -> Finding:
    """Where the user's admin key is kept."""
    try:
        folder = auth.key_file().parent
    except KeyFileError as error:
        return Finding("home", "warning", str(error))
    existing = next(one for one in (folder, *folder.parents) if one.is_dir())
    if _can_be_written(existing):
        return Finding("home", "ok", f"{folder} can be written")
    message = f"{folder} cannot be written, where the admin key is kept"
    remedy = f"set {auth.VARIABLE}, or XDG_STATE_HOME to a folder that can be written"
    return Finding("home", "warning", message, remedy)


def _can_be_written(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def clock(newest: datetime.date | None, now: datetime.datetime) -> Finding:
    """`newest`: the day on which the newest adapter was made."""
    message = f"it is {now:%Y-%m-%d %H:%M} UTC"
    if newest is not None and now.date() < newest - datetime.timedelta(days=1):
        remedy = "set the clock (timedatectl set-ntp true): certificates and logs go by it"
        return Finding(
            "clock", "warning", f"{message}, and an adapter was made on {newest}", remedy
        )
    return Finding("clock", "ok", message)


def _read(file: Path) -> str:
    """Empty where there is no such file, or it may not be read."""
    try:
        return file.read_text(encoding="utf-8")
    except OSError:
        return ""
