"""Estimates of sentences over HTTP, of a backbone that is calibrated and of one that is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from polygraft.tasks.translation import serving
from polygraft.tasks.translation.estimate import FEATURES, Calibration

TEXT = "Hello mum. See you soon!\n\n12"


@pytest.fixture
def calibrated(monkeypatch: pytest.MonkeyPatch) -> None:
    """The estimate is 1 and the mean log-probability; it is trusted from 0 on."""
    weights = np.zeros(FEATURES)
    weights[:3] = 100, 0, 10
    one = Calibration("any", weights, bound=0.01)
    monkeypatch.setattr(serving, "calibration_of", lambda backbone: one)


def ask(api: TestClient, **more: Any) -> dict[str, Any]:
    body = {"text": TEXT, "source": "en", "target": "yo"} | more
    (result,) = api.post("/v1/translate", json=body).json()["results"]
    return dict(result)


def test_a_backbone_that_is_not_calibrated_has_none(api: TestClient) -> None:
    assert not {"estimate", "check", "sentences"} & ask(api).keys()


@pytest.mark.usefixtures("calibrated")
def test_every_sentence_has_its_own(api: TestClient) -> None:
    result = ask(api)
    assert [one["source"] for one in result["sentences"]] == ["Hello mum.", "See you soon!"]
    for one in result["sentences"]:
        assert one["translation"] in result["translation"]
        alone = ask(api, text=one["source"])
        assert "sentences" not in alone
        assert (
            alone["estimate"] == one["estimate"] == pytest.approx(1 + alone["score"] / 10, abs=2e-3)
        )
    assert result["check"] == any(one["check"] for one in result["sentences"])


@pytest.mark.usefixtures("calibrated")
def test_in_html_too_and_through_english_the_worse_of_both_counts(api: TestClient) -> None:
    html = ask(api, text="<p>Hello <b>mum</b>. See you soon!</p>", format="html")
    assert [one["source"] for one in html["sentences"]] == ["Hello mum.", "See you soon!"]
    through = ask(api, text="Aloha mum", source="haw")
    first = ask(api, text="Aloha mum", source="haw", target="en")
    second = ask(api, text=first["translation"])
    assert through["estimate"] == min(first["estimate"], second["estimate"])
