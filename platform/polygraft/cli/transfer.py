"""Commands about transfer itself: `advise`, `combine`, `study`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from polygraft.cli.app import (
    AsJson,
    Backbone,
    LibraryFolder,
    app,
    err,
    out,
    report_errors,
    trainable_backbone,
)

if TYPE_CHECKING:
    from polygraft.transfer.advise import Findings


@app.command()
@report_errors
def advise(
    recipe: Annotated[Path, typer.Argument(help="recipe.yaml of the adapter to be made.")],
    library: LibraryFolder = None,
    backbone: Backbone = None,
    as_json: AsJson = False,
) -> None:
    """Which strategy suits a recipe's data, with the figures that say so, and whether they can
    tell; trains no LoRA.

    Lines that it prints can be put at the end of the recipe as they stand: of a field that is there
    twice the last one counts.
    """
    from polygraft.adapters.library import Library
    from polygraft.errors import RecipeError
    from polygraft.tasks.classification.recipe import ClassificationRecipe
    from polygraft.tasks.recipe import load_recipe

    content = load_recipe(recipe)
    if not isinstance(content, ClassificationRecipe):
        raise RecipeError(str(recipe), ["advice is given for classifiers only"])
    home = trainable_backbone(backbone)

    from polygraft.data.leaks import sentence
    from polygraft.tasks.classification.job import prepare
    from polygraft.transfer.advice import record
    from polygraft.transfer.advise import advise as ask

    target_only = content.model_copy(
        update={
            "parent": None,
            "strategy": None,
            "source": None,
            "tasks": [],
            "stack": [],
            "data": content.data.model_copy(update={"on_leak": "drop"}),
        }
    )
    shelf = Library(library) if library else None
    job = prepare(target_only, recipe, home, library=shelf)
    if job.leaks:
        err.print(sentence(job.leaks), highlight=False)
    if job.leaks and content.data.on_leak == "error":
        err.print("Training refuses these rows; put `on_leak: drop` under `data` to drop them.")
    findings = ask(job, shelf, content.source)
    if as_json:
        out.print_json(data={"leaks": job.leaks} | record(findings))
    else:
        _show(findings)


def _show(findings: Findings) -> None:
    import yaml
    from rich.table import Table

    from polygraft.transfer.advice import advice_of, cannot_tell, no_such_task

    counts = ", ".join(f"{label} {n}" for label, n in sorted(findings.training_rows.items()))
    out.print(f"training rows: {counts}", highlight=False)
    table = Table("", f"macro-F1, {findings.rows} rows held out", "behind the first")
    for way in findings.ways:
        table.add_row(way.name, str(way.macro_f1), str(way.behind or ""))
    for adapter in findings.as_it_is:
        name = f"{adapter.name} as it is ({adapter.rows} rows)"
        table.add_row(name, str(adapter.macro_f1), str(adapter.behind))
    if findings.ways:
        out.print(table)
    for name, why in findings.left_out.items():
        out.print(f"{name} is left out: {escape(why)}", highlight=False)
    if findings.others:
        out.print(escape(no_such_task(findings)), highlight=False)
    if unknown := cannot_tell(findings):
        out.print(f"[bold]Cannot tell[/]: {escape(unknown)}.", highlight=False)
    for number, advice in enumerate(advice_of(findings), 1):
        out.print(
            f"{number}. [bold]{escape(advice.title)}[/]: {escape(advice.why)}", highlight=False
        )
        if advice.recipe:
            for line in yaml.safe_dump(advice.recipe, sort_keys=False).strip().split("\n"):
                print(f"     {line}")


@app.command()
@report_errors
def combine(
    task: Annotated[Path, typer.Argument(help="Folder of a classifier.")],
    output: Annotated[
        Path, typer.Argument(help="Folder of the new adapter; its name is the adapter's.")
    ],
    plus: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of an adapter to add; may be given several times."),
    ] = None,
    minus: Annotated[
        list[Path] | None, typer.Option(help="Folder of an adapter to subtract; the same.")
    ] = None,
    rank: Annotated[
        int | None, typer.Option(help="Approximate the sum by this rank; left out, it is exact.")
    ] = None,
    backbone: Backbone = None,
) -> None:
    """Task arithmetic: a classifier plus and minus other adapters, as one adapter. Nothing is
    trained.

    Example: `polygraft combine adapters/topic adapters/topic-sd --plus adapters/lang-sd --minus
    adapters/lang-en`
    """
    from polygraft.adapters.format import load_manifest

    plus, minus = plus or [], minus or []
    for folder in (task, *plus, *minus):
        load_manifest(folder)
    home = trainable_backbone(backbone)

    from polygraft.transfer.arithmetic import combine as add

    made = add(task, plus, minus, output, home, rank=rank)
    err.print(f"{made.named} is in {output}: {made.description}", highlight=False)


@app.command()
@report_errors
def study(
    plan: Annotated[
        Path,
        typer.Argument(help="plan.yaml: tasks, sources, targets. Results are written beside it."),
    ],
    only: Annotated[
        list[str] | None,
        typer.Option(help="Only this family of the plan; may be given several times."),
    ] = None,
    work: Annotated[Path, typer.Option(help="Folder for the source adapters.")] = Path(".study"),
    backbone: Backbone = None,
) -> None:
    """Measure every transfer strategy on many languages: ladder, stacks, few shots, verdicts; JSON
    and a page.

    What each run answered is kept in NAME.json beside the plan, so that a killed study goes on
    where it stopped. `study.json`, `study.html` and `README.md` hold the figures of all families
    that were run so far.
    """
    from polygraft.transfer.study.plan import load_study

    content, home = load_study(plan), trainable_backbone(backbone)

    from polygraft.transfer.study.runs import run_family
    from polygraft.transfer.study.write import write_results

    work.mkdir(parents=True, exist_ok=True)
    for family in content.families:
        if not only or family.name in only:
            run_family(content, family, plan, home, work, err)
    for file in write_results(content, plan.parent):
        err.print(f"wrote {file}")
