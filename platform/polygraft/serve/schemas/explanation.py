"""What the API says of why a text got its label (see `tasks.classification.explain`)."""

from __future__ import annotations

from pydantic import BaseModel, Field


class PushOut(BaseModel):
    """Towards the label, in the logits that are joined, centred over the labels. A part that the
    adapter lacks is left out."""

    lexical: float | None = Field(None, description="by the words themselves; exact")
    neural: float | None = Field(
        None,
        description=(
            "by the backbone: what the label's logit loses without the span; left out of a text of "
            "one span"
        ),
    )


class SpanOut(PushOut):
    start: int = Field(description="in code points of the text as it was sent")
    end: int
    text: str


class ExplanationOut(BaseModel):
    """The pushes of all spans and `bias` are the label's logit."""

    label: str
    spans: list[SpanOut]
    bias: PushOut = Field(
        description="lexical: the label's bias; neural: what no span by itself accounts for"
    )
