"""What `polygraft advise` says, on the tiny backbone: the same that training does with it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml
from typer.testing import CliRunner

from polygraft.adapters.format import LAYOUT
from polygraft.adapters.library import Library
from polygraft.cli import app
from polygraft.reporting.intervals import Interval
from polygraft.tasks.classification.job import prepare
from polygraft.tasks.classification.recipe import ClassificationRecipe
from polygraft.tasks.recipe import load_recipe
from polygraft.training.pipeline import train
from polygraft.transfer.advice import advice_of
from polygraft.transfer.advise import Findings, Way
from polygraft.transfer.as_it_is import AsItIs
from polygraft.transfer.candidates import SourceAdapter

SPAM = [f"{a} {b} {c}" for a in ("win", "claim") for b in ("free", "cash") for c in "abcdefgh"]
HAM = [f"{a} {b} {c}" for a in ("hello", "see") for b in ("mum", "you") for c in "abcdefgh"]


def recipe(
    folder: Path,
    parts: dict[str, slice],
    labels: tuple[str, str] = ("spam", "ham"),
    **data: object,
) -> Path:
    folder.mkdir(parents=True)
    for split, part in parts.items():
        rows = [
            {"text": text, "label": label}
            for label, some in zip(labels, (SPAM, HAM), strict=True)
            for text in some[part]
        ]
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    content = {
        "name": folder.name,
        "languages": ["en"],
        "strategy": "head",
        "lora": {"r": 4},
        "data": {split: f"{split}.jsonl" for split in parts} | {"on_leak": "drop"} | data,
    }
    (folder / LAYOUT.recipe).write_text(yaml.safe_dump(content), encoding="utf-8")
    return folder / LAYOUT.recipe


@pytest.fixture(scope="module")
def shelf(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of one adapter, which knows the other half of the messages; its rows are gone."""
    root = tmp_path_factory.mktemp("shelf")
    file = recipe(root / "spam", {"train": slice(0, 32, 2), "dev": slice(1, 4, 2)})
    content = load_recipe(file)
    assert isinstance(content, ClassificationRecipe)
    train(prepare(content, file, backbone, allow_leak="templates"), file.parent)
    for split in ("train", "dev"):
        (root / "spam" / f"{split}.jsonl").unlink()
    return root


def asked(file: Path, shelf: Path, backbone: Path, *options: str) -> Any:
    library = ["--library", str(shelf), "--backbone", str(backbone)]
    return CliRunner().invoke(app, ["advise", str(file), *library, *options])


PARTS = {"train": slice(1, 20, 4), "dev": slice(21, 32, 4)}


def test_what_it_prints_can_be_put_into_the_recipe_as_it_stands(
    backbone: Path, shelf: Path, tmp_path: Path
) -> None:
    file = recipe(tmp_path / "new", PARTS, ("Spam", "hams"))
    shown = asked(file, shelf, backbone, "--json")
    assert shown.exit_code == 0, shown.output
    told = json.loads(shown.stdout)
    assert told["rows"] == 16
    assert {way["way"] for way in told["ways"]} == {"TF-IDF", "head", "head with spam"}
    assert all(0 <= way["macro_f1"]["value"] <= 100 for way in told["ways"])
    (sourced,) = (way for way in told["ways"] if way["way"] == "head with spam")
    named = {"adapter": "spam", "labels": {"Spam": "spam", "hams": "ham"}}
    assert sourced["recipe"] == {"strategy": "head", "source": named}
    assert told["ways"][0]["behind"] is None
    content = yaml.safe_load(file.read_text(encoding="utf-8")) | sourced["recipe"]
    adopted = ClassificationRecipe.model_validate(content)
    job = prepare(adopted, file, backbone, library=Library(shelf))
    assert sorted(set(job.source_rows.labels)) == ["Spam", "hams"]
    for_people = asked(file, shelf, backbone).stdout
    assert "macro-F1, 16 rows held out" in for_people
    assert "source:" in for_people or "strategy: head" in for_people


