"""Real data on which the guard refuses an adapter, passes one, and passes one without evidence:
SIB-200 topics.

Linear heads on the bundled backbone's vectors, given English rows beside the target's: Zulu topics,
where TF-IDF on all of Zulu's rows is better; Yoruba and Maori ones with ten rows a label, which a
seed draws (without `shots` all seeds give one head). What a text's vector is, all three share.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from polygraft.architectures.folder import default_backbone
from polygraft.errors import NegativeTransfer
from polygraft.tasks.classification import training
from polygraft.tasks.classification.job import prepare
from polygraft.tasks.classification.recipe import ClassificationRecipe
from polygraft.tasks.recipe import load_recipe
from polygraft.training.pipeline import train
from polygraft.transfer import guard

DATA = Path(os.environ.get("POLYGRAFT_DATA", "nowhere"))
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        not DATA.is_dir(), reason="POLYGRAFT_DATA names no folder with the public data"
    ),
]


@pytest.fixture(scope="module")
def vectors() -> dict[Any, Any]:
    """See `ClassificationJob.vector_cache`."""
    return {}


@pytest.mark.parametrize(
    ("target", "shots", "seeds", "lexical", "verdict"),
    [
        ("zu", None, [0], "none", "harms"),
        ("zu", None, [0], "auto", "no evidence"),
        ("yo", 10, [0, 1, 2], "none", "helps"),
        ("mi", 10, [0, 1, 2], "none", "no evidence"),
    ],
)
def test_a_real_verdict(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    vectors: dict[Any, Any],
    target: str,
    shots: int | None,
    seeds: list[int],
    lexical: str,
    verdict: str,
) -> None:
    monkeypatch.setattr(training, "SHOTS", ())  # the learning curve has no part in the verdict
    for language in ("en", target):
        data = {
            k: str(DATA / "sib200_jsonl" / f"{language}.{k}.jsonl.gz") for k in ("train", "dev")
        } | {"id": "id"}
        content = {
            "name": language,
            "languages": [language],
            "strategy": "head",
            "lexical": lexical,
            "data": data,
            "training": {"seeds": seeds, "max_length": 64},
        }
        if language == target:
            content |= {"source": {"adapter": "en", "by": "even"}, "data": data | {"shots": shots}}
        (tmp_path / language).mkdir()
        (tmp_path / language / "recipe.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    recipe = load_recipe(tmp_path / target / "recipe.yaml")
    assert isinstance(recipe, ClassificationRecipe)
    job = prepare(recipe, tmp_path / target / "recipe.yaml", default_backbone())
    manifest = train(replace(job, vector_cache=vectors), tmp_path / target, full_ladder=True)
    gain = manifest.metrics["gain_from_transfer"]
    assert gain["verdict"] == verdict, gain
    if verdict == "harms":
        with pytest.raises(NegativeTransfer, match="is worse than what does without transfer"):
            guard.check(manifest)
    else:
        guard.check(manifest)
