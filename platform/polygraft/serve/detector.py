"""The adapter that tells languages apart, checked as a server starts. What it says of a text is
asked in `languages`."""

from __future__ import annotations

from collections.abc import Sequence

from polygraft.adapters.manifest import Manifest
from polygraft.tasks.classification.manifest import ClassificationManifest
from polygraft.tasks.translation.manifest import TranslationManifest

SHOWN = 5


def detector_problem(manifests: Sequence[Manifest], name: str) -> str | None:
    """Why no text's language can be told by `name`, of the adapters that are served; None where it
    can be, or where nothing here needs to know."""
    translators = [m for m in manifests if isinstance(m, TranslationManifest)]
    sources = sorted({source for m in translators for source, _ in m.directions})
    detector = next((m for m in manifests if m.name == name), None)
    if not translators and detector is None:
        return None
    remedy = "name another in POLYGRAFT_DETECTOR; until then a translation needs its source"
    if detector is None:
        return f"no adapter {name!r} is served, which is to tell languages apart; {remedy}"
    if not isinstance(detector, ClassificationManifest):
        return f"adapter {name!r} is to tell languages apart, and has no labels; {remedy}"
    if sources and not set(sources) & set(detector.labels):
        labels, languages = ", ".join(detector.labels[:SHOWN]), ", ".join(sources[:SHOWN])
        return (
            f"adapter {name!r} is to tell languages apart, and its labels ({labels}) are none of "
            f"those that are translated from ({languages}); {remedy}"
        )
    return None
