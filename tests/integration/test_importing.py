"""A published model made a backbone by the command, and an adapter trained on it and served."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModel
from typer.testing import CliRunner

from polygraft.architectures.text import load_encoder
from polygraft.cli import app
from polygraft.importing import source as source_module
from polygraft.importing.source import is_non_commercial
from polygraft.runtime.engine import Engine
from polygraft.runtime.rows import Row
from polygraft.tasks.classification.serving import Classified

CARD = "---\nlicense: apache-2.0\n---\n# tiny\n"


@pytest.fixture
def model(published: Callable[..., Path], tmp_path: Path) -> Path:
    return published("modernbert", tmp_path / "tiny")


def ran(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["backbone", "import", *map(str, arguments)])
    assert not result.exception or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, " ".join(result.output.split())


@pytest.fixture
def library(tmp_path: Path) -> Path:
    folder = tmp_path / "adapters" / "tones"
    folder.mkdir(parents=True)
    rows = [("win a free prize now", "spam"), ("see you at home mum", "ham")] * 20
    for split in ("train", "dev"):
        lines = [
            json.dumps({"text": f"{t} {i} {split}", "label": y}) for i, (t, y) in enumerate(rows)
        ]
        (folder / f"{split}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (folder / "recipe.yaml").write_text(
        "name: tones\nlanguages: [en]\nstrategy: head\nlora: {r: 1}\n"
        "data: {train: train.jsonl, dev: dev.jsonl, on_leak: drop}\n",
        encoding="utf-8",
    )
    return folder


def test_the_whole_way(model: Path, library: Path, tmp_path: Path) -> None:
    target = tmp_path / "backbone"
    status, told = ran(model, target, "--revision", "abc")
    assert status == 0, told
    assert "modernbert" in told
    assert "apache-2.0" in told
    record = json.loads((target / "backbone.json").read_text(encoding="utf-8"))
    assert record["source"] == str(model)
    assert (record["licence"], record["revision"]) == ("apache-2.0", "abc")
    assert record["max_length"] == load_encoder(target).max_length == 66
    assert (target / "README-of-the-source.md").read_text(encoding="utf-8") == CARD
    train = ["train", str(library / "recipe.yaml"), "--backbone", str(target)]
    result = CliRunner().invoke(app, train)
    assert result.exit_code == 0, result.output
    engine = Engine(target)
    try:
        engine.add(library)
        answers = engine.answer([Row("tones", "win a free prize"), Row("tones", "see you, mum")])
        assert [a.label for a in answers if isinstance(a, Classified)] == ["spam", "ham"]
    finally:
        engine.close()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"auto_map": {"AutoModel": "own.py"}}, "runs code of its own repository"),
        ({"architectures": ["LlamaForCausalLM"]}, "only goes on with a text"),
        ({"model_type": "nllb-moe"}, "take a dense NLLB"),
        ({"model_type": "from-tomorrow"}, "is not known to the transformers"),
    ],
)
def test_what_can_be_no_backbone_is_refused_by_name(
    change: dict[str, object], told: str, model: Path, tmp_path: Path
) -> None:
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    (model / "config.json").write_text(json.dumps(config | change), encoding="utf-8")
    status, output = ran(model, tmp_path / "backbone")
    assert status == 1
    assert told in output
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tiny"]


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda folder: (folder / "config.json").unlink(), "has no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "is not JSON"),
        (lambda folder: (folder / "model.safetensors").unlink(), "half a download"),
        (lambda folder: (folder / "README.md").unlink(), "give it as --licence"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 99), "copy is broken"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "cannot be read"),
    ],
)
def test_a_broken_copy_is_one_line_and_leaves_nothing(
    spoil: object, told: str, model: Path, tmp_path: Path
) -> None:
    assert callable(spoil)
    spoil(model)
    status, output = ran(model, tmp_path / "backbone")
    assert status == 1
    assert told in output
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tiny"]


def test_a_model_too_large_for_memory_is_refused(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_module, "FREE_SHARE", 1e-9)
    status, output = ran(model, tmp_path / "backbone")
    assert (status, "GiB to import" in output) == (1, True)


def test_pickled_weights_are_read_as_tensors_and_said_to_be(model: Path, tmp_path: Path) -> None:
    weights = AutoModel.from_pretrained(model).state_dict()
    torch.save(weights, model / "pytorch_model.bin")
    (model / "model.safetensors").unlink()
    status, output = ran(model, tmp_path / "backbone")
    assert (status, "weights_only" in output) == (0, True), output


def test_a_target_that_is_there_is_not_touched(model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "backbone")
    assert "is there already" in ran(model, tmp_path / "backbone")[1]
    assert "make it first" in ran(model, tmp_path / "no" / "backbone")[1]


@pytest.mark.parametrize(
    ("licence", "non_commercial"),
    [("cc-by-nc-4.0", True), ("CC_BY_NC_SA", True), ("apache-2.0", False), ("mit", False)],
)
def test_non_commercial_licences_are_known_by_name(licence: str, non_commercial: bool) -> None:
    assert is_non_commercial(licence) == non_commercial
