"""The labels of another adapter as a recipe names them: equal names, or those that the recipe's
`source.labels` maps."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

import yaml

from polygraft.data.labels import letters_of

LabelMap = Mapping[str, str | list[str]]
"""A label of the recipe, and the other adapter's name for it, or several."""
ALIKE = 0.8
"""Of difflib's ratio; `sport` and `sports` have 0.91, `ham` and `spam` 0.57."""
SHORT_FORM = 4
"""Letters of a short form, at least: `tech` is `technology`."""


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
    """A label map by which the other adapter has every one of `labels`, as `partly` finds them.
    None where there is no such map, or it would use a label twice. Only those that differ are in
    it."""
    renamed, missing = partly(labels, theirs)
    return None if missing else renamed


def partly(labels: Sequence[str], theirs: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """A label map to those of `labels` that the other adapter has, and the others: equal names,
    else equal but for case and punctuation, else nearly equal ones or short forms."""
    plain = {letters_of(label): label for label in theirs if label not in labels}
    renamed, missing = dict[str, str](), list[str]()
    for label in labels:
        if label in theirs:
            continue
        near = _nearest(letters_of(label), list(plain))
        if near is None:
            missing.append(label)
        else:
            renamed[label] = plain.pop(near)
    return renamed, missing


def _nearest(letters: str, known: Sequence[str]) -> str | None:
    near = difflib.get_close_matches(letters, known, n=1, cutoff=ALIKE)
    longer = [
        other
        for other in known
        if min(len(letters), len(other)) >= SHORT_FORM
        and (other.startswith(letters) or letters.startswith(other))
    ]
    return next(iter(near or longer), None)


def as_line(adapter: str, renamed: LabelMap) -> str:
    """The line of a recipe that gives the label map of an adapter; `yes` and `no` in quotes."""
    source = {"adapter": adapter, "labels": dict(renamed)}
    flow = yaml.safe_dump(
        source, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10_000
    )
    return f"source: {flow.strip()}"


def _names(own: str, renamed: LabelMap) -> list[str]:
    theirs = renamed.get(own, own)
    return [theirs] if isinstance(theirs, str) else theirs
