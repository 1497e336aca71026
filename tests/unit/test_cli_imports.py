"""A command that only explains itself, or refuses what it is given, imports nothing that takes
seconds; outside a terminal nothing that it prints is cut."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SLOW = ("torch", "transformers", "datasets", "sklearn", "scipy", "pandas", "onnx", "bentoml")
TELLING = f"""
import atexit, sys
atexit.register(lambda: print(*sorted(set(sys.modules) & set({SLOW!r})), file=sys.stderr, end="|"))
from polygraft.cli import app
app(sys.argv[1:])
"""
HELP = (
    "",
    "predict",
    "serve",
    "train",
    "sources",
    "advise",
    "suggest",
    "study",
    "report",
    "export",
    "adapters add",
)
WRONG = (
    "train nope.yaml",
    "train {sample} --backbone nope",
    "train {sample} --backbone nope --check",
    "train {folder}",
    "train --all --backbone nope",
    "sources nope.yaml",
    "sources {sample} --backbone nope",
    "advise nope.yaml",
    "advise {sample} --backbone nope",
    "combine nope out",
    "combine {folder} out",
    "study nope.yaml",
    "predict nope",
    "predict spam-en --backbone nope",
    "predict spam-en --input nope.jsonl",
    "suggest --input nope.jsonl",
    "suggest --adapter nope --input {empty}",
    "report nope",
    "export --backbone nope",
    "export nope --merged",
    "pretrain nope --data {folder} --work out",
    "from-scratch nope --work {folder} --languages fr",
    "shrink-checkpoint nope",
    "probe --data nope",
    "measure --data nope --output out",
    "new NoName --from nope.csv",
    "adapters add nope",
    "adapters list --server http://127.0.0.1:9",
    "serve --host nowhere",
)


def run(arguments: list[str], folder: Path) -> tuple[int, str, list[str]]:
    """Exit status, what was told, and which of `SLOW` were imported."""
    done = subprocess.run(
        [sys.executable, "-c", TELLING, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    told, _, imported = done.stderr.removesuffix("|").rpartition("\n")
    return done.returncode, done.stdout + told, imported.split()


@pytest.mark.parametrize("command", HELP)
def test_help_imports_nothing_slow(command: str, tmp_path: Path) -> None:
    status, _, imported = run([*command.split(), "--help"], tmp_path)
    assert (status, imported) == (0, [])


@pytest.mark.parametrize("command", WRONG)
def test_a_wrong_path_is_told_before_anything_slow_is_imported(
    command: str, root: Path, tmp_path: Path
) -> None:
    """Issue 18, point 12: `train nope.yaml` took 2.4 s of CPU, `advise nope.yaml` 6.2 s."""
    (tmp_path / "empty.jsonl").touch()
    sample = root / "adapters" / "questions-es" / "recipe.yaml"
    line = command.format(sample=sample, folder=tmp_path, empty=tmp_path / "empty.jsonl")
    status, told, imported = run(line.split(), tmp_path)
    assert status in (1, 2), told
    assert "error" in told
    assert "Traceback" not in told
    assert imported == []
    assert sorted(file.name for file in tmp_path.iterdir()) == ["empty.jsonl"]


def test_what_the_test_sees(tmp_path: Path) -> None:
    """It is void if modules that were imported are not told."""
    code = TELLING.replace("app(sys.argv[1:])", "import sklearn")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "sklearn" in done.stderr


def test_tables_in_a_pipe_are_not_cut() -> None:
    """Issue 18, point 12: rows were cut at 80 columns."""
    name = "an-adapter-with-a-name-of-sixty-four-characters-as-many-as-may-be"
    code = (
        "from polygraft.cli.app import out\n"
        "from rich.table import Table\n"
        "table = Table('adapter', 'version')\n"
        f"table.add_row({name!r}, {name!r})\n"
        "out.print(table)\n"
        f"out.print('wrote', {name!r} * 3, highlight=False)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={name: value for name, value in os.environ.items() if name != "COLUMNS"},
    )
    lines = [line for line in done.stdout.splitlines() if name in line]
    assert [line.count(name) for line in lines] == [2, 3]