def test_a_leak_that_can_be_dropped_is_dropped_and_told(
    backbone: Path, shelf: Path, tmp_path: Path
) -> None:
    file = recipe(tmp_path / "new", PARTS | {"test": slice(1, 2)}, on_leak="error")
    shown = asked(file, shelf, backbone, "--json")
    assert shown.exit_code == 0, shown.output
    assert "put `on_leak: drop` under `data`" in " ".join(shown.stderr.split())
    assert json.loads(shown.stdout)["leaks"]["done"] == "dropped"


def test_rows_that_show_no_difference_cannot_tell(
    backbone: Path, shelf: Path, tmp_path: Path
) -> None:
    """Three rows a label, and labels that the texts do not tell."""
    file = recipe(tmp_path / "new", {"train": slice(0, 3), "dev": slice(3, 4)}, ("spam", "ham"))
    for split in ("train", "dev"):
        rows = [json.loads(line) for line in (file.parent / f"{split}.jsonl").open()]
        mixed = [row | {"label": ("spam", "ham")[i % 2]} for i, row in enumerate(rows)]
        (file.parent / f"{split}.jsonl").write_text("\n".join(map(json.dumps, mixed)))
    told = json.loads(asked(file, shelf, backbone, "--json").stdout)
    assert "do not show that" in told["cannot_tell"]
    tied = [way["way"] for way in told["ways"] if way["ties"]]
    assert len(tied) > 1
    assert told["advice"][0]["recipe"].get("source") == {"adapter": "spam"}, (
        "with few rows a source comes first"
    )


def test_one_row_of_a_label_compares_nothing(backbone: Path, shelf: Path, tmp_path: Path) -> None:
    file = recipe(tmp_path / "new", {"train": slice(0, 1), "dev": slice(0, 1)})
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    content["data"]["dev"] = "train.jsonl"
    content["data"]["on_leak"] = "error"
    (file.parent / "dev.jsonl").write_text(
        json.dumps({"text": "see you late", "label": "ham"}), encoding="utf-8"
    )
    content["data"]["dev"] = "dev.jsonl"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    told = json.loads(asked(file, shelf, backbone, "--json").stdout)
    assert told["ways"] == []
    assert "one training row" in told["cannot_tell"]
    assert told["advice"][0]["recipe"]["source"] == {"adapter": "spam"}


def test_an_adapter_whose_rows_cannot_be_had_is_named(
    backbone: Path, shelf: Path, tmp_path: Path
) -> None:
    file = recipe(tmp_path / "new", PARTS)
    older = tmp_path / "older"
    older.mkdir()
    for name in (LAYOUT.peft_config, LAYOUT.weights, LAYOUT.head, LAYOUT.manifest, LAYOUT.recipe):
        (older / name).write_bytes((shelf / "spam" / name).read_bytes())
    manifest = json.loads((older / LAYOUT.manifest).read_text(encoding="utf-8"))
    del manifest["files"][LAYOUT.vectors]
    manifest["name"] = "older"
    (older / LAYOUT.manifest).write_text(json.dumps(manifest), encoding="utf-8")
    told = json.loads(asked(file, shelf, backbone, "--json").stdout)
    assert told["left_out"] == {"older": "shares no vectors, and its rows are not here"}


def test_advice_and_check_need_no_torch(
    backbone: Path, shelf: Path, tmp_path: Path, root: Path
) -> None:
    import subprocess

    file = recipe(tmp_path / "new", PARTS)
    options = ["--library", str(shelf), "--backbone", str(backbone)]
    for command in (["advise", str(file), *options], ["train", str(file), "--check", *options]):
        code = (
            "import sys\n"
            "from polygraft.cli import app\n"
            f"try: app({command!r})\n"
            "except SystemExit as done: assert not done.code, done.code\n"
            "assert not {'torch', 'transformers', 'peft'} & set(sys.modules)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=root
        )
        assert done.returncode == 0, done.stderr


def test_rows_that_a_source_was_trained_on_are_told_by_check_as_training_would(
    backbone: Path, shelf: Path, tmp_path: Path
) -> None:
    """Issue 18: `--check` found recipe and data fine, and `train` refused them."""
    parts = {"train": slice(1, 20, 4), "dev": slice(0, 32, 2)}  # dev: what the adapter has learnt
    file = recipe(tmp_path / "new", parts)
    with file.open("a", encoding="utf-8") as content:
        content.write("source: {adapter: spam}\n")
    options = ["--library", str(shelf), "--backbone", str(backbone)]
    for check in (["--check"], []):
        refused = CliRunner().invoke(app, ["train", str(file), *options, *check])
        told = " ".join(refused.output.split())
        assert refused.exit_code == 1, told
        assert "100% of its rows, 32 of 32, are the same texts as rows" in told
        assert "source spam was trained on" in told
        assert "e.g. 'win free" in told or "e.g. 'hello" in told or "e.g. 'claim" in told
    assert not (tmp_path / "new" / ".training").exists()


