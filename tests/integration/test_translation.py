"""`polygraft train` for a translation recipe, then the adapter in the engine and behind the API."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import peft
import pytest
import yaml
from rich.console import Console
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from polygraft.adapters.format import LAYOUT, load_adapter, load_manifest
from polygraft.adapters.library import Library
from polygraft.architectures.folder import fingerprint
from polygraft.architectures.loading import load_seq2seq
from polygraft.architectures.target_tokenizer import load_target_tokenizer
from polygraft.architectures.text import load_encoder
from polygraft.cli import app
from polygraft.errors import DataError, GoldenMismatch, RecipeError, WrongBackbone
from polygraft.reporting.results import results_table
from polygraft.runtime.engine import Engine
from polygraft.runtime.rows import Row
from polygraft.runtime.search import Search
from polygraft.tasks.recipe import load_recipe
from polygraft.tasks.translation import training
from polygraft.tasks.translation.greedy import translate
from polygraft.tasks.translation.job import TranslationJob, prepare
from polygraft.tasks.translation.recipe import TranslationRecipe
from polygraft.tasks.translation.serving import Translated
from polygraft.training.pipeline import train

PAIRS = {
    "hello mum": "Ọjọ́ dára mum",
    "see you soon": "dára soon",
    "the train is late": "train Ọjọ́ late",
    "call now": "pe now",
    "dinner tonight": "dinner Ọjọ́",
    "win a prize": "win dára",
    "free cash": "free Ọjọ́",
    "text mum now": "text mum pe",
    "hello you": "Ọjọ́ dára you",
    "see mum tonight": "dára mum Ọjọ́",
    "claim free prize": "claim free dára",
}


def recipe(folder: Path, **changes: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [f"{a}\t{b}" for a, b in PAIRS.items()]
    (folder / "train.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "dev.tsv").write_text(
        "win cash soon\twin Ọjọ́ soon\nsee the train\tdára train\n", encoding="utf-8"
    )
    content = {
        "name": folder.name,
        "task": "translation",
        "languages": ["en", "yo"],
        "data": {
            "train": [{"source": "en", "target": "yo", "file": "train.tsv"}],
            "dev": [{"source": "en", "target": "yo", "file": "dev.tsv"}],
        },
        "lora": {"r": 8, "alpha": 16},
        "training": {
            "steps": 60,
            "tokens": 400,
            "learning_rate": 0.01,
            "evaluations": 2,
            "bf16": False,
        },
    }
    (folder / "recipe.yaml").write_text(
        yaml.safe_dump(content | changes, allow_unicode=True), encoding="utf-8"
    )
    return folder / "recipe.yaml"


def ready(file: Path, backbone: Path) -> TranslationJob:
    loaded = load_recipe(file)
    assert isinstance(loaded, TranslationRecipe)
    return prepare(loaded, file, backbone)


@pytest.fixture(scope="module")
def parent(writing_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = recipe(tmp_path_factory.mktemp("translators") / "en-yo")
    train(ready(file, writing_backbone), file.parent)
    return file.parent


@pytest.fixture(scope="module")
def engine(writing_backbone: Path, parent: Path) -> Engine:
    engine = Engine(writing_backbone, precision="fp32", slots=4)
    engine.add(parent)
    return engine


def test_an_adapter_that_writes_is_a_peft_folder_with_figures_and_goldens(
    parent: Path, writing_backbone: Path, machine_paths: Callable[[bytes], set[str]]
) -> None:
    adapter = load_adapter(parent, backbone=fingerprint(writing_backbone))
    assert adapter.head is None
    assert adapter.manifest.directions == [("en", "yo"), ("yo", "en")]
    assert any(s.startswith("encoder.layer.0.") for s in adapter.lora)
    assert any(
        s.startswith("decoder.bert.encoder.layer.1.crossattention") for s in adapter.decoder_lora
    )
    rungs = adapter.manifest.metrics["directions"]["dev"]["en-yo"]["rungs"]
    assert set(rungs) == {"copy", "bare", "adapter"}
    assert rungs["adapter"]["chrf++"]["value"] > rungs["bare"]["chrf++"]["value"]
    card = (parent / LAYOUT.card).read_text()
    assert "nw:2" in card
    assert "the source, copied" in card
    paths = {
        name: machine_paths((parent / name).read_bytes())
        for name in LAYOUT.names()
        if (parent / name).is_file()
    }
    assert not any(paths.values()), paths


def test_the_engine_writes_what_pytorch_writes(
    engine: Engine, parent: Path, writing_backbone: Path
) -> None:
    adapted = peft.PeftModel.from_pretrained(load_seq2seq(writing_backbone), parent).eval()
    pieces = load_target_tokenizer(writing_backbone)
    for source, target, texts in (
        ("en", "yo", list(PAIRS)),
        ("yo", "en", list(PAIRS.values())),
    ):
        models = (adapted, load_seq2seq(writing_backbone))
        wanted, bare = (
            translate(m, load_encoder(writing_backbone), pieces, texts, (source, target))
            for m in models
        )
        assert wanted != bare, "the adapter changes nothing: the test is void"
        answers = engine.answer([Row("en-yo", text, target=target) for text in texts])
        assert [a.text for a in answers if isinstance(a, Translated)] == wanted


def test_a_child_starts_from_its_parent_and_every_baseline_is_scored(
    parent: Path, writing_backbone: Path
) -> None:
    options = {"steps": 10, "tokens": 400, "learning_rate": 0.005, "evaluations": 1, "bf16": True}
    file = recipe(parent.parent / "child", parent="en-yo", training=options, both_ways=False)
    (file.parent / "mono.txt").write_text("Ọjọ́ dára\nwin mum\n", encoding="utf-8")
    content = yaml.safe_load(file.read_text())
    content["back_translation"] = {"file": "mono.txt", "language": "yo"}
    content |= {"both_ways": True}
    file.write_text(yaml.safe_dump(content, allow_unicode=True))
    manifest = train(ready(file, writing_backbone), file.parent, full_ladder=True)
    assert manifest.parent == f"en-yo@{load_manifest(parent).version}"
    found = manifest.metrics["directions"]["dev"]["en-yo"]
    assert set(found["rungs"]) == {"copy", "bare", "from_scratch", "no_parent", "adapter"}
    assert found["gain_from_parent"]["verdict"] in ("helps", "harms", "no evidence")
    assert not (file.parent / ".training").exists()
    table = results_table(Library(parent.parent))
    judged = [
        line
        for line in table.splitlines()
        if "| en to yo | dev (" in line and not line.endswith("| – |")
    ]
    assert len(judged) == 1
    assert judged[0].endswith(f": {found['gain_from_parent']['verdict']} |")


def test_a_run_from_another_parent_or_of_other_text_has_another_key(
    parent: Path, writing_backbone: Path, tmp_path: Path, edit_manifest: Callable[..., None]
) -> None:
    """Issue 15, defect 10: checkpoints and back-translations of an older parent, or of other text,
    were used again."""
    older = Path(shutil.copytree(parent, tmp_path / "en-yo"))
    file = recipe(
        tmp_path / "child", parent="en-yo", back_translation={"file": "mono.txt", "language": "yo"}
    )
    text = file.parent / "mono.txt"
    text.write_text("Ọjọ́ dára\nwin mum\n", encoding="utf-8")
    keys = [ready(file, writing_backbone).key for _ in range(2)]
    text.write_text("Ọjọ́ dára\nwin you\n", encoding="utf-8")
    keys.append(ready(file, writing_backbone).key)
    save_file(
        {name: value + 1 for name, value in load_file(older / LAYOUT.weights).items()},
        older / LAYOUT.weights,
    )
    edit_manifest(older)
    keys.append(ready(file, writing_backbone).key)
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


def test_a_killed_run_keeps_its_back_translations(
    writing_backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And text that a line reader would cut: a carriage return made one translation two, so that no
    run could go on."""
    file = recipe(tmp_path / "killed", back_translation={"file": "mono.txt", "language": "yo"})
    (file.parent / "mono.txt").write_text("Ọjọ́ dára\nwin mum\n", encoding="utf-8")
    job, say = ready(file, writing_backbone), Console(quiet=True)
    monkeypatch.setattr(training, "translate", lambda *_: ["good\rday\n", "win\u2028mum"])
    first = training._with_back_translations(job, tmp_path, say)
    monkeypatch.delattr(training, "translate")
    again = training._with_back_translations(job, tmp_path, say)
    assert first.pairs.train == again.pairs.train
    assert [(p.source, p.target) for p in again.pairs.train[-2:]] == [
        ("good\rday ", "Ọjọ́ dára"),
        ("win\u2028mum", "win mum"),
    ]


