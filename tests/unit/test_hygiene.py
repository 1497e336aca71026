import gzip
import json
from pathlib import Path

import pytest

from polygraft.pretrain.corpus import EnglishPair, TrainingText
from polygraft.pretrain.hygiene import Fingerprints, clean

LONG = "the committee published its yearly budget on a rainy tuesday in march"


def test_equal_lines_are_found_whatever_their_case_and_punctuation() -> None:
    known = Fingerprints.of(["He went home early, didn't he?", "Yes."])
    found = known.finds(
        [
            "he WENT home -- early didn't he",
            "he went home early",
            "yes",
            "something else entirely here",
        ]
    )
    assert found.tolist() == [1, 0, 0, 0], "a line, a shorter one, too short to tell, another"


def test_eight_words_in_a_row_are_a_finding_and_seven_are_not() -> None:
    known = Fingerprints.of([LONG])
    seven = "published its yearly budget on a rainy"
    found = known.finds(
        [f"we heard that {seven} tuesday indeed", f"we heard that {seven} monday indeed"]
    )
    assert found.tolist() == [2, 0]


def test_tone_marks_tell_words_apart() -> None:
    assert Fingerprints.of(["ọjọ́ dára púpọ̀ ní ọ̀la"]).finds(["ojo dara pupo ni ola"]).tolist() == [0]


@pytest.mark.parametrize("side", ["english", "text"])
def test_cleaning_drops_what_either_side_gives_away_and_reports_it(
    tmp_path: Path, side: str
) -> None:
    with gzip.open(tmp_path / "dev.tsv.gz", "wt") as out:
        out.write(f"{LONG}\tìgbìmọ̀ náà ṣe àtẹ̀jáde ìsúná wọn\n")
    with gzip.open(tmp_path / "test.jsonl.gz", "wt") as out:
        out.write(json.dumps({"text": "a message that nobody may train on", "label": "ham"}) + "\n")
    leaking = {"english": "Nothing of note.", "text": "Ohunkóhun."} | {side: LONG}
    rows = [
        EnglishPair("yo", weight=1.0, **leaking),
        EnglishPair("yo", "A clean row.", "Èyí mọ́.", 1.0),
    ]
    lines = {"yo": ["A message that nobody may train on!", "ọ̀rọ̀ tuntun"]}
    cleaned, report = clean(TrainingText(rows, lines), tmp_path, ["*.tsv.gz", "test.*"])
    assert [p.english for p in cleaned.pairs] == ["A clean row."]
    assert cleaned.lines == {"yo": ["ọ̀rọ̀ tuntun"]}
    assert report.files == ["dev.tsv.gz", "test.jsonl.gz"]
    assert report.found["pairs yo"] == {"rows": 2, "equal_line": 1, "shared_gram": 0}
    assert report.found["lines yo"]["equal_line"] == 1
    assert len(report.examples) == 2


def test_a_glob_that_matches_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"'nowhere/\*' matches no file"):
        clean(TrainingText([], {}), tmp_path, ["nowhere/*"])
