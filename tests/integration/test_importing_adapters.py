"""Adapters that PEFT trained elsewhere, imported by the command and served: they give what they
gave there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification
from typer.testing import CliRunner

from polygraft.adapters.format import LAYOUT, load_adapter
from polygraft.architectures.loading import load_backbone, load_seq2seq
from polygraft.architectures.target_tokenizer import load_target_tokenizer
from polygraft.architectures.text import load_encoder
from polygraft.cli import app
from polygraft.importing.peft_folder import placed
from polygraft.runtime.engine import Engine
from polygraft.runtime.rows import Row, WeightedAdapter
from polygraft.tasks.classification.manifest import ClassificationManifest
from polygraft.tasks.classification.serving import Classified
from polygraft.tasks.translation.greedy import translate
from polygraft.tasks.translation.serving import Translated
from polygraft.training.batches import tensors

TEXTS = ["win a free prize now", "see you soon mum", "call now", "the train is late tonight"]


def ran(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["adapters", "import", *map(str, arguments)])
    assert not result.exception or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, " ".join(result.output.split())


def random_lora(model: Any, scale: float = 0.2) -> None:
    torch.manual_seed(3)
    for name, parameter in model.named_parameters():
        if "lora_" in name or "modules_to_save" in name:
            torch.nn.init.normal_(parameter, std=scale)


def saved(model: Any, folder: Path, licence: str = "mit") -> Path:
    model.save_pretrained(folder)
    card = f"---\nlicense: {licence}\n---\n" if licence else ""
    (folder / LAYOUT.card).write_text(card, encoding="utf-8")
    return folder


@pytest.fixture
def plain(backbone: Path, tmp_path: Path) -> Path:
    """LoRA of two ranks and alphas, rank-stabilised, on a bare encoder."""
    config = peft.LoraConfig(
        r=4,
        lora_alpha=8,
        target_modules=["query", "value", "output.dense"],
        rank_pattern={"value": 2},
        alpha_pattern={"layer.1.attention.self.query": 3},
        use_rslora=True,
    )
    model = peft.get_peft_model(load_backbone(backbone), config).eval()
    random_lora(model)
    return saved(model, tmp_path / "theirs")


def states(model: Any, backbone: Path) -> torch.Tensor:
    encoder = load_encoder(backbone)
    with torch.no_grad():
        out: torch.Tensor = model(**tensors(encoder.pad(encoder.encode(TEXTS)))).last_hidden_state
    return out


def test_ranks_and_alphas_of_layers_are_folded_into_plain_lora(
    plain: Path, backbone: Path, library: Path, tmp_path: Path
) -> None:
    status, told = ran(plain, tmp_path / "sw-lora", "--language", "sw", "--backbone", backbone)
    assert status == 0, told
    made = tmp_path / "sw-lora"
    manifest = load_adapter(made).manifest
    assert (manifest.task, manifest.data[0]["licence"]) == ("language", "mit")
    theirs, ours, bare = (
        states(model, backbone)
        for model in (
            peft.PeftModel.from_pretrained(load_backbone(backbone), plain).eval(),
            peft.PeftModel.from_pretrained(load_backbone(backbone), made).eval(),
            load_backbone(backbone),
        )
    )
    assert (theirs - bare).abs().max() > 0.1, "the adapter changes nothing: the test is void"
    assert (theirs - ours).abs().max() < 1e-5
    engine = Engine(backbone, precision="fp32", slots=4)
    engine.add(made)
    engine.add(library / "spam")
    under = (WeightedAdapter("sw-lora"),)
    alone, stacked = engine.answer([Row("spam", TEXTS[0]), Row("spam", TEXTS[0], stack=under)])
    assert isinstance(alone, Classified)
    assert isinstance(stacked, Classified)
    assert abs(alone.score - stacked.score) > 1e-4
    engine.close()


HEADS: dict[str, tuple[dict[str, Any], list[str], str]] = {
    "xlm-roberta": ({}, ["classifier"], "tanh"),
    "bert": ({}, ["classifier"], "tanh"),
    "electra": ({"embedding_size": 32}, ["classifier"], "gelu"),
    "distilbert": (
        {"dim": 32, "n_layers": 1, "n_heads": 4, "hidden_dim": 64},
        ["classifier", "pre_classifier"],
        "relu",
    ),
    "deberta-v2": ({}, ["classifier", "pooler"], "gelu"),
}


@pytest.mark.parametrize("model_type", HEADS)
def test_a_classifier_answers_as_peft_does(
    model_type: str, published: Callable[..., Path], tmp_path: Path
) -> None:
    changes, kept, activation = HEADS[model_type]
    base = published(model_type, tmp_path / "base", **changes)
    home = tmp_path / "home"
    asked = ["backbone", "import", str(base), str(home), "--precision", "fp32"]
    imported = CliRunner().invoke(app, asked)
    assert imported.exit_code == 0, imported.output
    target = ["q_lin", "v_lin"] if model_type == "distilbert" else ["query", "value"]
    target = ["value_proj"] if model_type == "deberta-v2" else target
    whole = AutoModelForSequenceClassification.from_pretrained(base, num_labels=3)
    config = peft.LoraConfig(
        task_type="SEQ_CLS", r=2, lora_alpha=4, target_modules=target, modules_to_save=kept
    )
    model = peft.get_peft_model(whole, config).eval()
    random_lora(model, 0.4)
    theirs, made = saved(model, tmp_path / "theirs"), tmp_path / "mood"
    labels = ["--labels", "bad,good,so-so", "--language", "en"]
    status, told = ran(theirs, made, *labels, "--backbone", home)
    assert status == 0, told
    manifest = load_adapter(made).manifest
    assert isinstance(manifest, ClassificationManifest)
    assert (manifest.pooling, manifest.activation) == ("first", activation)
    encoder = load_encoder(home)
    with torch.no_grad():
        inputs = tensors(encoder.pad(encoder.encode(TEXTS)))
        wanted = model(**inputs).logits.softmax(-1).numpy()
        with model.disable_adapter():
            bare = model(**inputs).logits.softmax(-1).numpy()
    assert np.abs(wanted - bare).max() > 0.01, "the adapter changes nothing: the test is void"
    engine = Engine(home, precision="fp32", slots=4)
    assert engine.add(made).labels == ["bad", "good", "so-so"]  # type: ignore[attr-defined]
    rows = [Row("mood", text) for text in TEXTS] + [Row("mood", TEXTS[0], explain=True)]
    answers = engine.answer(rows)
    engine.close()
    for answer, expected in zip(answers, [*wanted, wanted[0]], strict=True):
        assert isinstance(answer, Classified)
        scores = {one.label: one.score for one in answer.labels}
        got = [scores[label] for label in manifest.labels]
        assert np.abs(np.array(got) - expected).max() < 1e-4, (got, expected)


def test_a_translator_made_with_the_decoder_lies_on_the_encoder_alone(
    writing_backbone: Path, tmp_path: Path
) -> None:
    """As `polygraft pretrain` writes it: the encoder's sites, by their names in the encoder."""
    whole = load_seq2seq(writing_backbone)
    config = peft.LoraConfig(r=16, lora_alpha=16, target_modules=["query", "value"])
    adapted = peft.get_peft_model(whole.encoder, config)
    random_lora(adapted)
    theirs, made, texts = saved(adapted, tmp_path / "theirs"), tmp_path / "mt", tmp_path / "t.jsonl"
    rows = [{"text": t, "source": "en"} for t in TEXTS] + [{"text": "dára púpọ̀", "source": "yo"}]
    texts.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    arguments = ["--direction", "en:yo,haw", "--texts", texts, "--backbone", writing_backbone]
    languages = [x for code in ("en", "yo", "haw") for x in ("--language", code)]
    status, told = ran(theirs, made, *arguments, *languages)
    assert status == 0, told
    adapter = load_adapter(made)
    assert adapter.manifest.directions == [("en", "yo"), ("yo", "en"), ("en", "haw"), ("haw", "en")]
    assert adapter.lora
    assert not adapter.decoder_lora
    tokenizers = load_encoder(writing_backbone), load_target_tokenizer(writing_backbone)
    wanted, bare = (
        translate(model.eval(), *tokenizers, TEXTS, ("en", "yo"))
        for model in (whole, load_seq2seq(writing_backbone))
    )
    assert wanted != bare, "the adapter changes nothing: the test is void"
    engine = Engine(writing_backbone, precision="fp32", slots=4)
    engine.add(made)
    answers = engine.answer([Row("mt", text, language="en", target="yo") for text in TEXTS])
    engine.close()
    assert [a.text for a in answers if isinstance(a, Translated)] == wanted

    rows = "see you soon mum\tmàmá\nwin a prize\tẹ̀bùn\nthe train is late\tọkọ̀ pẹ́\n"
    (tmp_path / "pairs.tsv").write_text(rows, encoding="utf-8")
    pairs = [{"source": "en", "target": target, "file": "pairs.tsv"} for target in ("yo", "haw")]
    recipe: dict[str, Any] = {
        "name": "scored",
        "task": "translation",
        "languages": ["en", "yo", "haw"],
    }
    (tmp_path / "train.tsv").write_text("good night\tó dàárọ̀\n", encoding="utf-8")
    train = [{"source": "en", "target": "yo", "file": "train.tsv"}]
    data = {"data": {"train": train, "dev": pairs}, "lora": {"r": 16, "alpha": 16}}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe | data), encoding="utf-8")
    given = ["--recipe", tmp_path / "recipe.yaml", "--backbone", writing_backbone]
    assert "no other option" in ran(theirs, tmp_path / "scored", *given, "--language", "en")[1]
    status, told = ran(theirs, tmp_path / "scored", *given)
    assert status == 0, told
    loaded = load_adapter(tmp_path / "scored")
    scored = loaded.manifest
    assert loaded.lora.keys() == adapter.lora.keys()
    for site, (a, b) in loaded.lora.items():
        assert all(map(np.array_equal, (a, b), adapter.lora[site]))
    assert set(scored.directions) == set(adapter.manifest.directions)
    rungs = scored.metrics["directions"]["dev"]["en-yo"]["rungs"]
    assert set(rungs) == {"copy", "bare", "adapter"}
    assert "imported" in (tmp_path / "scored" / LAYOUT.card).read_text(encoding="utf-8")


