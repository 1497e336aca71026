"""What the findings of `advise` mean: what to put into the recipe, and why. Data and text only."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from polygraft.tasks.classification.label_map import as_line
from polygraft.transfer.advise import FEW, Findings, Way
from polygraft.transfer.comparing import LEXICAL

STUDY = (
    "on none of the study's 21 targets did LoRA (without a lexical part) beat a head beside its "
    "lexical part by 2 points"
)


@dataclass(frozen=True)
class Advice:
    """A strategy, why, and the fields that ask for it wherever they stand last in the recipe;
    `adapter` is the one that it takes something from."""

    strategy: str
    why: str
    recipe: dict[str, Any] = field(default_factory=dict)
    adapter: str | None = None

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.strategy} with {self.adapter}" if self.adapter else self.strategy


def advice_of(findings: Findings) -> list[Advice]:
    """The best first. Where several tie, all of them are there."""
    advice = [_of_way(findings, way) for way in findings.tied] or _without_figures(findings)
    for one in findings.as_it_is:
        if one.behind.low <= 0:
            why = (
                f"{one.name} as it is, without one of your rows, scores {one.macro_f1} on "
                f"{one.rows} of them, and the best above is not shown to beat it: use it, or start "
                "from it and see the verdict"
            )
            recipe = {"strategy": "parent", "parent": one.name}
            advice.append(Advice("parent", why, recipe, one.name))
    if max(findings.training_rows.values()) >= FEW:
        advice.append(_of_lora(findings))
    if findings.languages:
        first, *others = findings.languages
        why = f"{first} reads a language of these texts"
        if others:
            why += f" ({', '.join(others)} too: name it in its place)"
        why += "; whether it helps, the verdict of training tells"
        advice.append(Advice("stack", why, {"stack": [first]}, first))
    return advice


def _of_lora(findings: Findings) -> Advice:
    why = f"takes minutes and tells by its verdict; {STUDY}"
    if findings.rarest < FEW:
        label = min(findings.training_rows, key=lambda name: findings.training_rows[name])
        why += f"; it may pay from {FEW} rows a label on, and {label} has {findings.rarest}"
    if findings.ways:
        why += f"; it has to beat {findings.ways[0].macro_f1.value:.1f}"
    return Advice("lora", why, {"strategy": "lora"})


def cannot_tell(findings: Findings) -> str | None:
    """What the rows do not tell; None where one way is shown to be the best."""
    if not findings.ways:
        return "a label has one training row, so no row can be held out and nothing is compared"
    tied = [way for way in findings.ways if way.ties]
    if len(tied) == 1:
        return None
    others = ", ".join(f"{way.name} by {way.behind}" for way in tied[1:])
    return f"{findings.rows} rows do not show that {tied[0].name} is the best; it leads {others}"


def no_such_task(findings: Findings) -> str:
    """That no adapter has the recipe's labels, which labels there are, and how to say that those of
    one mean the same."""
    by_labels = dict[str, list[str]]()
    for name, labels in findings.others.items():
        by_labels.setdefault(", ".join(labels), []).append(name)
    there = "; ".join(f"{', '.join(names)} ({labels})" for labels, names in by_labels.items())
    line = as_line("NAME", dict.fromkeys(sorted(findings.training_rows), "ITS-LABEL"))
    return (
        f"No adapter has your labels. There are: {there}. If the labels of one mean yours, say so "
        f"with `{line}`."
    )


def record(findings: Findings) -> dict[str, Any]:
    """For programs."""
    return {
        "rows": findings.rows,
        "training_rows": findings.training_rows,
        "cannot_tell": cannot_tell(findings),
        "ways": [
            {
                "way": way.name,
                "recipe": _recipe(findings, way),
                "macro_f1": way.macro_f1.record(),
                "behind": way.behind.record() if way.behind else None,
                "ties": way.ties,
            }
            for way in findings.ways
        ],
        "as_it_is": [asdict(one) for one in findings.as_it_is],
        "left_out": findings.left_out,
        "others": findings.others,
        "advice": [asdict(one) for one in advice_of(findings)],
    }


def _of_way(findings: Findings, way: Way) -> Advice:
    behind = [other for other in findings.ways if not other.ties]
    why = f"{way.macro_f1} macro-F1 on held-out rows"
    if way.behind is not None:
        why += (
            f"; {way.behind} behind {findings.ways[0].name}, which is no difference that is shown"
        )
    if behind:
        why += f"; better than {', '.join(other.name for other in behind)}"
    if way.source and way.behind is not None and way is findings.tied[0]:
        why += "; first because with so few rows a source helped most in the study"
    if way.key == LEXICAL:
        return Advice(LEXICAL, f"{why}; a linear model on words is enough, and needs no adapter")
    return Advice("head", why, _recipe(findings, way), way.source)


def _without_figures(findings: Findings) -> list[Advice]:
    """Where nothing could be compared, what helped most in the study: a source's rows."""
    why = "label more rows (`polygraft suggest` says which); until then "
    for name in findings.sources:
        recipe = _recipe_of(findings, name)
        return [Advice("head", f"{why}the rows of {name} help most with so few", recipe, name)]
    return [Advice("head", f"{why}a head takes seconds", {"strategy": "head"})]


def _recipe(findings: Findings, way: Way) -> dict[str, Any]:
    if way.key == LEXICAL:
        return {}
    return _recipe_of(findings, way.source) if way.source else {"strategy": "head"}


def _recipe_of(findings: Findings, source: str) -> dict[str, Any]:
    renamed = findings.sources[source].renamed
    labels = {"labels": renamed} if renamed else {}
    return {"strategy": "head", "source": {"adapter": source} | labels}
