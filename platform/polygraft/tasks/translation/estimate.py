"""How good a sentence's translation is likely to be, without another model: a regression over what
the search and the two texts show, and a bound below which it is not to be trusted unread.

Features, each with its square: the mean log-probability of a token; the logarithm of the lengths'
ratio; the share of words that are the source's; the share of pairs of words that were written
before; the logarithm of the source's length. And whether the bound on the length was reached.
Predicted is a sentence's chrF++. It knows nothing of meaning: a fluent sentence that says something
else may have a good estimate.

The weights are those of one backbone, in `estimate.json`, fitted on dev rows of its adapters by
`tests/bench/estimate.py --write`. For another backbone there is no estimate.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FILE = Path(__file__).with_name("estimate.json")
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
FEATURES = 12
_FEW = 5  # characters that are added to a length, so that one of few counts less


@dataclass(frozen=True)
class Calibration:
    """`weights` of 1 and the features, for chrF++; `bound`: of the estimate, 0 to 1."""

    backbone: str
    weights: NDArray[np.float64]
    bound: float

    def estimate(
        self, source: str, translation: str, log_probability: float, *, cut: bool
    ) -> SentenceEstimate:
        """`log_probability`: the mean of the tokens; `cut`: it reached the bound on its length."""
        seen = features(source, translation, log_probability, cut=cut)
        expected = float(seen @ self.weights) / 100
        estimate = min(1.0, max(0.0, expected))
        check = estimate < self.bound or cut or not translation.strip()
        return SentenceEstimate(source, translation, estimate, check)


@dataclass(frozen=True)
class SentenceEstimate:
    """`estimate`: the chrF++ that is expected of it, 0 to 1. `check`: it is not to be trusted
    unread."""

    source: str
    translation: str
    estimate: float
    check: bool

    def fields(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "translation": self.translation,
            "estimate": round(self.estimate, 3),
            "check": self.check,
        }


@cache
def _calibration() -> Calibration:
    """What `estimate.json` holds."""
    content = json.loads(FILE.read_text(encoding="utf-8"))
    return Calibration(
        content["backbone"], np.array(content["weights"], np.float64), content["bound"]
    )


def calibration_of(backbone: str) -> Calibration | None:
    """That of the backbone with this fingerprint; None where there is none, or one for other
    features."""
    calibration = _calibration()
    is_its = calibration.backbone == backbone and len(calibration.weights) == FEATURES
    return calibration if is_its else None


def features(
    source: str, translation: str, log_probability: float, *, cut: bool
) -> NDArray[np.float64]:
    """float64 [12]: 1, `cut`, and the others with their squares."""
    words, known = _words(translation), set(_words(source))
    pairs = list(pairwise(words))
    length, new_length = (_FEW + len("".join(text.split())) for text in (source, translation))
    values = np.array(
        [
            log_probability,
            math.log(new_length / length),
            sum(word in known for word in words) / max(1, len(words)),
            1 - len(set(pairs)) / len(pairs) if pairs else 0.0,
            math.log(length),
        ]
    )
    return np.concatenate([[1.0, float(cut)], values, values**2])


def mean_estimate(sentences: Sequence[SentenceEstimate]) -> float:
    """Of a text: that of its sentences, by their length."""
    lengths = [len(sentence.source) for sentence in sentences]
    return float(np.average([sentence.estimate for sentence in sentences], weights=lengths))


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text)]
