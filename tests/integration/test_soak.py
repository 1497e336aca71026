"""A short soak on the tiny backbone; `tests/bench/soak.py` is the long one, on the bundled."""

from __future__ import annotations

import runpy
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

ROWS = 4_000


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_every_answer_is_that_of_its_version_alone_while_adapters_change(
    root: Path,
    backbone: Path,
    library: Path,
    make_adapter: Callable[..., Path],
    tmp_path: Path,
    precision: str,
) -> None:
    """Defects 1, 3, 7, 11: answers that depended on their neighbours, slots that leaked, rows that
    were lost."""
    bench = runpy.run_path(str(root / "tests" / "bench" / "soak.py"), run_name="soak")
    copy = Path(shutil.copytree(library, tmp_path / "library"))
    versions = {
        name: [
            library / name,
            *(
                make_adapter(tmp_path / str(seed) / name, seed=seed, labels=labels)
                for seed in (31, 32)
            ),
        ]
        for name, labels in (("spam", ("ham", "spam")), ("topic", tuple("abcdefg")))
    }
    result = bench["soak"](backbone, copy, versions, rows=ROWS, clients=6, precision=precision)
    assert result["answered"] > ROWS / 2, result
    assert set(result["other_outcomes"]) <= {"UnknownAdapter", "UnknownVersion"}, result
    assert (result["lost"], result["wrong"], result["refused"], result["slots_given_back"]) == (
        0,
        0,
        [],
        True,
    ), result
    assert sum(result["changes"].values()) > 3, result
    assert len(result["changes"]) > 3, result
    assert result["largest_score_difference"] <= 1e-3, result
