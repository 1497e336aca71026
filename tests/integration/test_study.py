"""`polygraft study` end to end on the tiny backbone: every run is made, a second call makes
none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from polygraft.cli import app
from polygraft.transfer.study import runs
from polygraft.transfer.study.plan import load_study
from polygraft.transfer.study.rows import read_side

WORDS = {"spam": ["win", "free", "cash", "prize"], "ham": ["hello", "mum", "dinner", "soon"]}


def plan(folder: Path) -> Path:
    folder.mkdir()
    for name, ends in (
        ("en", ("now", "call", "text", "late", "see", "you")),
        ("xx", ("tonight", "train", "simu", "pesa")),
    ):
        rows = [
            {"text": f"{w} {e}", "label": y}
            for y, words in WORDS.items()
            for w in words
            for e in ends
        ]
        more = [
            {"text": f"rain {e}", "label": "weather"} for e in ends if name == "en"
        ]  # which the target knows nothing of
        (folder / f"{name}.jsonl").write_text(
            "\n".join(map(json.dumps, rows[::2] + more)), encoding="utf-8"
        )
        (folder / f"{name}.dev.jsonl").write_text(
            "\n".join(map(json.dumps, rows[1::2])), encoding="utf-8"
        )
    target = {"language": "xx", "train": "xx.jsonl", "dev": "en.dev.jsonl", "test": "xx.dev.jsonl"}
    content = {
        "seeds": [0, 1, 2],
        "few_seeds": [0, 1],
        "shots": 2,
        "few_epochs": 1,
        "lora": {"r": 2},
        "families": [
            {
                "name": "mail",
                "epochs": 1,
                "source": {"language": "en", "train": "en.jsonl", "dev": "en.dev.jsonl"},
                "targets": [target],
            }
        ],
    }
    (folder / "plan.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return folder / "plan.yaml"


def test_every_run_is_made_once(
    backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = plan(tmp_path / "study")
    command = ["study", str(file), "--work", str(tmp_path / "work"), "--backbone", str(backbone)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    kept = json.loads((file.parent / "mail.json").read_text())
    assert set(kept["answers"]) == {
        *(
            f"xx/{method}/0"
            for method in (
                "majority",
                "tfidf",
                "tfidf_zero_shot",
                "head",
                "head_zero_shot",
                "head_mixed",
                *("tuned_tfidf", "lexical", "hybrid_alone", "hybrid"),
            )
        ),
        *(f"xx/{method}/{seed}" for method in ("zero_shot", "lora", "parent") for seed in range(3)),
        *(
            f"xx/{method}/{seed}"
            for method in (
                *("few_tfidf", "few_head", "few_head_mixed", "few_parent"),
                *("few_tuned_tfidf", "few_lexical", "few_hybrid_alone", "few_hybrid"),
            )
            for seed in range(2)
        ),
    }
    assert {len(said) for said in kept["answers"].values()} == {len(kept["gold"]["xx"])} == {16}
    found = json.loads((file.parent / "study.json").read_text())["targets"]["mail/xx"]
    assert found["gain_from_transfer"]["verdict"] in ("helps", "harms", "no evidence")
    assert found["ladder"]["head"]["value"] >= found["ladder"]["majority"]["value"]

    def trained_again(*_: object) -> None:
        raise AssertionError("a run that is in the file was made again")

    monkeypatch.setattr(runs, "fit", trained_again)
    assert CliRunner().invoke(app, command).exit_code == 0


def test_a_source_adapter_of_other_rows_is_not_used_again(backbone: Path, tmp_path: Path) -> None:
    """Issue 15, defect 10, as it was in the study: its source adapters were found again by name
    alone."""
    file = plan(tmp_path / "study")
    (tmp_path / "work").mkdir()
    made = []
    for change in ("", "hello win"):
        if change:
            with (file.parent / "en.jsonl").open("a", encoding="utf-8") as rows:
                rows.write("\n" + json.dumps({"text": change, "label": "ham"}))
        study = load_study(file)
        family = study.families[0]
        source = read_side(family, family.source, file.parent)
        trainer = runs._FamilyTrainer(
            study, family, file, backbone, tmp_path / "work", ["ham", "spam", "weather"], source
        )
        made.append(trainer._adapter(0))
    assert made[0] != made[1]
    assert trainer._adapter(0) == made[1], "what is unchanged is found again"


def test_a_plan_whose_data_is_missing_says_which(tmp_path: Path, backbone: Path) -> None:
    file = plan(tmp_path / "study")
    (tmp_path / "study" / "xx.jsonl").unlink()
    done = CliRunner().invoke(
        app, ["study", str(file), "--work", str(tmp_path / "work"), "--backbone", str(backbone)]
    )
    assert done.exit_code == 1
    assert "xx.jsonl cannot be read" in done.output.replace("\n", " ")
