"""Figures of a study from answers that were made up so that the right figures are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from polygraft.data.splits import Split
from polygraft.errors import DataError, RecipeError
from polygraft.tasks.classification.metrics import counted_f1, macro_f1
from polygraft.transfer.study.figures import figures_of
from polygraft.transfer.study.plan import Study, StudyFamily, load_study
from polygraft.transfer.study.rows import check, read_side
from polygraft.transfer.study.write import page, write_results

RNG = np.random.default_rng(0)
GOLD = RNG.integers(0, 3, 300)


def answers(right: float, seed: int) -> str:
    """Answers of which about this share is right."""
    rng = np.random.default_rng(seed)
    predicted = np.where(rng.random(len(GOLD)) < right, GOLD, rng.integers(0, 3, len(GOLD)))
    return "".join(map(str, predicted))


def record(hybrid: float) -> dict[str, object]:
    made = {
        "xx/tfidf/0": answers(0.75, 1),
        "xx/head/0": answers(0.4, 2),
        "xx/majority/0": "1" * len(GOLD),
    }
    shares = {"lora": 0.5, "hybrid": hybrid, "zero_shot": 0.3, "stack": 0.3, "arithmetic": 0.1}
    for k, (method, share) in enumerate(shares.items(), 1):
        made |= {f"xx/{method}/{seed}": answers(share, 10 * k + seed) for seed in range(3)}
    for k, method in enumerate(("few_tfidf", "few_hybrid"), 1):
        made |= {f"xx/{method}/{seed}": answers(0.4, 100 * k + seed) for seed in range(10)}
    return {
        "backbone": "b",
        "labels": ["a", "b", "c"],
        "gold": {"xx": "".join(map(str, GOLD))},
        "answers": made,
    }


def test_the_quick_macro_f1_is_sklearns() -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        gold, predicted = rng.integers(0, 3, 40), rng.integers(0, 4, 40)
        assert counted_f1(4)(gold, predicted) == pytest.approx(
            macro_f1(gold.astype(str), predicted.astype(str))
        )


def test_verdicts_over_the_best_of_what_had_the_target_alone() -> None:
    found = figures_of({"good": record(0.9), "bad": record(0.3), "same": record(0.75)})["targets"]
    assert {name: one["gain_from_transfer"]["verdict"] for name, one in found.items()} == {
        "good/xx": "helps",
        "bad/xx": "harms",
        "same/xx": "no evidence",
    }
    assert {one["gain_from_transfer"]["over"] for one in found.values()} == {"tfidf"}
    assert found["good/xx"]["gain_from_transfer"]["holm"] == "helps"
    assert found["good/xx"]["gain_from_stack"]["verdict"] == "no evidence"
    assert found["good/xx"]["gain_from_arithmetic"]["verdict"] == "harms"
    few = found["good/xx"]["ladder"]["few_tfidf"]
    assert few["worst"] < few["value"]
    assert few["sd"] > 0


def test_many_targets_without_a_difference_raise_no_corrected_alarm() -> None:
    records = {
        f"t{i}": {
            **record(0.6),
            "answers": {
                f"xx/{method}/{seed}": answers(0.5, 1000 * i + 10 * k + seed)
                for k, method in enumerate(("lora", "hybrid"))
                for seed in range(3)
            },
        }
        for i in range(20)
    }
    gains = [one["gain_from_transfer"] for one in figures_of(records)["targets"].values()]
    assert all(gain["holm"] == "no evidence" for gain in gains)
    assert sum(gain["verdict"] != "no evidence" for gain in gains) <= 3


def test_false_alarms_are_counted_on_seeds_of_one_method() -> None:
    alarms = figures_of({"a": record(0.6)})["false_alarms"]
    assert alarms["trials"] == 20
    assert alarms["harms"] + alarms["helps"] <= 4


def test_the_page_names_what_it_shows(tmp_path: Path) -> None:
    plan = Study.model_validate(
        {
            "seeds": [0, 1, 2],
            "few_seeds": [0, 1],
            "families": [
                {
                    "name": "mood",
                    "source": {"language": "en", "train": "x"},
                    "targets": [{"language": "xx", "train": "x", "test": "x"}],
                }
            ],
        }
    )
    (tmp_path / "mood.json").write_text(json.dumps(record(0.9)), encoding="utf-8")
    numbers, html, words = write_results(plan, tmp_path)
    assert json.loads(numbers.read_text())["sources"] == {"mood": "en"}
    shown = html.read_text(encoding="utf-8")
    assert "mood/xx" in shown
    assert "helps" in shown
    assert "http" not in shown.replace("http://www.w3.org", "").replace(
        "http://purl.org", ""
    ).replace("http://creativecommons.org", "").replace("https://matplotlib.org", "")
    assert page(json.loads(numbers.read_text())) == shown
    assert "| mood/xx | 300 |" in words.read_text(encoding="utf-8")


def test_translations_across_the_split_are_refused(tmp_path: Path) -> None:
    for name, ids in (("en", range(10)), ("xx", range(10)), ("xxtest", (2, 11, 12))):
        rows = [{"id": i, "text": f"{name} {i}", "label": "ab"[i % 2]} for i in ids]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    family = StudyFamily.model_validate(
        {
            "name": "mood",
            "id": "id",
            "dev_every": 3,
            "source": {"language": "en", "train": "en.jsonl"},
            "targets": [{"language": "xx", "train": "xx.jsonl", "test": "xxtest.jsonl"}],
        }
    )
    source = read_side(family, family.source, tmp_path)
    assert (source[0].ids, source[1].ids) == (["1", "2", "4", "5", "7", "8"], ["0", "3", "6", "9"])
    with pytest.raises(DataError, match="xx: 1 held-out rows are translations"):
        check(family, source, {"xx": read_side(family, family.targets[0], tmp_path)})
    with pytest.raises(DataError, match="the source has no label"):
        check(
            family,
            source,
            {"xx": (Split(["x"], ["z"], ["50"]), Split([], [], []), Split(["x"], ["z"], ["51"]))},
        )


def test_a_broken_plan_says_where(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text("seeds: [0]\nfew_seeds: [0, 1]\nfamilies: []\n")
    with pytest.raises(RecipeError, match=r"seeds: .*\n.*families: "):
        load_study(tmp_path / "plan.yaml")
    with pytest.raises(RecipeError, match="no such file"):
        load_study(tmp_path / "nowhere.yaml")
