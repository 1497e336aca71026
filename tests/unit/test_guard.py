"""An adapter that transfer harmed is not served unless someone says why."""

import json
import shutil
from pathlib import Path

import pytest

from polygraft.adapters.format import LAYOUT, load_manifest
from polygraft.errors import AdapterError, NegativeTransfer
from polygraft.transfer import guard

GAIN = {"value": -4.0, "low": -7.0, "high": -1.0, "verdict": "harms", "over": "tfidf"}


@pytest.fixture
def harmed(root: Path, tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(root / "adapters" / "spam-en", tmp_path / "spam"))
    return with_metrics(folder, gain_from_transfer=GAIN)


@pytest.fixture
def translator(root: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(root / "adapters" / "en-yo", tmp_path / "translator"))


def with_metrics(folder: Path, **changes: object) -> Path:
    manifest = json.loads((folder / LAYOUT.manifest).read_text())
    manifest["metrics"] |= changes
    (folder / LAYOUT.manifest).write_text(json.dumps(manifest))
    return folder


def test_harm_is_refused_with_its_figures(harmed: Path) -> None:
    with pytest.raises(
        NegativeTransfer, match=r"macro-F1 against TF-IDF -4\.0 \[-7\.0, -1\.0\].*--force REASON"
    ):
        guard.check(load_manifest(harmed))


def test_a_reason_is_kept_and_lets_it_pass(harmed: Path) -> None:
    with pytest.raises(AdapterError, match="reason is empty"):
        guard.force(harmed, " ")
    guard.force(harmed, "one model for both shops")
    assert load_manifest(harmed).forced == "one model for both shops"
    guard.check(load_manifest(harmed))


@pytest.mark.parametrize("verdict", ["helps", "no evidence"])
def test_what_is_not_harmed_passes_and_cannot_be_forced(harmed: Path, verdict: str) -> None:
    with_metrics(harmed, gain_from_transfer=GAIN | {"verdict": verdict})
    guard.check(load_manifest(harmed))
    with pytest.raises(AdapterError, match="needs no forcing"):
        guard.force(harmed, "why not")


def test_one_direction_of_a_translation_adapter_is_enough(translator: Path) -> None:
    fine = GAIN | {"verdict": "helps"}
    directions = {
        "test": {"en-yo": {"gain_from_parent": fine}, "yo-en": {"gain_from_parent": GAIN}}
    }
    with_metrics(translator, directions=directions)
    assert guard.harms(load_manifest(translator)) == ["chrF++ yo to en, test -4.0 [-7.0, -1.0]"]


@pytest.mark.parametrize(
    "metrics",
    [
        {"gain_from_transfer": 5},
        {"gain_from_transfer": "x" * 100_000},
        {"gain_from_transfer": {"verdict": "harms"}},
        {"gain_from_transfer": GAIN | {"value": "much"}},
        {"gain_from_transfer": GAIN | {"over": ["tfidf"]}},
        {"directions": 5},
        {"directions": {"test": ["en-yo"]}},
        {"directions": {"test": {"en-yo": {"gain_from_parent": [1]}}}},
    ],
)
def test_gains_that_cannot_be_read_are_refused(
    harmed: Path, translator: Path, metrics: dict[str, object]
) -> None:
    """Issue 15, defect 14: uploaded, these were a 500."""
    folder = with_metrics(translator if "directions" in metrics else harmed, **metrics)
    with pytest.raises(AdapterError, match="a gain that cannot be read") as caught:
        guard.check(load_manifest(folder))
    assert len(str(caught.value)) < 400


def test_many_harms_are_counted_not_told(translator: Path) -> None:
    directions = {"test": {f"en-{i}": {"gain_from_parent": GAIN} for i in range(10_000)}}
    with_metrics(translator, directions=directions)
    with pytest.raises(NegativeTransfer, match="and 9,995 more") as caught:
        guard.check(load_manifest(translator))
    assert len(str(caught.value)) < 1_000
