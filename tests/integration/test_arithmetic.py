"""Task arithmetic and the row that stacks the same adapters agree."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from polygraft.adapters.format import load_adapter
from polygraft.errors import AdapterError
from polygraft.runtime.engine import Engine
from polygraft.runtime.rows import Row, WeightedAdapter
from polygraft.tasks.classification.serving import Classified
from polygraft.transfer.arithmetic import combine

TEXT = "win a free prize now"


def odds(scores: dict[str, float]) -> float:
    return float(np.log(scores["spam"] / scores["ham"]))


@pytest.mark.parametrize("rank", [None, 4])
def test_the_sum_answers_as_the_stack_does(
    backbone: Path,
    library: Path,
    make_adapter: Callable[..., Path],
    tmp_path: Path,
    rank: int | None,
) -> None:
    """Exact with all ranks; with fewer, nearer to it than the task alone."""
    there, here = (
        make_adapter(tmp_path / name, seed=seed, rank=4, scale=0.05)
        for name, seed in (("there", 8), ("here", 9))
    )
    manifest = combine(library / "spam", [there], [here], tmp_path / "moved", backbone, rank=rank)
    engine = Engine(backbone, precision="fp32", slots=16)
    for folder in (library / "spam", there, here, tmp_path / "moved"):
        engine.add(folder)
    rows = [
        Row("moved", TEXT),
        Row("spam", TEXT, stack=(WeightedAdapter("there"), WeightedAdapter("here", -1.0))),
        Row("spam", TEXT),
    ]
    ours, stacked, plain = (
        odds({s.label: s.score for s in a.labels})
        for a in engine.answer(rows)
        if isinstance(a, Classified)
    )
    engine.close()
    assert abs(stacked - plain) > 1e-2, "the sum changes nothing"
    assert abs(ours - stacked) < (1e-3 if rank is None else abs(plain - stacked))
    adapter = load_adapter(tmp_path / "moved")
    assert {a.shape[1] for a, _ in adapter.lora.values()} == {12 if rank is None else 4}
    assert "not trained and not scored: spam@" in manifest.description
    assert np.isfinite([g.logits for g in manifest.golden]).all()


def test_a_sum_needs_a_head(
    backbone: Path, library: Path, make_adapter: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(AdapterError, match="is not an adapter: no such folder"):
        combine(library / "spam", [tmp_path / "nowhere"], [], tmp_path / "sum", backbone)
