"""Translation: which direction a row means, its text in segments, and the segments' translations
put together. numpy only.

The adapter has no head: the decoder's vocabulary is the backbone's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from polygraft.adapters.format import Adapter
from polygraft.architectures.conventions import Direction
from polygraft.architectures.text import TextEncoder
from polygraft.errors import AdapterError, InvalidOption, shortened
from polygraft.runtime.rows import Answer, Row
from polygraft.tasks.goldens import compare_texts
from polygraft.tasks.serving import (
    MAX_CHARACTERS,
    Replay,
    RowPlan,
    ServedTask,
    Writing,
    Written,
    too_long,
)
from polygraft.tasks.translation.estimate import (
    SentenceEstimate,
    calibration_of,
    mean_estimate,
)
from polygraft.tasks.translation.guarded import Guarded, kept_in
from polygraft.tasks.translation.manifest import TranslationManifest
from polygraft.tasks.translation.markup import Html
from polygraft.tasks.translation.quality import Quality, quality_of
from polygraft.tasks.translation.segments import PlainText, fits


@dataclass(frozen=True)
class Translated(Answer):
    """`texts`: the n best, best first, and their `scores` (mean over sentences of the
    length-normalised log-probability). `quality`: the class of the direction. `cut`: the bound on
    the length was reached in some sentence before it ended. `sentences`: an estimate of each of the
    best text's, where the backbone has any."""

    source: str
    target: str
    texts: list[str]
    scores: list[float]
    quality: Quality
    cut: bool
    sentences: list[SentenceEstimate]

    @property
    def text(self) -> str:
        return self.texts[0]

    def fields(self) -> dict[str, Any]:
        return {
            "translation": self.text,
            "alternatives": self.texts[1:] or None,
            "score": round(self.scores[0], 6),
            "source": self.source,
            "target": self.target,
            "quality": self.quality,
            "cut": self.cut or None,
            **self.estimates(),
        }

    def estimates(self) -> dict[str, Any]:
        """The text's estimate, whether a sentence is not to be trusted unread, and, of several, the
        sentences."""
        if not self.sentences:
            return {}
        return {
            "estimate": round(mean_estimate(self.sentences), 3),
            "check": any(sentence.check for sentence in self.sentences),
            "sentences": [one.fields() for one in self.sentences if len(self.sentences) > 1]
            or None,
        }

    def summary(self) -> dict[str, Any]:
        return {
            "translation": self.text,
            "score": round(self.scores[0], 6),
            "quality": self.quality,
        }


class Translation(ServedTask):
    """A row is cut into segments, and answered with their translations put together."""

    manifest = TranslationManifest
    answer_fields = frozenset({"translation", "score", "quality"})
    writes = True

    def plan(self, row: Row, adapter: Adapter, stack: list[str], encoder: TextEncoder) -> RowPlan:
        if row.threshold is not None:
            raise InvalidOption(
                f"adapter {row.adapter!r} translates, it has no labels to decide for; leave the "
                "threshold out"
            )
        source, target = direction_of(
            adapter.manifest.directions, row.language, row.target, row.adapter
        )
        if len(row.text) > MAX_CHARACTERS:
            raise too_long(row.text, "send it in parts")
        calibration = calibration_of(adapter.manifest.backbone)
        quality = quality_of(adapter.manifest.metrics, (source, target))
        document: PlainText | Html
        if row.html:
            document = Html.read(row.text, source, fits(encoder), row.glossary)
        else:
            document = PlainText.read(row.text, source, fits(encoder), row.glossary)
        elsewhere = frozenset().union(*map(kept_in, document.texts))
        sentences = [Guarded.read(text, row.glossary, elsewhere) for text in document.texts]

        def estimates(best: Sequence[Written], restored: Sequence[str]) -> list[SentenceEstimate]:
            if calibration is None:
                return []
            return [
                calibration.estimate(
                    document.texts[place],
                    restored[place],
                    best[place].log_probability,
                    cut=best[place].cut,
                )
                for place in document.sentences
            ]

        def answer(written: Sequence[list[Written]]) -> Translated:
            texts, scores, estimated = [], [], list[SentenceEstimate]()
            for rank in range(row.search.n_best):
                chosen = [hypotheses[min(rank, len(hypotheses) - 1)] for hypotheses in written]
                restored = [s.restore(w.text) for s, w in zip(sentences, chosen, strict=True)]
                texts.append(document.join(restored))
                scores.append(float(np.mean([w.score for w in chosen] or [0.0])))
                if rank == 0:
                    estimated = estimates(chosen, restored)
            cut = any(hypotheses[0].cut for hypotheses in written)
            return Translated(
                adapter.name,
                adapter.version,
                source,
                target,
                texts,
                scores,
                quality,
                cut,
                estimated,
                stack=stack,
            )

        around = document.around if isinstance(document, PlainText) else []
        return RowPlan(
            [sentence.text for sentence in sentences],
            Writing((source, target), row.search),
            answer,
            around=around,
            shown=lambda part, written: sentences[part].partial(written),
            final=lambda part, written: sentences[part].restore(written),
        )

    def verify_goldens(self, adapter: Adapter, replay: Replay) -> None:
        manifest: TranslationManifest = adapter.manifest
        goldens = manifest.golden_texts
        if unknown := replay.conventions.unknown(manifest.directions):
            raise AdapterError(
                f"adapter {manifest.name!r} writes {', '.join(map(shortened, unknown[:3]))}, and "
                "the decoder of this backbone has no tag for that; it writes "
                f"{replay.conventions.listed()}"
            )
        directions = [manifest.direction_of(golden) for golden in goldens]
        now, bare = replay.written(
            [g.text for g in goldens], [direction for direction in directions if direction]
        )
        compare_texts(
            adapter.name, now, bare, [g.written for g in goldens], [g.bare for g in goldens]
        )


TASK = Translation()


def direction_of(
    directions: Sequence[Direction], source: str | None, target: str | None, adapter: str
) -> Direction:
    """The one direction that fits. Raises `InvalidOption`, listing what there is, for none or
    several."""
    fitting = [d for d in directions if source in (None, d[0]) and target in (None, d[1])]
    if len(fitting) == 1:
        return fitting[0]
    known = ", ".join(f"{a} to {b}" for a, b in directions)
    if fitting:
        raise InvalidOption(
            f"adapter {adapter!r} translates {known}; say which with source and target"
        )
    asked = f"{source or 'any language'} to {target or 'any language'}"
    raise InvalidOption(f"adapter {adapter!r} does not translate {asked}; it translates {known}")
