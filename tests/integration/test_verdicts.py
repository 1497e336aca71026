"""Every training run ends with a verdict, whatever its strategy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from polygraft.adapters.format import load_manifest
from polygraft.cli import app
from polygraft.transfer import guard

SPAM = [f"{a} {b} {c}" for a in ("win", "claim") for b in ("free", "cash") for c in "abcdefgh"]
HAM = [f"{a} {b} {c}" for a in ("hello", "see") for b in ("mum", "you") for c in "abcdefgh"]
RUNGS = {"tfidf", "tuned_tfidf", "lexical", "head"}


def recipe(folder: Path, **changes: object) -> Path:
    folder.mkdir(parents=True)
    for split, part in (("train", slice(0, 20)), ("dev", slice(20, 26)), ("test", slice(26, 32))):
        rows = [
            {"text": text, "label": label}
            for label, some in (("spam", SPAM), ("ham", HAM))
            for text in some[part]
        ]
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    content = {
        "name": folder.name,
        "languages": ["en"],
        "lora": {"r": 4},
        "data": {split: f"{split}.jsonl" for split in ("train", "dev", "test")},
        "training": {"epochs": 1, "batch_size": 8, "bf16": False},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(content | changes), encoding="utf-8")
    return folder / "recipe.yaml"


@pytest.fixture(scope="module")
def mother(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("family")
    trained(recipe(root / "mother"), backbone)
    return root


def trained(file: Path, backbone: Path, *options: str) -> str:
    command = ["train", str(file), "--backbone", str(backbone), "--allow-leak", "templates"]
    done = CliRunner().invoke(app, [*command, *options])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize(
    ("changes", "gain", "rungs"),
    [
        ({"strategy": "head"}, "gain_over_baselines", RUNGS),
        ({"strategy": "lora"}, "gain_over_baselines", RUNGS | {"hybrid_alone"}),
        (
            {"strategy": "parent", "parent": "mother"},
            "gain_from_transfer",
            RUNGS | {"hybrid_alone"},
        ),
        (
            {"strategy": "mixed", "source": {"adapter": "mother"}},
            "gain_from_transfer",
            RUNGS | {"hybrid_alone"},
        ),
        (
            {"strategy": "head", "source": {"adapter": "mother"}},
            "gain_from_transfer",
            RUNGS | {"hybrid_alone"},
        ),
    ],
)
def test_without_the_full_ladder_there_is_a_verdict(
    backbone: Path, mother: Path, changes: dict[str, object], gain: str, rungs: set[str]
) -> None:
    name = "-".join(["child", str(changes["strategy"]), *(["sourced"] * ("source" in changes))])
    told = trained(recipe(mother / name, **changes), backbone)
    metrics = load_manifest(mother / name).metrics
    assert rungs <= set(metrics["ladder"])
    assert ("hybrid_alone" in metrics["ladder"]) == ("hybrid_alone" in rungs)
    (found,) = (
        metrics[key] for key in metrics if key in ("gain_over_baselines", "gain_from_transfer")
    )
    assert gain in metrics
    best = max(rungs, key=lambda rung: metrics["ladder"][rung]["macro_f1"]["value"])
    value = metrics["ladder"][best]["macro_f1"]["value"]
    assert metrics["ladder"][found["over"]]["macro_f1"]["value"] == value
    ours = metrics["ladder"]["adapter"]["macro_f1"]["value"]
    assert found["value"] == pytest.approx(ours - value, abs=0.02)
    assert f"verdict {found['verdict']}: " in told
    assert f"**Verdict**: {found['verdict']}: " in (mother / name / "README.md").read_text()


def test_only_what_was_transferred_is_guarded(backbone: Path, mother: Path) -> None:
    """An adapter that learnt from its own rows alone, and lost, is told so and served."""
    manifest = load_manifest(mother / "mother")
    harm = {"value": -9.0, "low": -12.0, "high": -5.0, "verdict": "harms", "over": "tfidf"}
    lost = manifest.model_copy(update={"metrics": manifest.metrics | {"gain_over_baselines": harm}})
    assert guard.harms(lost) == []
    moved = manifest.model_copy(update={"metrics": manifest.metrics | {"gain_from_transfer": harm}})
    assert guard.harms(moved) == ["macro-F1 against TF-IDF -9.0 [-12.0, -5.0]"]