def change_config(folder: Path, **changes: object) -> None:
    file = folder / LAYOUT.peft_config
    file.write_text(json.dumps(json.loads(file.read_text()) | changes), encoding="utf-8")


def change_tensors(folder: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """With random ones of these names, without PEFT's prefix, and shapes."""
    file = folder / LAYOUT.weights
    added = {f"base_model.model.{name}": torch.randn(shape) for name, shape in shapes.items()}
    save_file(load_file(file) | added, file)


def a_site(folder: Path) -> str:
    names = (name.removeprefix("base_model.model.") for name in load_file(folder / LAYOUT.weights))
    return next(name for name in names if "query.lora_A" in name)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: change_config(f, use_dora=True), "use_dora"),
        (lambda f: change_config(f, peft_type="IA3"), "is 'IA3'"),
        (lambda f: change_config(f, peft_type="PREFIX_TUNING"), "is 'PREFIX_TUNING'"),
        (lambda f: change_config(f, bias="lora_only"), "bias"),
        (lambda f: change_config(f, init_lora_weights="pissa_niter_4"), "pissa_niter_4"),
        (lambda f: change_config(f, from_the_future={"x": 1}), "from_the_future"),
        (lambda f: change_config(f, rank_pattern={}), "do not belong together"),
        (lambda f: change_tensors(f, {"query.lora_magnitude_vector.weight": (4,)}), "DoRA"),
        (lambda f: change_tensors(f, {"norm.weight": (4,)}), "replaces 'norm.weight'"),
        (lambda f: change_tensors(f, {"score.weight": (3, 32)}), "--pooling"),
        (lambda f: change_tensors(f, {a_site(f): (4, 48)}), "maps 48 to 32"),
        (
            lambda f: change_tensors(f, {"up.lora_A.weight": (4, 32), "up.lora_B.weight": (32, 4)}),
            "not all sites",
        ),
        (lambda f: (f / LAYOUT.weights).unlink(), "half a download"),
        (lambda f: (f / LAYOUT.weights).write_bytes(b"no"), "cannot be read"),
        (lambda f: (f / LAYOUT.peft_config).unlink(), "no adapter of PEFT"),
        (lambda f: (f / LAYOUT.peft_config).write_text("[]"), "not a JSON object"),
        (lambda f: (f / LAYOUT.card).unlink(), "--licence"),
    ],
)
def test_what_is_not_exact_is_refused_by_name(
    spoil: Callable[[Path], object], said: str, plain: Path, backbone: Path, tmp_path: Path
) -> None:
    spoil(plain)
    status, told = ran(plain, tmp_path / "made", "--language", "sw", "--backbone", backbone)
    assert status == 1, told
    assert said in told
    assert not (tmp_path / "made").exists()