def test_bad_recipes_and_data_are_refused_before_training(
    parent: Path, writing_backbone: Path, backbone: Path, tmp_path: Path
) -> None:
    pairs = {"source": "en", "target": "fr", "file": "train.tsv"}
    unknown = recipe(
        tmp_path / "unknown",
        languages=["en", "fr"],
        data={"train": [pairs], "dev": [pairs | {"file": "dev.tsv"}]},
    )
    with pytest.raises(RecipeError, match=r"no tag for fr; it has en, haw, yo"):
        ready(unknown, writing_backbone)
    leaky = recipe(tmp_path / "leaky")
    with (leaky.parent / "train.tsv").open("a", encoding="utf-8") as file:
        file.write("other\tdára train\n")
    with pytest.raises(DataError, match="1 pairs have a side that also stands in dev"):
        ready(leaky, writing_backbone)
    ragged = recipe(tmp_path / "ragged")
    (ragged.parent / "train.tsv").write_text("a\tb\nc\n")
    with pytest.raises(DataError, match=r"line 2 has 1 columns, not 2"):
        ready(ragged, writing_backbone)
    with pytest.raises(RecipeError, match="languages"):
        load_recipe(recipe(tmp_path / "odd", languages=["en", "haw"]))
    with pytest.raises(WrongBackbone):
        load_adapter(parent, backbone=fingerprint(backbone))


