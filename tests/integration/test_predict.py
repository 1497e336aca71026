"""`polygraft predict` on the files that people have, and rows that say their own languages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from polygraft import offline
from polygraft.cli import app
from polygraft.runtime.engine import Engine
from polygraft.runtime.rows import Row

TEXTS = ["WIN cash, now", "see you soon"]


def predict(*arguments: str, status: int = 0, given: str | None = None) -> list[dict[str, Any]]:
    result = CliRunner().invoke(app, ["predict", *arguments], input=given)
    assert result.exit_code == status, result.output
    return [json.loads(line) for line in result.stdout.split("\n") if line]


@pytest.fixture
def classifying(backbone: Path, library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYGRAFT_BACKBONE", str(backbone))
    monkeypatch.setenv("POLYGRAFT_LIBRARY", str(library))


@pytest.fixture(scope="module")
def engine(writing_backbone: Path, translators: Path) -> Iterator[Engine]:
    """In fp32: int8 is too coarse for random weights."""
    with closing(Engine(writing_backbone, precision="fp32", slots=8)) as engine:
        engine.add(translators / "en-yo")
        yield engine


@pytest.mark.usefixtures("classifying")
def test_files_of_every_kind_get_the_same_answers(tmp_path: Path) -> None:
    """Issue 18: only JSON Lines were read."""
    files = {
        "a.jsonl": "".join(json.dumps({"message": text, "id": "7"}) + "\n" for text in TEXTS),
        "a.csv": "id,message\n" + "".join(f'7,"{text}"\n' for text in TEXTS),
        "a.tsv": "id\tmessage\n" + "".join(f"7\t{text}\n" for text in TEXTS),
        "a.txt": "\n".join(TEXTS),
    }
    answers = {}
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        rows = predict("spam", "--input", str(tmp_path / name), "--text", "message")
        assert [row["message"] for row in rows] == TEXTS
        assert name == "a.txt" or [row["id"] for row in rows] == ["7", "7"]
        answers[name] = [(row["label"], row["score"]) for row in rows]
    assert len({str(answer) for answer in answers.values()}) == 1
    piped = predict("spam", "--format", "lines", given=files["a.txt"])
    assert [(row["label"], row["score"]) for row in piped] == answers["a.txt"]


@pytest.mark.usefixtures("classifying")
def test_a_text_that_lies_in_a_field_of_the_answer_is_kept() -> None:
    (row,) = predict("spam", "--text", "translation", given='{"translation": "WIN cash"}\n')
    assert row["translation"] == "WIN cash"
    assert row["label"] in ("ham", "spam")


@pytest.mark.usefixtures("classifying")
def test_a_classifier_passes_languages_over() -> None:
    (row,) = predict("spam", given='{"text": "hello", "source": "my phone", "target": 5}\n')
    assert (row["source"], row["target"]) == ("my phone", 5)
    assert row["label"] in ("ham", "spam")


def test_rows_to_translate_say_their_own_languages(engine: Engine, tmp_path: Path) -> None:
    """Issue 18: a row's own target was ignored, and the other direction's text was written."""
    output = tmp_path / "out.jsonl"

    def translated(*rows: dict[str, Any], **common: str) -> list[dict[str, Any]]:
        given = [{"text": "see you soon"} | row for row in rows]
        offline.predict(engine, given, Row("en-yo", "", **common), str(output))
        return [json.loads(line) for line in output.read_text().split("\n") if line]

    answered = translated(
        {"source": "en", "target": "yo"},
        {"source": "YO", "target": "en-GB"},
        {"target": "yo"},
        {},
        {"target": "haw"},
        {"target": 5},
        {"source": "", "target": None},
        target="en",
    )
    yoruba, english = (answer_of(translated({}, target=target)[0]) for target in ("yo", "en"))
    assert yoruba != english, "the directions do not differ: the test is void"
    failed = (None, None)
    wanted = [yoruba, english, yoruba, english, failed, failed, english]
    assert [answer_of(row) for row in answered] == wanted
    told = [row["error"]["message"] for row in answered if "error" in row]
    assert "does not translate any language to haw" in told[0]
    assert told[1] == "target is 5; give the code of a language"
    assert answer_of(translated({}, language="yo")[0]) == english


def answer_of(row: dict[str, Any]) -> tuple[str | None, float | None]:
    return row.get("translation"), row.get("score")