def test_a_head_needs_its_labels_and_may_read_the_mean(
    plain: Path, backbone: Path, tmp_path: Path
) -> None:
    change_tensors(plain, {"score.weight": (3, 32)})
    arguments = ["--language", "sw", "--backbone", backbone, "--pooling", "mean"]
    status, told = ran(plain, tmp_path / "made", *arguments, "--labels", "a,b")
    assert status == 1
    assert "has 3 labels, and 2 are given" in told
    (plain / "config.json").write_text(
        json.dumps({"id2label": {"0": "a", "2": "c", "1": "b"}}), encoding="utf-8"
    )
    status, told = ran(plain, tmp_path / "made", *arguments)
    assert status == 0, told
    manifest = load_adapter(tmp_path / "made").manifest
    assert manifest.labels == ["a", "b", "c"]
    assert manifest.pooling == "mean"
    assert manifest.activation is None


def test_pickled_weights_are_read_as_tensors_alone(
    plain: Path, backbone: Path, tmp_path: Path
) -> None:
    tensors_of = load_file(plain / LAYOUT.weights)
    (plain / LAYOUT.weights).unlink()
    torch.save(tensors_of, plain / "adapter_model.bin")
    arguments = ["--language", "sw", "--backbone", backbone]
    assert ran(plain, tmp_path / "made", *arguments)[0] == 0
    torch.save({"x": Path("x")}, plain / "adapter_model.bin")
    status, told = ran(plain, tmp_path / "again", *arguments)
    assert status == 1
    assert "cannot be read as tensors" in told


