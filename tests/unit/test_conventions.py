"""How a backbone that writes is spoken to: what stands around a text, by language, as each family
has it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polygraft.architectures.conventions import Conventions, read_conventions, write_record
from polygraft.architectures.folder import BUNDLED, BackboneFiles, fingerprint
from polygraft.architectures.target_tokenizer import load_target_tokenizer
from polygraft.architectures.text import load_encoder
from polygraft.errors import BackboneError
from polygraft.runtime.search import BeamState, Search

NLLB = Conventions(
    start=("</s>", "{target}"),
    end="</s>",
    pad="<pad>",
    source=("{source}", "{text}", "</s>"),
    languages={"en": "eng_Latn", "yo": "yor_Latn", "sw": "swh_Latn"},
    max_length=64,
)
T5 = Conventions(
    start=("<pad>",),
    end="</s>",
    pad="<pad>",
    prefix="translate {source} to {target}: ",
    languages={"en": "English", "de": "German"},
    max_length=64,
)


def test_nllb_starts_with_two_pieces_and_is_told_both_languages() -> None:
    assert NLLB.started("yo") == ["</s>", "yor_Latn"]
    assert NLLB.started("yor_Latn") == NLLB.started("yo"), "its own code does too"
    assert NLLB.around(("en", "sw")) == (["eng_Latn"], ["</s>"])
    assert NLLB.prefixed("hello", ("en", "sw")) == "hello"
    assert NLLB.unknown([("en", "yo"), ("ha", "tlh")]) == ["ha", "tlh"]
    with pytest.raises(KeyError):
        NLLB.started("tlh")


def test_t5_is_told_in_words() -> None:
    assert T5.started("de") == ["<pad>"]
    assert T5.prefixed("hello", ("en", "de")) == "translate English to German: hello"


def test_a_source_that_is_not_told_may_be_in_any_language() -> None:
    tagged = NLLB.model_copy(update={"source": ("{target}", "{text}", "</s>")})
    assert tagged.unknown([("tlh", "yo")]) == []
    anything = tagged.model_copy(update={"languages": None})
    assert anything.unknown([("tlh", "qya")]) == []
    assert anything.called("tlh") == "tlh"


def test_pieces_that_are_never_written_leave_the_next_best_with_its_score() -> None:
    """Marian's padding."""
    state = BeamState(Search(), end=1, max_tokens=4, never=(7,))
    assert state.next_tokens_needed == 2
    scores = np.array([[-0.1, -2.0]], np.float32)
    assert state.advance(np.array([[7, 3]], np.int64), scores) == [(0, 3)]
    assert state.advance(np.array([[7, 1]], np.int64), scores) is None
    (written,) = state.hypotheses()
    assert (written.tokens, written.score) == ([3], pytest.approx(-2.0))


def test_the_bundled_backbone_says_what_it_always_did() -> None:
    pieces = load_target_tokenizer(BUNDLED)
    assert (pieces.pad, pieces.end, pieces.never) == (0, 1, ())
    assert pieces.start("yo") == [pieces.tokenizer.token_to_id("<yo>")]
    assert pieces.conventions.max_length == 128
    assert len(pieces.conventions.languages or {}) == 44
    encoder = load_encoder(BUNDLED)
    assert encoder.encode_sources(["Hello"], [("en", "yo")]) == encoder.encode(["Hello"])


def test_its_fingerprint_does_not_count_it(tmp_path: Path, writing_backbone: Path) -> None:
    folder = shutil.copytree(writing_backbone, tmp_path / "b")
    before = fingerprint(folder)
    BackboneFiles(folder).record.unlink()
    assert fingerprint(folder) == before
    with pytest.raises(BackboneError, match="run polygraft export on it"):
        load_target_tokenizer(folder)


@pytest.mark.parametrize(
    "record",
    ["{", "[]", '{"writing": {"start": []}}', '{"writing": {"start": ["a"], "stop": "b"}}'],
)
def test_a_broken_file_is_one_line(record: str, tmp_path: Path) -> None:
    BackboneFiles(tmp_path).record.write_text(record, encoding="utf-8")
    with pytest.raises(BackboneError, match="import or export the backbone again") as error:
        read_conventions(tmp_path)
    assert "\n" not in str(error.value)


def test_a_piece_that_the_vocabulary_does_not_have_is_named(
    tmp_path: Path, writing_backbone: Path
) -> None:
    folder = shutil.copytree(writing_backbone, tmp_path / "b")
    record: dict[str, Any] = json.loads(BackboneFiles(folder).record.read_text(encoding="utf-8"))
    record["writing"]["end"] = "<over>"
    write_record(folder, record)
    with pytest.raises(BackboneError, match="no piece '<over>'"):
        load_target_tokenizer(folder)
