"""The detector is checked against what is served."""

from pathlib import Path

import pytest

from polygraft.adapters.format import load_manifest
from polygraft.adapters.manifest import Manifest
from polygraft.serve.detector import detector_problem


@pytest.fixture(scope="module")
def bundled(root: Path) -> dict[str, Manifest]:
    names = ("en-fr", "langid", "spam-en")
    return {name: load_manifest(root / "adapters" / name) for name in names}


@pytest.mark.parametrize(
    ("served", "detector", "told"),
    [
        (("en-fr", "langid"), "langid", None),
        (("langid", "spam-en"), "langid", None),
        (("spam-en",), "langid", None),
        ((), "langid", None),
        (("en-fr", "spam-en"), "langid", "no adapter 'langid' is served"),
        (("en-fr", "spam-en"), "en-fr", "has no labels"),
        (("en-fr", "spam-en"), "spam-en", "(ham, spam) are none of those"),
    ],
)
def test_what_is_told(
    bundled: dict[str, Manifest], served: tuple[str, ...], detector: str, told: str | None
) -> None:
    problem = detector_problem([bundled[name] for name in served], detector)
    assert problem is None if told is None else problem is not None and told in problem