def test_what_back_translation_lacks_is_told_by_check(
    writing_backbone: Path, tmp_path: Path
) -> None:
    """Issue 15: a language the recipe does not translate from was a bare ValueError in the middle
    of a run, and a file that is not there was not missed before."""
    check = ["--check", "--backbone", str(writing_backbone)]
    text = {"file": "mono.txt", "language": "yo"}
    for name, changes, says in (
        (
            "odd",
            {"back_translation": text | {"language": "haw"}},
            "back_translation.language: this recipe does not translate from",
        ),
        (
            "one-way",
            {"back_translation": text, "both_ways": False},
            "from 'yo', only from en; give one of those, or set both_ways",
        ),
        ("lost", {"back_translation": text}, "back_translation: mono.txt cannot be read"),
    ):
        told = CliRunner().invoke(app, ["train", str(recipe(tmp_path / name, **changes)), *check])
        assert (told.exit_code, told.exception.__class__) == (1, SystemExit), name
        assert says in " ".join(told.output.split())
    empty = recipe(tmp_path / "empty", back_translation=text)
    (empty.parent / "mono.txt").write_text("\n \n")
    with pytest.raises(DataError, match=r"mono\.txt has no text"):
        ready(empty, writing_backbone)
    (empty.parent / "mono.txt").write_text("Ọjọ́ dára\n")
    assert ready(empty, writing_backbone).monolingual == ["Ọjọ́ dára"]


@pytest.mark.parametrize(("both_ways", "unknown"), [(True, "fr, zu"), (False, "zu")])
def test_training_pairs_of_a_language_without_a_tag_are_told_by_check(
    writing_backbone: Path, tmp_path: Path, both_ways: bool, unknown: str
) -> None:
    """Issue 15: pairs (a parent's, say) of a language the decoder has no tag for were a bare
    KeyError in the middle of a run. Without `both_ways` their source is only read."""
    pairs = [
        {"source": a, "target": b, "file": "train.tsv"}
        for a, b in (("en", "yo"), ("fr", "en"), ("en", "zu"))
    ]
    dev = [{"source": "en", "target": "yo", "file": "dev.tsv"}]
    file = recipe(tmp_path / "mixed", data={"train": pairs, "dev": dev}, both_ways=both_ways)
    with pytest.raises(
        RecipeError,
        match=rf"data\.train: the backbone's decoder has no tag for {unknown}; it has en, haw, yo",
    ):
        ready(file, writing_backbone)


def test_an_adapter_whose_decoder_part_is_not_applied_is_refused(
    engine: Engine, parent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert engine.writer
    with monkeypatch.context() as patched:
        patched.setattr(engine.writer.bank, "write", lambda lora, name: ())
        with pytest.raises(
            GoldenMismatch, match=r"does not write what it wrote|like the bare backbone"
        ):
            engine.add(parent)
    engine.add(parent)


def test_long_text_keeps_its_lines_and_what_has_no_letters(engine: Engine) -> None:
    text = "Hello mum. See you soon!\n\n  Call now.\n12/04 🙂\n"
    (answer,) = engine.answer([Row("en-yo", text, target="yo")])
    assert isinstance(answer, Translated)
    lines = answer.text.split("\n")
    assert len(lines) == 5
    assert lines[2].startswith("  ")
    assert lines[1] == ""
    assert lines[3] == "12/04 🙂"
    assert lines[0]


def test_beams_give_alternatives_and_bad_searches_are_refused(engine: Engine) -> None:
    (answer,) = engine.answer(
        [Row("en-yo", "hello mum", target="yo", search=Search(beam=4, n_best=3))]
    )
    assert isinstance(answer, Translated)
    assert len(answer.texts) == 3
    assert len(answer.scores) == 3
    wrong = (
        {"beam": 0},
        {"beam": 99},
        {"n_best": 2},
        {"no_repeat": -1},
        {"temperature": 9},
        {"temperature": 1.0, "beam": 2},
    )
    for bad in wrong:
        with pytest.raises(Exception, match=next(iter(bad))):
            Search(**bad)


def test_rows_say_which_direction_or_are_told(engine: Engine) -> None:
    ask = [
        Row("en-yo", "hello"),
        Row("en-yo", "hello", target="haw"),
        Row("en-yo", "hello", language="en"),
        Row("en-yo", "hello", language="fr"),
    ]
    answers = engine.answer(ask)
    assert "say which" in str(answers[0])
    assert "it translates en to yo, yo to en" in str(answers[1])
    assert isinstance(answers[2], Translated)
    assert "was made for" in str(answers[3])
