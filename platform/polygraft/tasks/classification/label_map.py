"""The labels of another adapter as a recipe names them: equal names, or those that the recipe's
`source.labels` maps."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

from polygraft.data.labels import letters_of

LabelMap = Mapping[str, str | list[str]]
"""A label of the recipe, and the other adapter's name for it, or several."""
ALIKE = 0.8
"""Of difflib's ratio; `sport` and `sports` have 0.91, `ham` and `spam` 0.57."""


def own_names(labels: Sequence[str], renamed: LabelMap) -> dict[str, str]:
    """What the other adapter calls the recipe's `labels`, each with the recipe's name for it. A
    label that `renamed` does not have is called the same."""
    return {theirs: own for own in labels for theirs in _names(own, renamed)}


def map_problems(labels: Sequence[str], theirs: Sequence[str], renamed: LabelMap) -> list[str]:
    """What is wrong with `renamed` between a recipe's `labels` and the other adapter's."""
    unknown = [label for label in renamed if label not in labels]
    problems = [
        f"{label!r} is not a label of this recipe ({', '.join(labels)})" for label in unknown
    ]
    used = [name for own in labels for name in _names(own, renamed)]
    for name in dict.fromkeys(used):
        if used.count(name) > 1:
            problems.append(f"{name!r} is the name of two labels")
    mapped = [name for own in renamed for name in _names(own, renamed)]
    problems += [
        f"{name!r} is not one of its labels ({', '.join(theirs)})"
        for name in mapped
        if name not in theirs
    ]
    return problems


def guess(labels: Sequence[str], theirs: Sequence[str]) -> dict[str, str] | None:
    """A label map by which the other adapter has every one of `labels`: equal names, else equal but
    for case and punctuation, else nearly equal ones. None where there is no such map, or it would
    use a label twice. Only those that differ are in it."""
    free = [label for label in theirs if label not in labels]
    plain = {letters_of(label): label for label in free}
    renamed = dict[str, str]()
    for label in labels:
        if label in theirs:
            continue
        near = difflib.get_close_matches(letters_of(label), plain, n=1, cutoff=ALIKE)
        if not near:
            return None
        renamed[label] = plain.pop(near[0])
    return renamed


def _names(own: str, renamed: LabelMap) -> list[str]:
    theirs = renamed.get(own, own)
    return [theirs] if isinstance(theirs, str) else theirs