def test_what_the_user_says_wrongly(
    plain: Path, backbone: Path, writing_backbone: Path, tmp_path: Path
) -> None:
    made = tmp_path / "made"
    status, told = ran(plain, made, "--language", "swahili", "--backbone", backbone)
    assert (status, "swahili" in told) == (2, True)
    translator = ["--language", "en", "--backbone", writing_backbone, "--direction"]
    assert ran(plain, made, *translator, "en")[0] == 2
    assert "does not write" in ran(plain, made, *translator, "en:xh")[1]
    assert "--texts FILE" in ran(plain, made, *translator, "en:yo")[1]
    (tmp_path / "one.jsonl").write_text('{"text": "call now", "source": "en"}')
    texts = ["--texts", tmp_path / "one.jsonl"]
    assert "different ones are needed" in ran(plain, made, *translator, "en:yo", *texts)[1]
    assert not made.exists()


def test_names_of_modules_and_sites() -> None:
    sites = ["layer.0.query", "layer.0.value"]
    assert placed(["bert.layer.0.query"], sites) == {"bert.layer.0.query": "layer.0.query"}
    assert placed(["layer.0.query", "layer.0.value"], sites) == {s: s for s in sites}
    assert placed(["decoder.bert.layer.0.query"], sites) is None
    assert placed(["bert.layer.0.query", "layer.0.value"], sites) is None
