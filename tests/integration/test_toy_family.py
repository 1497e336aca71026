"""The measure of architectures/ (issue 16): a family of backbones is a file (tests/toys/window.py)
and one line in the registry, and all take it: export with its parity check, training by the
command, serving in a mixed batch over HTTP."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from polygraft.adapters.format import LAYOUT
from polygraft.adapters.library import Library
from polygraft.architectures import registry
from polygraft.architectures.folder import BackboneFiles
from polygraft.architectures.loading import load_backbone, load_seq2seq
from polygraft.architectures.text import load_encoder
from polygraft.cli import app
from polygraft.errors import BackboneError, ExportError
from polygraft.export import hooks
from polygraft.export.export import export_backbone
from polygraft.runtime.engine import Engine
from polygraft.runtime.graph import load_card, mixture
from polygraft.serve.app import create_app
from polygraft.serve.host import Host

SPAM = ["win a free prize now", "claim free cash", "free prize call now", "win cash now"]
HAM = ["see you soon mum", "dinner tonight", "the train is late", "hello mum call you soon"]


@pytest.fixture(scope="module")
def window(backbone: Path, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A backbone of the toy family, exported."""
    folder = tmp_path_factory.mktemp("window")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(root / "tests" / "toys"))
        patch.setitem(registry.FAMILIES, "window", "window")
        from window import WindowConfig, WindowModel

        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(backbone / name, folder)
        torch.manual_seed(0)
        pieces = load_encoder(backbone).tokenizer.get_vocab_size()
        WindowModel(WindowConfig(pieces=pieces)).save_pretrained(folder)
        export_backbone(folder, precisions=("fp32", "int8"))
        yield folder
    sys.modules.pop("window", None)


@pytest.fixture(scope="module")
def shelf(window: Path, tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Two adapters of it, trained by the command."""
    home = tmp_path_factory.mktemp("window-shelf")
    rows = [{"text": t, "label": "spam"} for t in SPAM] + [{"text": t, "label": "ham"} for t in HAM]
    for rank, name in ((2, "one"), (4, "two")):
        (home / name).mkdir()
        for split in ("train", "dev"):
            file = home / name / f"{split}.jsonl"
            file.write_text(
                "".join(json.dumps(r | {"text": f"{r['text']} {split}"}) + "\n" for r in rows)
            )
        recipe = {
            "name": name,
            "languages": ["en"],
            "data": {"train": "train.jsonl", "dev": "dev.jsonl"},
            "lora": {"r": rank},
            "training": {
                "epochs": 20,
                "learning_rate": 0.02,
                "batch_size": 4,
                "bf16": False,
            },
        }
        (home / name / LAYOUT.recipe).write_text(yaml.safe_dump(recipe))
        made = CliRunner().invoke(
            app, ["train", str(home / name / LAYOUT.recipe), "--backbone", str(window)]
        )
        assert made.exit_code == 0, made.output
    return Library(home)


def test_the_graph_is_the_model_with_each_rows_own_adapter(window: Path) -> None:
    """The parity check that every export makes: fp32 within 1e-3, int8 within cosine 0.99."""
    card = load_card(window)
    assert card.drift["fp32"] < 1e-5
    assert card.drift["int8"] < 0.01
    assert [site.name for site in card.sites] == [
        f"mixers.{i}.{name}" for i in range(2) for name in ("into", "back")
    ]


def test_it_reads_what_its_family_says(window: Path) -> None:
    encoder = load_encoder(window)
    (row,) = encoder.encode(["call mum " * 60])
    assert (len(row), row.truncated) == (48, True)
    assert list(encoder.pad([row])) == ["input_ids", "attention_mask"]


def test_its_adapters_are_answered_in_one_batch_over_http(window: Path, shelf: Library) -> None:
    host = Host(Engine(window, precision="fp32", slots=8), shelf)
    assert not host.refused
    texts = [*SPAM, *HAM]
    with closing(host.engine), TestClient(create_app(lambda: host)) as client:
        rows = [{"adapter": ("one", "two")[i % 2], "text": text} for i, text in enumerate(texts)]
        results = client.post("/v1/classify", json={"rows": rows}).json()["results"]
    assert [r["label"] for r in results] == ["spam"] * 4 + ["ham"] * 4
    assert {r["adapter"] for r in results} == {"one", "two"}


def test_it_has_no_decoder(window: Path) -> None:
    with pytest.raises(BackboneError, match="has no decoder"):
        load_seq2seq(window)


def test_a_family_whose_graph_says_something_else_is_refused(
    window: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parity check can fail: LoRA that is added twice is seen, and nothing is written."""
    copy = Path(shutil.copytree(window, tmp_path / "copy", ignore=shutil.ignore_patterns("onnx")))
    inner = hooks.updated

    def twice(model: torch.nn.Module, sites: list, update: hooks.Update):  # type: ignore[no-untyped-def]
        return inner(model, sites, lambda x, place: 2 * update(x, place))

    monkeypatch.setattr("polygraft.export.graph.updated", twice)
    with pytest.raises(ExportError, match="drifts from PyTorch"):
        export_backbone(copy, precisions=("fp32",))
    assert not BackboneFiles(copy).graph.exists()


def test_the_bare_backbone_is_the_models_own_mean(window: Path) -> None:
    encoder = load_encoder(window)
    rows = encoder.encode(SPAM)
    batch = {k: torch.from_numpy(v) for k, v in encoder.pad(rows).items()}
    with torch.no_grad():
        states = load_backbone(window)(**batch).last_hidden_state.numpy()
    mask = batch["attention_mask"].numpy()[..., None]
    wanted = (states * mask).sum(1) / mask.sum(1)
    with closing(Engine(window, precision="fp32", slots=2)) as engine:
        got = engine.encoding.session.run(
            encoder.pad(rows) | mixture([[]] * len(rows)), engine.bank
        )
    np.testing.assert_allclose(got, wanted, atol=1e-5)
