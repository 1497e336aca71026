import json
import os
import re
import stat
import threading
from itertools import pairwise
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from polygraft.cli import app
from polygraft.tasks.recipe import load_recipe
from polygraft.tasks.registry import DEFAULT, TASKS, recipe_class

runner = CliRunner()


@pytest.fixture(autouse=True)
def environment(backbone: Path, library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYGRAFT_BACKBONE", str(backbone))
    monkeypatch.setenv("POLYGRAFT_LIBRARY", str(library))


def test_every_command_explains_itself() -> None:
    for command in (
        "serve",
        "predict",
        "suggest",
        "sources",
        "train",
        "export",
        "pretrain",
        "probe",
        "measure",
        "report",
        "recipe",
        "adapters list",
        "adapters add",
    ):
        result = runner.invoke(app, [*command.split(), "--help"])
        assert result.exit_code == 0, command
        assert len(result.output) > 200, command


def test_predict_keeps_the_row_and_adds_the_answer(tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"text": "WIN cash", "id": 7}\n\n{"text": " "}\n{"text": 3}\n')
    result = runner.invoke(
        app, ["predict", "spam", "--input", str(source), "--output", str(target)]
    )
    assert result.exit_code == 3, result.output
    rows = [json.loads(line) for line in target.read_text().splitlines()]
    assert rows[0]["id"] == 7
    assert rows[0]["label"] in ("ham", "spam")
    assert 0.5 <= rows[0]["score"] <= 1
    assert [r["error"]["code"] for r in rows[1:]] == ["InvalidRow", "InvalidRow"]


def test_predict_reads_what_it_wrote(tmp_path: Path) -> None:
    """Issue 15, offline: rows with U+2028 or U+0085 were cut in two, though `predict` itself writes
    them as they are."""
    texts = [f"WIN{mark}cash" for mark in "\u2028\u2029\x85"]
    files = [tmp_path / f"{name}.jsonl" for name in ("given", "once", "twice")]
    files[0].write_text(
        "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts),
        encoding="utf-8",
    )
    for source, target in pairwise(files):
        result = runner.invoke(
            app, ["predict", "spam", "--input", str(source), "--output", str(target)]
        )
        assert result.exit_code == 0, result.output
        rows = [json.loads(line) for line in target.read_text(encoding="utf-8").split("\n") if line]
        assert [row["text"] for row in rows] == texts
    piped = runner.invoke(app, ["predict", "spam"], input=files[0].read_text(encoding="utf-8"))
    assert len(piped.stdout.rstrip("\n").split("\n")) == len(texts)


def test_predict_writes_where_it_is_told(tmp_path: Path) -> None:
    """A pipe, a device (`/dev/null`) and a link were each replaced by a file; a file lost its
    mode."""
    source, pipe, linked, link = (
        tmp_path / name for name in ("in.jsonl", "pipe", "linked", "link")
    )
    source.write_text('{"text": "hello mum", "label": "stale", "error": "stale"}\n')
    linked.write_text("old")
    linked.chmod(0o664)
    link.symlink_to(linked)
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    for target in (pipe, link):
        result = runner.invoke(
            app, ["predict", "spam", "--input", str(source), "--output", str(target)]
        )
        assert result.exit_code == 0, result.output
    reader.join(timeout=60)
    assert read == [linked.read_text()]
    row = json.loads(read[0])
    assert row["label"] in ("ham", "spam")
    assert "error" not in row
    assert pipe.is_fifo()
    assert link.is_symlink()
    assert stat.S_IMODE(linked.stat().st_mode) == 0o664
    refused = runner.invoke(
        app, ["predict", "spam", "--input", str(source), "--output", str(tmp_path)]
    )
    assert refused.exit_code == 1
    assert "is a folder" in refused.output


def test_predict_through_pipes() -> None:
    result = runner.invoke(app, ["predict", "spam"], input='{"text": "hello mum"}\n')
    assert json.loads(result.stdout)["label"] in ("ham", "spam")


@pytest.mark.parametrize("line", ["not json", '["list"]', '{"txt": "x"}'])
def test_a_bad_line_is_named_and_no_file_is_written(tmp_path: Path, line: str) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"text": "fine"}\n' + line + "\n")
    result = runner.invoke(
        app, ["predict", "spam", "--input", str(source), "--output", str(target)]
    )
    assert result.exit_code == 1
    assert "line 2" in result.output
    assert [f.name for f in tmp_path.iterdir()] == ["in.jsonl"]


@pytest.mark.parametrize("name", ["spma", "../spma", "no/such/folder"])
def test_predict_with_an_unknown_adapter(name: str) -> None:
    result = runner.invoke(app, ["predict", name], input="")
    assert result.exit_code == 1
    assert "no adapter named" in result.output
    assert "Traceback" not in result.output