@pytest.mark.parametrize("item", ["head", "parent", "lora"])
def test_lines_of_each_item_can_be_put_at_the_end_of_the_recipe(
    item: str, backbone: Path, shelf: Path, tmp_path: Path
) -> None:
    """Issue 18: `parent: ...` below the `strategy: head` that `new` wrote was refused, with a
    remedy that led away from it."""
    interval = Interval(90.0, 80.0, 95.0)
    findings = Findings(
        training_rows={"spam": 60, "ham": 20},
        rows=80,
        ways=[Way("spam", interval, None)],
        sources={"spam": cast("SourceAdapter", SimpleNamespace(renamed={}))},
        left_out={},
        as_it_is=[AsItIs("spam", 80, interval, Interval(0.0, -1.0, 1.0))],
    )
    (advice,) = (one for one in advice_of(findings) if one.strategy == item)
    assert advice.title == (item if item == "lora" else f"{item} with spam")
    file = recipe(tmp_path / "new", PARTS)
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    del content["lora"]  # a child has its parent's
    lines = yaml.safe_dump(content) + yaml.safe_dump(advice.recipe)
    file.write_text(lines, encoding="utf-8")
    options = ["--library", str(shelf), "--backbone", str(backbone)]
    checked = CliRunner().invoke(app, ["train", str(file), *options, "--check"])
    assert checked.exit_code == 0, checked.output


def test_lora_is_mentioned_where_a_label_has_rows_enough_and_the_rarest_is_named() -> None:
    """Issue 18: it never was, also at 359 rows."""
    few = Findings({"a": 12, "b": 9}, 21, [], {}, {})
    assert not [one for one in advice_of(few) if one.strategy == "lora"]
    uneven = Findings({"a": 300, "b": 40}, 340, [], {}, {}, languages=["lang-en", "lang-sw"])
    lora, stack = (one for one in advice_of(uneven) if one.strategy in ("lora", "stack"))
    assert "from 50 rows a label on, and b has 40" in lora.why
    assert stack.recipe == {"stack": ["lang-en"]}
    assert stack.title == "stack with lang-en"
    assert stack.why.startswith("lang-en reads a language of these texts (lang-sw too")


def test_labels_that_are_called_differently_are_told_with_the_line_that_maps_them(
    backbone: Path, shelf: Path, tmp_path: Path
) -> None:
    """Issue 18: with SPAM and OK, or yes and no, no adapter was named, and a map in the recipe was
    not looked at."""
    file = recipe(tmp_path / "some", PARTS, ("SPAM", "OK"))
    told = " ".join(asked(file, shelf, backbone).stdout.split())
    line = "source: {adapter: spam, labels: {SPAM: spam, OK: ham}}"
    assert "spam is left out: it has no label called OK" in told
    assert line in told
    file.write_text(f"{file.read_text(encoding='utf-8')}{line}\n", encoding="utf-8")
    assert "head with spam" in asked(file, shelf, backbone).stdout
    none = recipe(tmp_path / "none", PARTS, ("yes", "no"))
    told = " ".join(asked(none, shelf, backbone).stdout.split())
    assert "There are: spam (ham, spam)." in told
    assert "labels: {'no': ITS-LABEL, 'yes': ITS-LABEL}" in told


def test_where_every_training_row_leaks_none_is_left(
    backbone: Path, shelf: Path, tmp_path: Path
) -> None:
    """Issue 18: a traceback from a product of matrices."""
    file = recipe(tmp_path / "new", {"train": slice(0, 8), "dev": slice(0, 8)})
    refused = asked(file, shelf, backbone)
    assert refused.exit_code == 1
    told = " ".join(refused.output.split())
    assert "all rows (16) stand in dev or test too and are dropped" in told
    assert "give dev and test rows of their own" in told
