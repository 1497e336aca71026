"""The class of a direction: by the figures in the manifest and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from polygraft.adapters import manifest as manifests
from polygraft.adapters.library import BUNDLED
from polygraft.serve.routing import directions, targets
from polygraft.tasks.translation.manifest import TranslationManifest
from polygraft.tasks.translation.quality import Quality, quality_of, through_english

USABLE, GIST, EXPERIMENTAL = Quality


def metrics(split: str = "test", copy: float = 10, **chrf: float) -> dict[str, Any]:
    rungs = {
        "copy": {"chrf++": {"value": copy, "low": copy - 1, "high": copy + 1}},
        "adapter": {"chrf++": chrf},
    }
    return {"directions": {split: {"en-fr": {"rungs": rungs}}}}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (metrics(value=45.0, low=44, high=46), USABLE),
        (metrics(value=44.9, low=44, high=46), GIST),
        (metrics(value=28.0, low=27, high=29), GIST),
        (metrics(value=27.9, low=27, high=29), EXPERIMENTAL),
        (metrics(value=50.0, low=48, high=52, copy=47), EXPERIMENTAL),
        (metrics("dev", value=50.0, low=48, high=52), USABLE),
        (metrics("other", value=50.0, low=48, high=52), EXPERIMENTAL),
        # whatever somebody writes into a manifest
        ({}, EXPERIMENTAL),
        ({"directions": []}, EXPERIMENTAL),
        ({"directions": {"test": {"en-fr": {"rungs": {"adapter": 50}}}}}, EXPERIMENTAL),
        (metrics(value=50.0), EXPERIMENTAL),
        (metrics(value="50", low=48, high=52), EXPERIMENTAL),  # type: ignore[arg-type]
    ],
)
def test_the_rule(given: dict[str, Any], expected: Quality) -> None:
    assert quality_of(given, ("en", "fr")) is expected


def test_test_rows_go_before_dev_rows() -> None:
    test, dev = metrics(value=30.0, low=29, high=31), metrics("dev", value=50.0, low=48, high=52)
    both = {"directions": dev["directions"] | test["directions"]}
    assert quality_of(both, ("en", "fr")) is GIST


def test_what_goes_through_english_is_a_class_below_the_worse_half() -> None:
    assert through_english(USABLE, USABLE) is GIST
    assert through_english(USABLE, GIST) is EXPERIMENTAL
    assert through_english(EXPERIMENTAL, USABLE) is EXPERIMENTAL


def _translator(name: str, chrf: float) -> TranslationManifest:
    figures = metrics(value=chrf, low=chrf - 1, high=chrf + 1)
    return TranslationManifest.model_construct(
        name=name, directions=[("en", "fr")], metrics=figures
    )


def test_of_several_adapters_the_one_of_the_best_class_is_chosen() -> None:
    served = directions([_translator("a", 20), _translator("b", 50), _translator("c", 55)])
    assert served["en", "fr"].adapters == ("b",)
    assert targets(served) == {"en": {"fr": USABLE}}


def test_every_bundled_direction_has_the_class_that_its_card_says() -> None:
    cards = sorted(BUNDLED.glob("*/manifest.json"))
    translators = [
        card for card in cards if json.loads(card.read_text("utf-8"))["task"] == "translation"
    ]
    assert translators
    for card in translators:
        manifest = manifests.read(card.read_bytes())
        assert isinstance(manifest, TranslationManifest)
        told = Path(card.with_name("README.md")).read_text("utf-8")
        for direction, quality in manifest.qualities().items():
            assert f"**{direction}**: {quality}" in told