def test_train_check_reports_all_of_a_bad_recipe(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("name: A B\nlanguages: []\ndata: {train: x.csv}\n")
    result = runner.invoke(app, ["train", str(tmp_path / "recipe.yaml"), "--check"])
    assert result.exit_code == 1
    for path in ("name:", "languages:", "data.dev:"):
        assert path in result.output


def test_train_check_tells_recipe_data_and_parent_at_once(tmp_path: Path) -> None:
    """Issue 18, point 13: each was told only when those before it were mended."""
    folder = tmp_path / "adapters" / "child"
    folder.mkdir(parents=True)
    rows = [("win cash", "spam"), ("see you", "ham"), ("free prize", "spam"), ("dinner", "ham")]
    lines = [json.dumps({"text": text, "label": label}) for text, label in rows]
    (folder / "train.jsonl").write_text("\n".join(lines))
    (folder / "dev.jsonl").write_text("\n".join([*lines[:1], '{"text": "hi", "label": "hma"}']))
    (folder / "recipe.yaml").write_text(
        "name: child\nlanguages: [german]\nparent: nobody\nepochs: 3\n"
        "data:\n  train: train.jsonl\n  dev: dev.jsonl\n  test: none.jsonl\n"
    )
    result = runner.invoke(app, ["train", str(folder / "recipe.yaml"), "--check"])
    assert result.exit_code == 1
    for part in (
        "6 problems",
        "languages: 'german' is no language code; German is 'de' (line 2)",
        "epochs: there is no such field; did you mean training.epochs? (line 4)",
        "parent: no adapter named 'nobody'",
        "test: none.jsonl cannot be read",
        "dev: labels ['hma'] are not among ['ham', 'spam']; is 'hma' meant for 'ham'?",
        "1 rows also stand in dev or test",
    ):
        assert part in result.output, part


def test_train_check_mentions_what_may_be_a_mistake(tmp_path: Path) -> None:
    rows = [(f"win {word}", "spam") for word in ("cash", "prizes", "phones")]
    rows += [(f"see you {word}", "ham") for word in ("soon", "tonight", "monday", "later", "mum")]
    splits = {"train": [*rows, ("call now", "sapm")], "dev": [("claim it", "spam")]}
    for name, split in splits.items():
        lines = [json.dumps({"text": text, "label": label}) for text, label in split]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    (tmp_path / "recipe.yaml").write_text(
        "name: other-name\nlanguages: [en]\ndata: {train: train.jsonl, dev: dev.jsonl}\n"
    )
    result = runner.invoke(app, ["train", str(tmp_path / "recipe.yaml"), "--check"])
    assert result.exit_code == 0, result.output
    for part in (
        "label 'sapm' has one row",
        "dev: no row has label 'ham'",
        f"it is 'other-name', but the folder is called '{tmp_path.name}'",
    ):
        assert part in result.output, part
    as_json = runner.invoke(app, ["train", str(tmp_path / "recipe.yaml"), "--check", "--json"])
    assert len(json.loads(as_json.stdout)["doubts"]) == 4


def test_train_check_of_the_sample(root: Path) -> None:
    result = runner.invoke(
        app, ["train", str(root / "adapters" / "questions-es" / "recipe.yaml"), "--check", "--json"]
    )
    assert json.loads(result.stdout)["rows"] == {"train": 50, "dev": 20, "test": 200}


def test_recipe_schema_has_the_fields_of_every_task() -> None:
    """Found in issue 16: since a task is one folder, only what all recipes share was printed."""
    schema = json.loads(runner.invoke(app, ["recipe", "--json-schema"]).stdout)
    assert "alpha/r" in schema["$defs"]["LoraRecipe"]["properties"]["alpha"]["description"]
    assert len(schema["anyOf"]) == len(TASKS)
    for task in TASKS:
        recipe = recipe_class(task)
        fields = schema["$defs"][recipe.__name__]["properties"]
        assert set(fields) == set(recipe.model_fields)


@pytest.mark.parametrize("task", TASKS)
def test_recipe_prints_one_to_start_from(task: str, tmp_path: Path) -> None:
    """Issue 18, point 13: it printed 33 kB of JSON Schema."""
    result = runner.invoke(app, ["recipe", task])
    assert result.exit_code == 0
    assert len(result.stdout) < 2_000
    file = tmp_path / "recipe.yaml"
    file.write_text(result.stdout)
    assert load_recipe(file).task == task
    uncommented = re.sub(r"^# (?=source|decide)", "", result.stdout, flags=re.MULTILINE)
    file.write_text(uncommented)
    assert load_recipe(file).task == task
    if task == DEFAULT:
        assert runner.invoke(app, ["recipe"]).stdout == result.stdout
        assert uncommented != result.stdout


def test_recipe_explains_a_field() -> None:
    told = runner.invoke(app, ["recipe", "data.on_leak"]).stdout
    for part in ("data.on_leak (classification, tagging)", "one of error, drop", "default:  error"):
        assert part in told
    assert "example:  data: {on_leak: drop}" in told
    shared = runner.invoke(app, ["recipe", "languages"]).stdout
    assert shared.startswith(
        "languages (classification, translation, language, embedding, tagging)\n"
    )
    section = runner.invoke(app, ["recipe", "training"]).stdout
    assert "training.epochs: how often" in section
    unknown = runner.invoke(app, ["recipe", "training.epoch"])
    assert unknown.exit_code == 1
    assert "did you mean training.epochs?" in unknown.output


@pytest.mark.parametrize(
    ("old", "new"), [("alone", "from-scratch"), ("carry", "shrink-checkpoint")]
)
def test_old_names_of_commands_still_work(old: str, new: str) -> None:
    """Issue 16: `alone` and `carry` did not say what they do."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert commands[old].hidden
    assert not commands[new].hidden
    assert commands[old].callback.__wrapped__ is commands[new].callback.__wrapped__
    assert [p.opts for p in commands[old].params] == [p.opts for p in commands[new].params]


def test_adapters_without_a_server() -> None:
    result = runner.invoke(app, ["adapters", "list", "--server", "http://127.0.0.1:9"])
    assert result.exit_code == 1
    assert "is the server running" in result.output.replace("\n", " ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train"], "give a recipe, or --all"),
        (["train", "recipe.yaml", "--all"], "give a recipe, or --all"),
        (["train", "--all", "--check"], "--all trains each recipe in place"),
    ],
)
def test_train_wants_a_recipe_or_all(arguments: list[str], said: str) -> None:
    result = runner.invoke(app, arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())


def test_train_all_with_nothing_to_do() -> None:
    result = runner.invoke(app, ["train", "--all"])
    assert result.exit_code == 0, result.output
    assert "nothing to train" in result.output


@pytest.mark.parametrize("lora", ["{sites: [nope]}", "{layers: [99]}"])
def test_a_problem_of_the_lora_names_the_recipes_file(
    root: Path, tmp_path: Path, lora: str
) -> None:
    """Issue 18: it said `recipe: 1 problem`, whatever the file was called."""
    sample = root / "adapters" / "questions-en"
    recipe = tmp_path / "my-own.yaml"
    lines = [line for line in (sample / "recipe.yaml").read_text().split("\n") if line]
    kept = [line for line in lines if not line.startswith("lora:")]
    recipe.write_text("\n".join([*kept, f"lora: {lora}"]) + "\n")
    for file in sample.glob("*.jsonl"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    result = runner.invoke(app, ["train", str(recipe), "--check"])
    assert result.exit_code == 1
    assert f"{recipe}: 1 problem" in result.output


def test_paths_that_cannot_be_written_are_told_before_any_work(root: Path, tmp_path: Path) -> None:
    """Issue 18: `report` said so after three seconds, and `train` once it had begun."""
    missing = tmp_path / "no" / "page.html"
    told = runner.invoke(
        app, ["report", str(root / "adapters" / "spam-en"), "--output", str(missing)]
    )
    assert told.exit_code == 1
    assert "no such folder; make it first, or give another --output" in told.stderr
    file = tmp_path / "file"
    file.write_text("")
    for output in (file, file / "adapter"):
        told = runner.invoke(
            app,
            ["train", str(root / "adapters/questions-es/recipe.yaml"), "--output", str(output)],
        )
        assert told.exit_code == 1
        assert f"{file} is a file; give a folder" in told.stderr
    assert file.read_text() == ""


def test_another_server_is_named_by_an_option_or_a_variable(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 18: nobody was told that a server on another port can be named."""
    adapter = str(root / "adapters" / "spam-en")
    for environment, options, address in (
        ({}, ["--server", "http://127.0.0.1:9"], "http://127.0.0.1:9"),
        ({"POLYGRAFT_SERVER": "http://127.0.0.1:19"}, [], "http://127.0.0.1:19"),
    ):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        told = runner.invoke(app, ["adapters", "add", adapter, *options])
        assert told.exit_code == 1
        assert f"{address} does not answer" in told.stderr
        assert "--server or POLYGRAFT_SERVER" in told.stderr


def test_a_field_explains_the_fields_in_it_whole() -> None:
    """Issue 18: explanations ended in "..."."""
    for field in ("data", "source"):
        told = runner.invoke(app, ["recipe", field]).stdout
        assert " ..." not in told
    assert "none at all if that is 0" in " ".join(told.split())
