"""The benchmarks keep up with the package: each of them can be imported."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

FILES = sorted((Path(__file__).parents[1] / "bench").glob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_can_be_imported(file: Path) -> None:
    assert callable(runpy.run_path(str(file), run_name=file.stem)["main"])
