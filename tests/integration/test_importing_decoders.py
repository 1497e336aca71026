"""A published encoder-decoder made a backbone by the command; an adapter trained on it translates,
in the server, for a client of LibreTranslate. The model is of NLLB's class and tokenizer, tiny and
random."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import uvicorn
import yaml
from libretranslatepy import LibreTranslateAPI
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForSeq2SeqLM, NllbTokenizer
from typer.testing import CliRunner

from polygraft.adapters.format import load_adapter, load_manifest
from polygraft.adapters.library import Library
from polygraft.architectures.loading import load_seq2seq
from polygraft.architectures.target_tokenizer import load_target_tokenizer
from polygraft.architectures.text import load_encoder
from polygraft.cli import app
from polygraft.data.lines import split_lines
from polygraft.runtime.engine import Engine
from polygraft.runtime.rows import Row
from polygraft.runtime.search import Search
from polygraft.serve.app import create_app
from polygraft.serve.host import Host
from polygraft.serve.settings import Settings
from polygraft.tasks.translation.greedy import translate
from polygraft.tasks.translation.serving import Translated

PAIRS = {
    "Everyone has the right to life.": "Kila mtu ana haki ya kuishi.",
    "Everyone has the right to work.": "Kila mtu ana haki ya kufanya kazi.",
    "Everyone has the right to rest.": "Kila mtu ana haki ya kupumzika.",
    "Everyone has the right to education.": "Kila mtu ana haki ya kuelimishwa.",
    "No one shall be tortured.": "Mtu yeyote asiteswe.",
    "All are equal before the law.": "Watu wote ni sawa mbele ya sheria.",
    "Where is the station?": "Kituo kiko wapi?",
    "Please call me after one o'clock.": "Tafadhali nipigie simu baada ya saa moja.",
}
CODES = ["eng_Latn", "swh_Latn", "yor_Latn"]


def published(folder: Path) -> Path:
    """As save_pretrained writes it."""
    learnt = Tokenizer(models.BPE(unk_token="<unk>"))
    learnt.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.BpeTrainer(vocab_size=250, special_tokens=special, show_progress=False)
    learnt.train_from_iterator([*PAIRS, *PAIRS.values()], trainer)
    model = json.loads(learnt.to_str())["model"]
    merges = [tuple(pair) for pair in model["merges"]]
    tokenizer = NllbTokenizer(model["vocab"], merges, extra_special_tokens=CODES)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "m2m_100",
        vocab_size=len(tokenizer),
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_position_embeddings=64,
        init_std=0.2,
        num_beams=5,
        no_repeat_ngram_size=2,
    )
    AutoModelForSeq2SeqLM.from_config(config).save_pretrained(folder)
    card = "---\nlicense: cc-by-nc-4.0\n---\n# tiny\n"
    (folder / "README.md").write_text(card, encoding="utf-8")
    return folder


def ran(*arguments: object) -> str:
    result = CliRunner().invoke(app, [*map(str, arguments)])
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


@pytest.fixture(scope="module")
def nllb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("nllb")
    source = published(home / "published")
    told = ran("backbone", "import", source, home / "nllb", "--precision", "fp32")
    assert "its licence is non-commercial" in told
    return home / "nllb"


@pytest.fixture(scope="module")
def library(nllb: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With an adapter trained by the command. The recipe says one language as the family does."""
    root = tmp_path_factory.mktemp("library")
    folder = root / "en-sw"
    folder.mkdir()
    rows = [f"{english}\t{swahili}" for english, swahili in PAIRS.items()]
    for name, some in (("train", rows[:6]), ("dev", rows[6:])):
        (folder / f"{name}.tsv").write_text("\n".join(some) + "\n", encoding="utf-8")
    files = {"source": "en", "target": "sw"}
    recipe = {
        "name": "en-sw",
        "task": "translation",
        "languages": ["en", "sw"],
        "data": {
            "train": [files | {"file": "train.tsv"}],
            "dev": [files | {"file": "dev.tsv"}],
        },
        "training": {
            "steps": 80,
            "tokens": 400,
            "learning_rate": 0.01,
            "evaluations": 1,
            "bf16": False,
        },
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    ran("train", folder / "recipe.yaml", "--backbone", nllb)
    return root


@pytest.fixture(scope="module")
def engine(nllb: Path, library: Path) -> Iterator[Engine]:
    with closing(Engine(nllb, precision="fp32", slots=8)) as engine:
        engine.add(library / "en-sw")
        yield engine


def test_what_the_import_says_of_text(nllb: Path) -> None:
    record: dict[str, Any] = json.loads((nllb / "backbone.json").read_text(encoding="utf-8"))
    assert record["writing"] == {
        "start": ["</s>", "{target}"],
        "end": "</s>",
        "pad": "<pad>",
        "source": ["{source}", "{text}", "</s>"],
        "languages": {"en": "eng_Latn", "sw": "swh_Latn", "yo": "yor_Latn"},
        "max_length": 64,
    }
    assert set(record["drift"]) == {"fp32", "decoder_fp32"}
    encoder, pieces = load_encoder(nllb), load_target_tokenizer(nllb)
    (row,) = encoder.encode_sources(["the right"], [("sw", "en")])
    assert encoder.tokenizer.id_to_token(row.ids[0]) == "swh_Latn"
    assert pieces.start("sw")[1] == row.ids[0]


def test_sites_of_both_sides_are_trained(library: Path, nllb: Path) -> None:
    adapter = load_adapter(library / "en-sw")
    assert "layers.0.self_attn.q_proj" in adapter.lora
    assert "model.decoder.layers.0.encoder_attn.k_proj" in adapter.decoder_lora
    manifest = load_manifest(library / "en-sw")
    losses = manifest.metrics["directions"]["dev"]
    assert set(losses) == {"en-sw", "sw-en"}
    assert "non-commercial" in (nllb / "README.md").read_text(encoding="utf-8").lower()


def test_the_engine_writes_what_pytorch_writes(engine: Engine, library: Path, nllb: Path) -> None:
    """Mixed in one batch: two directions, two start tokens, the adapter's and none."""
    adapted = peft.PeftModel.from_pretrained(load_seq2seq(nllb), library / "en-sw").eval()
    tools = load_encoder(nllb), load_target_tokenizer(nllb)
    rows, wanted, bare = list[Row](), list[str](), list[str]()
    for (source, target), texts in {
        ("en", "sw"): list(PAIRS),
        ("sw", "en"): list(PAIRS.values()),
    }.items():
        rows += [Row("en-sw", text, language=source, target=target) for text in texts]
        wanted += translate(adapted, *tools, texts, (source, target))
        bare += translate(load_seq2seq(nllb), *tools, texts, (source, target))
    assert wanted != bare, "the adapter changes nothing: the test is void"
    assert len(set(wanted)) > 8, "it says the same of everything: the test is void"
    answers = engine.answer(rows)
    assert [a.text for a in answers if isinstance(a, Translated)] == wanted


def test_beams_are_those_of_generate(engine: Engine, library: Path, nllb: Path) -> None:
    adapted = peft.PeftModel.from_pretrained(load_seq2seq(nllb), library / "en-sw").eval()
    encoder, pieces = load_encoder(nllb), load_target_tokenizer(nllb)
    texts, start = list(PAIRS), pieces.start("sw")
    wanted = []
    for row in encoder.encode_sources(texts, [("en", "sw")] * len(texts)):
        written = adapted.generate(
            input_ids=torch.tensor([row.ids]),
            decoder_input_ids=torch.tensor([start]),
            num_beams=4,
            do_sample=False,
            max_new_tokens=pieces.most(len(row)),
            eos_token_id=pieces.end,
            pad_token_id=pieces.pad,
            decoder_start_token_id=start[0],
            early_stopping=False,
        )
        wanted.append(pieces.decode(written[0, len(start) :].tolist()).strip())
    rows = [Row("en-sw", t, language="en", target="sw", search=Search(beam=4)) for t in texts]
    got = [a.text for a in engine.answer(rows) if isinstance(a, Translated)]
    same = sum(a == b for a, b in zip(got, wanted, strict=True))
    assert same >= len(texts) - 1, (got, wanted)


def test_a_libretranslate_client_is_served_by_iso_codes_and_by_the_family_s(
    engine: Engine, library: Path
) -> None:
    (wanted,) = engine.answer([Row("en-sw", next(iter(PAIRS)), language="en", target="sw")])
    assert isinstance(wanted, Translated)
    host = Host(engine, Library(library), Settings(allow_experimental=True))
    config = uvicorn.Config(create_app(lambda: host), port=0, log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        pass
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        client = LibreTranslateAPI(f"http://127.0.0.1:{port}")
        assert {one["code"] for one in client.languages()} == {"en", "sw"}
        for source, target in (("en", "sw"), ("eng_Latn", "swh_Latn"), ("eng", "swh")):
            assert client.translate(next(iter(PAIRS)), source, target) == wanted.text
    finally:
        server.should_exit = True
        thread.join()


def test_a_language_that_the_family_does_not_know_is_a_problem_of_the_recipe(
    nllb: Path, library: Path, tmp_path: Path
) -> None:
    content = yaml.safe_load((library / "en-sw" / "recipe.yaml").read_text(encoding="utf-8"))
    for files in (*content["data"]["train"], *content["data"]["dev"]):
        files |= {"target": "tlh", "file": str(library / "en-sw" / files["file"])}
    content["languages"] = ["en", "tlh"]
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    asked = ["train", str(file), "--backbone", str(nllb), "--check"]
    result = CliRunner().invoke(app, asked)
    told = " ".join(result.output.split())
    assert (result.exit_code, "Traceback" in told) == (1, False)
    assert "no tag for tlh; it has en, sw, yo" in told


@pytest.mark.parametrize(
    ("file", "change", "told"),
    [
        ("tokenizer_config.json", {"pad_token": None}, "pad_token in tokenizer_config.json"),
        ("config.json", {"vocab_size": 9}, "cannot be read by transformers"),
    ],
)
def test_what_cannot_write_is_one_line_and_leaves_nothing(
    file: str, change: dict[str, Any], told: str, tmp_path: Path
) -> None:
    source = published(tmp_path / "tiny")
    content = json.loads((source / file).read_text(encoding="utf-8"))
    (source / file).write_text(json.dumps(content | change), encoding="utf-8")
    asked = ["backbone", "import", str(source), str(tmp_path / "made")]
    result = CliRunner().invoke(app, asked)
    output = " ".join(result.output.split())
    assert (result.exit_code, told in output) == (1, True), output
    assert not split_lines(result.output.strip())[-1].startswith("Traceback")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tiny"]
