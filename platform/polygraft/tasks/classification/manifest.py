"""What the manifest of a classifier adds: its labels, and goldens with the logits of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from polygraft.adapters.layout import NAME
from polygraft.adapters.manifest import MAX_GOLDENS, GoldenInput, Manifest, Texts, Values
from polygraft.errors import AdapterError, shortened
from polygraft.reporting.figures import NAMES
from polygraft.tasks.classification.hidden_layer import Activation, Pooling


class GoldenLogits(GoldenInput):
    """One input and the logits it got from the neural part: with the adapter when it was trained,
    and from its head on the bare backbone (for a head that was trained on the bare backbone: what
    it gives to no text, its bias)."""

    logits: Values
    bare: Values
    lexical: Values = Field([], description="logits of the lexical part, if there is one")
    joined: Values = Field([], description="logits of both; missing before version 0.3")


Share = Annotated[FiniteFloat, Field(ge=0, le=1)]
Wanted = Annotated[FiniteFloat, Field(gt=0, lt=1)]
MAX_DECISIONS = 100
SCORE_DIGITS = 6
"""Of the scores in an answer; thresholds are compared with these."""


class Estimate(BaseModel):
    """A share of rows, and its bounds: each holds with 95% confidence."""

    model_config = ConfigDict(extra="forbid")
    value: Share
    low: Share
    high: Share


class Decision(BaseModel):
    """What a user wants decided, and the threshold on the label's score that gives it; `why` there
    is none, where the rows that were held out do not support the target."""

    model_config = ConfigDict(extra="forbid")
    label: str
    target: dict[Literal["precision", "recall"], Wanted] = Field(min_length=1, max_length=1)
    threshold: Share | None
    precision: Estimate | None = None
    recall: Estimate | None = None
    rows: int = Field(ge=0, description="held out, on which the threshold was found")
    positives: int = Field(ge=0, description="of these, rows that have the label")
    why: str | None = Field(None, max_length=500)

    def problems(self, labels: list[str]) -> Iterator[str]:
        """What the fields say wrongly together, in an adapter that has `labels`."""
        if self.label not in labels:
            yield f"{shortened(self.label)} is not one of its labels"
        if self.positives > self.rows:
            yield f"{self.positives:,} of {self.rows:,} rows have the label"
        estimates = (self.precision, self.recall)
        found = [estimate for estimate in estimates if estimate]
        if any(not estimate.low <= estimate.value <= estimate.high for estimate in found):
            yield "a value lies outside its own bounds"
        if self.threshold is None and (found or not self.why):
            yield "without a threshold it says why, and has no precision and recall"
        if self.threshold is not None and (len(found) < 2 or self.why):
            yield "with a threshold it has precision and recall, and no why"


class ClassificationManifest(Manifest):
    """`manifest.json` of an adapter with a head."""

    golden_field = "golden"
    has_head = True

    task: Literal["classification"] = "classification"
    labels: Texts
    heads: dict[str, Texts] = Field(
        {}, max_length=100, description="multi-task: labels of its further heads, by task"
    )
    lexical: str | None = Field(
        None,
        max_length=100,
        description="how the features of the lexical part are made; none: it has no such part",
    )
    decide: dict[str, Decision] = Field(
        {}, max_length=MAX_DECISIONS, description="thresholds by name, in the order they are tried"
    )
    window: Annotated[int, Field(ge=8)] | None = Field(
        None,
        description="tokens it was trained to read at once; longer texts are read in several "
        "windows, whose vectors are averaged. None: as many as the backbone reads",
    )
    pooling: Pooling = Field(
        "mean",
        description="what the head reads: the mean of the token states, or the first of them, as "
        "imported heads do",
    )
    activation: Activation | None = Field(
        None,
        description="of the layer that an imported head has before its last; None: it has no such "
        "layer",
    )
    golden: list[GoldenLogits] = Field(max_length=MAX_GOLDENS)

    def require_plain_head(self) -> None:
        """Raises `AdapterError` for a head of another shape than those that are trained here."""
        if self.pooling != "mean" or self.activation is not None:
            raise AdapterError(
                f"adapter {self.name!r} was imported, and its head is no linear layer on the mean "
                "of the token states; it answers and goes no further: train one from its rows"
            )

    def gains(self) -> dict[str, dict[str, Any]]:
        gain = self.metrics.get("gain_from_transfer")
        return {f"macro-F1 against {NAMES[gain.get('over', 'target_only')]}": gain} if gain else {}

    def task_problems(self) -> Iterator[str]:
        own = {"labels": self.labels}
        further = {f"heads.{head[:80]}": labels for head, labels in self.heads.items()}
        for name, labels in (own | further).items():
            if len(set(labels)) < len(labels):
                yield f"{name}: one is named twice"
            if any(not label.strip() or len(label) > 256 for label in labels):
                yield f"{name}: each has 1 to 256 characters"
            if len(labels) < 2:
                yield f"{name}: at least two labels are needed"
        for head in self.heads:
            if not NAME.fullmatch(head):
                yield f"heads: {shortened(head)} is not the name of a task"
        for name, decision in self.decide.items():
            if not NAME.fullmatch(name):
                yield f"decide: {shortened(name)} is not the name of a decision"
            for problem in decision.problems(self.labels):
                yield f"decide.{name[:80]}: {problem}"
        wanted = len(self.labels)
        for i, golden in enumerate(self.golden):
            if {len(golden.logits), len(golden.bare)} != {wanted}:
                yield (
                    f"golden.{i}: {len(golden.logits)} logits and {len(golden.bare)} bare for "
                    f"{wanted} labels"
                )
            if len(golden.lexical) != (wanted if self.lexical else 0):
                yield (
                    f"golden.{i}: {len(golden.lexical)} lexical logits for "
                    f"{wanted} labels{'' if self.lexical else ', and no lexical part'}"
                )
