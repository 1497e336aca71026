"""Which rows to label next."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from polygraft.cli import app
from polygraft.errors import AdapterError
from polygraft.runtime.engine import Engine
from polygraft.runtime.rows import Row
from polygraft.tasks.translation.manifest import TranslationManifest
from polygraft.tasks.translation.serving import Translated
from polygraft.transfer.suggest import suggest

TOPICS = ("free prize cash", "dinner tonight mum", "train late soon", "simu pesa call")
TEXTS = [
    f"{topic} {extra}"
    for topic in TOPICS
    for extra in ("now", "text", "see you", "hello", "win", "claim")
]


@pytest.fixture(scope="module")
def engine(backbone: Path, library: Path) -> Iterator[Engine]:
    engine = Engine(backbone, precision="fp32", slots=2)
    engine.add(library / "spam")
    yield engine
    engine.close()


def test_without_an_adapter_rows_are_spread_out(engine: Engine) -> None:
    rows = [s.row for s in suggest(engine, None, TEXTS, 4)]
    assert len(rows) == 4
    vectors = engine.vectors(TEXTS)
    closeness = vectors[rows] @ vectors.T
    spread = float(closeness.max(axis=0).mean())
    crowded = float((vectors[:4] @ vectors.T).max(axis=0).mean())
    assert spread > crowded, "the rows stand for the others better than the first four"


def test_what_is_known_empty_or_there_twice_is_left_out(engine: Engine) -> None:
    found = suggest(
        engine, None, [*TEXTS[:3], TEXTS[0].upper(), " ", TEXTS[1]], 10, known=[TEXTS[2]]
    )
    assert [s.row for s in found] == [0, 1]


def test_with_an_adapter_the_unsure_come_first(engine: Engine) -> None:
    many = [f"{text} {number}" for text in TEXTS for number in ("soon", "late", "now")]
    found = suggest(engine, "spam", many, 3)
    margins = [s.margin for s in suggest(engine, "spam", many, len(many))]
    assert len(margins) > 30
    assert [s.margin for s in found] == sorted(s.margin for s in found if s.margin is not None)
    assert (
        max(s.margin for s in found if s.margin is not None)
        <= sorted(m for m in margins if m is not None)[30]
    )
    assert {s.label for s in found} <= {"ham", "spam"}


def test_what_the_adapter_was_trained_on_is_left_out(engine: Engine) -> None:
    """Told by its vector alone: the text is not there any more."""
    learnt = 3 * engine.vectors(TEXTS[:4])
    found = suggest(engine, "spam", TEXTS, len(TEXTS), trained_on=learnt)
    assert sorted(s.row for s in found) == list(range(4, len(TEXTS)))
    assert suggest(engine, "spam", TEXTS[:4], 2, trained_on=learnt) == []


def test_an_adapter_that_does_not_classify_is_refused_by_name(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 15: it was an assertion that failed, after every text had been translated."""
    (manifest,) = engine.manifests()
    writer = TranslationManifest.model_construct(
        name="en-yo", task="translation", files=manifest.files
    )
    said = Translated("en-yo", writer.version, "en", "yo", ["dára"], [0.5], "usable", False, [])
    asked: list[Row] = []

    def translate(rows: list[Row], **_: object) -> list[Translated]:
        asked.extend(rows)
        return [said] * len(rows)

    monkeypatch.setattr(engine, "manifests", lambda: [manifest, writer])
    monkeypatch.setattr(engine, "answer", translate)
    with pytest.raises(AdapterError, match="'en-yo' does not classify"):
        suggest(engine, "en-yo", TEXTS, 3)
    assert not asked


def test_the_command_keeps_the_rows_and_adds_the_guess(
    backbone: Path, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYGRAFT_BACKBONE", str(backbone))
    monkeypatch.setenv("POLYGRAFT_LIBRARY", str(library))
    source, target, labelled = (tmp_path / f"{name}.jsonl" for name in ("in", "out", "labelled"))
    source.write_text("".join(json.dumps({"text": t, "id": i}) + "\n" for i, t in enumerate(TEXTS)))
    labelled.write_text(json.dumps({"text": TEXTS[0], "label": "spam"}) + "\n")
    command = [
        "suggest",
        "--input",
        str(source),
        "--count",
        "5",
        "--labelled",
        str(labelled),
        "--output",
        str(target),
    ]
    result = CliRunner().invoke(app, [*command, "--adapter", "spam"])
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in target.read_text().splitlines()]
    assert len(rows) == 5
    assert all(set(r) == {"text", "id", "label", "margin"} for r in rows)
    assert TEXTS[0] not in [r["text"] for r in rows]
    assert CliRunner().invoke(app, [*command, "--adapter", "spma"]).exit_code == 1
